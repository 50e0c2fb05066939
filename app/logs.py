"""Logs of the worker: a sentence for people, fields for machines, one line each.

The library logs through the standard library alone, with its fields as `extra`. Here they are rendered by structlog:
coloured text for a terminal, or one JSON object a line. Where a node runs, its run and step are bound by contextvars,
so that what its own code logs carries them too.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

from famulus.security.redaction import Redactor
from famulus.settings import Settings


class WithoutServiceNoise(logging.Filter):
    """Drops what Faust's services say of their own starting and stopping, under the names of our modules."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno > logging.INFO or not str(record.msg).startswith("[^")


class RedactedProcessorFormatter(structlog.stdlib.ProcessorFormatter):
    """Takes secrets out of the line when it is whole: message, fields and traceback."""

    def __init__(self, *arguments: Any, redactor: Redactor, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        return self._redactor.text(super().format(record))


def logging_config(settings: Settings, redactor: Redactor) -> dict[str, Any]:
    """For `logging.config.dictConfig`, which Faust calls when the worker starts."""
    level = settings.log_level.upper()
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "famulus": {
                "()": RedactedProcessorFormatter,
                "redactor": redactor,
                "foreign_pre_chain": [
                    structlog.contextvars.merge_contextvars,
                    structlog.stdlib.add_log_level,
                    structlog.stdlib.add_logger_name,
                    structlog.stdlib.ExtraAdder(),
                    structlog.processors.TimeStamper(fmt="iso", utc=True),
                    structlog.processors.UnicodeDecoder(),
                ],
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    *_renderers(settings),
                ],
            }
        },
        "filters": {"without_service_noise": {"()": WithoutServiceNoise}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "famulus",
                "filters": [] if level == "DEBUG" else ["without_service_noise"],
                "level": level,
            }
        },
        "loggers": {
            # Faust and its driver tell of every rebalance and subscription at this level.
            "faust": {"level": _at_least("WARNING", level)},
            "mode": {"level": _at_least("WARNING", level)},
            "aiokafka": {"level": _at_least("WARNING", level)},
            # Its traces of what it cannot reach; our own errors say it in a line.
            "cassandra.cluster": {"level": "DEBUG" if level == "DEBUG" else "CRITICAL"},
            "cassandra": {"level": _at_least("WARNING", level)},
            "asyncio": {"level": _at_least("WARNING", level)},
        },
        "root": {"handlers": ["stderr"], "level": level},
    }


def _renderers(settings: Settings) -> list[Any]:
    if settings.log_format == "json":
        return [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()]
    # Without asking, structlog colours files and pipes too.
    return [
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
    ]


def _at_least(quiet: str, level: str) -> str:
    return level if level == "DEBUG" else quiet if level == "INFO" else level
