"""Reads the CQL of this package from its files: statements by name, and migrations in their order."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from importlib.resources.abc import Traversable

WORKER_FILES: Final = (
    "runs",
    "indexes",
    "timers",
    "blueprints",
    "epochs",
    "hooks",
    "schedules",
    "tokens",
    "blobs",
    "dead_letters",
)
"""What a worker executes. It needs no right to change the schema."""
SCHEMA_FILE: Final = "schema_versions"

_NAME: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_COMMENT: Final = re.compile(r"--.*$", re.MULTILINE)
_MIGRATION_FILE: Final = re.compile(r"(\d{4})_(\w+)\.cql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    version: int
    name: str
    statements: Sequence[str]


def worker_statements() -> Mapping[str, str]:
    """Return the statements of all worker files by name."""
    return {name: text for file in WORKER_FILES for name, text in named_statements(file).items()}


def named_statements(file: str) -> Mapping[str, str]:
    """Return the statements of ``cql/<file>.cql``; each follows a line ``-- name: <name>``."""
    _, *parts = _NAME.split(_folder().joinpath(f"{file}.cql").read_text())
    return {name: _only_statement(text) for name, text in zip(parts[::2], parts[1::2], strict=True)}


def migrations() -> Sequence[Migration]:
    """Return the migrations of ``cql/schema``, numbered from 1 without a gap, in their order."""
    files = ((file, _MIGRATION_FILE.fullmatch(file.name)) for file in _folder().joinpath("schema").iterdir())
    found = [
        Migration(version=int(match[1]), name=match[2], statements=_split(file.read_text()))
        for file, match in files
        if match
    ]
    return sorted(found, key=lambda migration: migration.version)


def _folder() -> Traversable:
    return resources.files(__package__).joinpath("cql")


def _only_statement(text: str) -> str:
    (statement,) = _split(text)
    return statement


def _split(text: str) -> list[str]:
    return [part.strip() for part in _COMMENT.sub("", text).split(";") if part.strip()]
