"""The implementations that `blueprint.json` names: `FAMULUS_NODES=examples.digest.nodes`.

All of them read and write files, so they are `def` functions, which run in threads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from famulus.errors import NonRetryableError
from famulus.nodes import ThreadContext, node

from . import analyses
from .report import Report, empty_report, full_report, write_report

DEFAULT_OUT = "digest-report"


@node("digest.scan")
def scan(folder: str) -> dict[str, Any]:
    """How many files the folder has. Relative folders are those of the worker."""
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise NonRetryableError(f"{folder!r} is not a folder: start the run with input.folder of an existing one")
    return analyses.scan(path.resolve())


@node("digest.sizes")
def sizes(folder: str, limit: int = 15) -> dict[str, Any]:
    return analyses.sizes_by_type(Path(folder), limit=limit)


@node("digest.words")
def words(folder: str, limit: int = 20) -> dict[str, Any]:
    return analyses.words(Path(folder), limit=limit)


@node("digest.duplicates")
def duplicates(folder: str, limit: int = 20) -> dict[str, Any]:
    return analyses.duplicates(Path(folder), limit=limit)


@node("digest.largest")
def largest(folder: str, limit: int = 10) -> dict[str, Any]:
    return analyses.largest(Path(folder), limit=limit)


@node("digest.report")
def report(ctx: ThreadContext, out: str | None = None) -> dict[str, Any]:
    """Write what the four analyses found; `input` holds their outputs by name."""
    return _written(full_report(ctx.input), ctx, out)


@node("digest.empty")
def empty(ctx: ThreadContext, scan: dict[str, Any], out: str | None = None) -> dict[str, Any]:
    return _written(empty_report(scan), ctx, out)


def _written(report: Report, ctx: ThreadContext, out: str | None) -> dict[str, Any]:
    markdown, html = write_report(report, Path(out or DEFAULT_OUT), run_id=ctx.run_id)
    return {"markdown": str(markdown), "html": str(html), "summary": dict(report.summary)}
