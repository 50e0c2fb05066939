"""From a stack's environment to settings and processes that know of nothing else."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from unittest import mock

from famulus.settings import Settings

TESTS: Final = Path(__file__).parents[1]
ROOT: Final = TESTS.parent
OURS: Final = ("FAMULUS_", "KAFKA_BROKERS", "CASSANDRA_", "REDIS_URL")


def foreign_environment() -> dict[str, str]:
    """The environment of this process without what configures famulus, and with the checkout to import from."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return {**kept, "PYTHONPATH": os.pathsep.join([str(ROOT), str(TESTS)]), "PYTHONUNBUFFERED": "1"}


def settings_of(environment: Mapping[str, str], **given: Any) -> Settings:
    """The settings that a process with this environment has."""
    ours = {name: value for name, value in environment.items() if name.startswith(OURS)}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    with mock.patch.dict(os.environ, {**kept, **ours}, clear=True):
        return Settings.load(_env_file=None, **given)
