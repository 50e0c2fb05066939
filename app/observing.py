"""Metrics and traces, for who asks for them and has installed their extra."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.util import find_spec

import faust

from famulus.errors import SettingsError
from famulus.settings import Settings, variable_of

from .worker import FamulusApp


def observe(app: FamulusApp, settings: Settings) -> None:
    """Serve `/metrics` and take part in traces, as the settings say.

    Raises `SettingsError` naming the variable and the extra, where the package is missing.
    """
    if settings.prometheus:
        _require("prometheus", ("prometheus_client",))
        _serve_metrics(app)
    if settings.otel:
        _require("otel", ("opentelemetry", "opentelemetry.instrumentation.aiokafka"))
        _trace(app)


def _require(extra: str, packages: Iterable[str]) -> None:
    for package in packages:
        if find_spec(package) is None:
            raise SettingsError(variable_of(extra), f"{package} is not installed: pip install 'famulus[{extra}]'")


def _serve_metrics(app: FamulusApp) -> None:
    from faust.sensors.prometheus import setup_prometheus_sensors  # noqa: PLC0415  # an extra
    from prometheus_client.core import REGISTRY, CounterMetricFamily, GaugeMetricFamily, Metric  # noqa: PLC0415

    class EngineCollector:
        """What the engine counts, read when somebody asks: a step costs nothing more for it."""

        def collect(self) -> Iterable[Metric]:
            happened = CounterMetricFamily("famulus_engine", "What the engine did, by kind.", labels=["what"])
            for what, count in sorted(app.engine.counts.items()) if app.is_running else ():
                happened.add_metric([what], count)
            yield happened
            for name, help_text, value in _gauges(app):
                yield GaugeMetricFamily(name, help_text, value=value() if app.is_running else 0)

    setup_prometheus_sensors(app, name_prefix="famulus")
    REGISTRY.register(EngineCollector())


def _gauges(app: FamulusApp) -> Iterable[tuple[str, str, Callable[[], float]]]:
    return (
        ("famulus_attempts_running", "Attempts that run now.", lambda: len(app.engine.steps.attempts)),
        ("famulus_runs_in_memory", "Runs whose state this worker holds.", lambda: app.engine.runs.in_memory),
        (
            "famulus_partitions",
            "Partitions of the jobs topic that this worker owns.",
            lambda: len(app.engine.partitions),
        ),
        ("famulus_records_unacknowledged", "Records not acknowledged yet.", lambda: app.intake.unacknowledged),
        (
            "famulus_loop_lag_seconds",
            "By how much the event loop came too late the last time.",
            lambda: app.watchdog.loop_lag_seconds,
        ),
        ("famulus_troubles", "What the watchdog finds wrong now.", lambda: len(app.watchdog.troubles)),
        ("famulus_joins_refilled", "Joins whose count was behind the rows.", lambda: app.engine.joins.refilled),
    )


def _trace(app: faust.App) -> None:
    from faust.contrib.opentelemetry import setup_opentelemetry  # noqa: PLC0415  # an extra
    from opentelemetry.instrumentation.aiokafka import AIOKafkaInstrumentor  # noqa: PLC0415

    AIOKafkaInstrumentor().instrument()
    setup_opentelemetry(app)
