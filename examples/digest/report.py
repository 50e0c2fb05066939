"""The report, as one value and in two formats.

Names of files come from anywhere: in Markdown they stand in code spans, in HTML they are escaped.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any, Final

UNIT: Final = 1024
FORMATS: Final = frozenset({".md", ".html"})


@dataclass(frozen=True, slots=True)
class Code:
    """Text that is shown letter by letter: the name of a file, a word."""

    text: str


Cell = str | Code


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    title: str
    text: str
    columns: Sequence[str] = ()
    """The first one is text, the others are figures."""
    rows: Sequence[Sequence[Cell]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    folder: str
    summary: Mapping[str, str]
    sections: Sequence[Section]


def empty_report(scan: Mapping[str, Any]) -> Report:
    return Report(
        folder=scan["folder"],
        summary={"files": "0", "unreadable": _number(scan["unreadable"])},
        sections=[Section(title="Nothing to see", text="The folder holds no file that counts.")],
    )


def full_report(found: Mapping[str, Any]) -> Report:
    """Of the outputs `scan`, `sizes`, `words`, `duplicates` and `largest`."""
    scan, words, duplicates = found["scan"], found["words"], found["duplicates"]
    return Report(
        folder=scan["folder"],
        summary={
            "files": _number(scan["files"]) + (" (more were left out)" if scan["truncated"] else ""),
            "size": _size(scan["bytes"]),
            "lines": _number(words["lines"]),
            "words": _number(words["words"]),
            "wasted by copies": _size(duplicates["wasted_bytes"]),
            "unreadable": _number(max(scan["unreadable"], words["unreadable"])),
        },
        sections=[
            _sizes(found["sizes"]),
            _words(words),
            _duplicates(duplicates),
            _largest(found["largest"]),
        ],
    )


def write_report(report: Report, out: Path, *, run_id: str) -> tuple[Path, Path]:
    """Write both formats beside each other, each all or not at all; the suffix of `out` does not matter."""
    out = out.expanduser().absolute()
    stem = out.with_suffix("") if out.suffix in FORMATS else out
    stem.parent.mkdir(parents=True, exist_ok=True)
    written_at = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC by run {run_id}"
    markdown, html = stem.with_name(f"{stem.name}.md"), stem.with_name(f"{stem.name}.html")
    _replace(markdown, as_markdown(report, written_at))
    _replace(html, as_html(report, written_at))
    return markdown, html


def as_markdown(report: Report, written_at: str) -> str:
    lines = [f"# Digest of {_code(report.folder)}", "", f"Written {written_at}.", ""]
    lines += ["| | |", "|---|---:|", *(f"| {name} | {value} |" for name, value in report.summary.items())]
    for section in report.sections:
        lines += ["", f"## {section.title}", "", section.text]
        if section.rows:
            lines += ["", f"| {' | '.join(section.columns)} |", f"|---|{'---:|' * (len(section.columns) - 1)}"]
            lines += [f"| {' | '.join(map(_markdown_cell, row))} |" for row in section.rows]
    return "\n".join(lines) + "\n"


def as_html(report: Report, written_at: str) -> str:
    facts = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in report.summary.items()
    )
    sections = "\n".join(map(_html_section, report.sections))
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Digest of {escape(report.folder)}</title>
<style>
:root {{ color-scheme: light dark; --line: #8884; --dim: #888; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.5rem; overflow-wrap: anywhere; }} h2 {{ font-size: 1.15rem; margin-top: 2rem; }}
dl {{ display: flex; flex-wrap: wrap; gap: 1rem 2.5rem; }} dt {{ color: var(--dim); }}
dd {{ margin: 0; font-size: 1.25rem; font-variant-numeric: tabular-nums; }} dl > div {{ min-width: 5rem; }}
table {{ border-collapse: collapse; width: 100%; }} code {{ overflow-wrap: anywhere; }}
th, td {{ text-align: right; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }}
th:first-child, td:first-child {{ text-align: left; }} td {{ font-variant-numeric: tabular-nums; }}
footer {{ color: var(--dim); margin-top: 2rem; }}
</style>
<h1>Digest of <code>{escape(report.folder)}</code></h1>
<dl>{facts}</dl>
{sections}
<footer>Written {escape(written_at)}.</footer>
</html>
"""


def _sizes(sizes: Mapping[str, Any]) -> Section:
    rest = sizes["rest"]
    rows = [_type_row(Code(entry["type"] or "no suffix"), entry) for entry in sizes["types"]]
    if rest["types"]:
        rows.append(_type_row(f"{_number(rest['types'])} more types", rest))
    return Section(
        title="Size by type",
        text="By the last suffix of the name, the largest sum first.",
        columns=("Type", "Files", "Size"),
        rows=rows,
    )


def _type_row(name: Cell, entry: Mapping[str, Any]) -> Sequence[Cell]:
    return (name, _number(entry["files"]), _size(entry["bytes"]))


def _words(words: Mapping[str, Any]) -> Section:
    text = (
        f"{_number(words['text_files'])} text files hold {_number(words['words'])} words in "
        f"{_number(words['lines'])} lines; {_number(words['binary_files'])} files are binary."
    )
    if words["cut"]:
        text += f" Of {_number(words['cut'])} large files only the beginning was read."
    rows = [(Code(entry["word"]), _number(entry["times"])) for entry in words["most_used"]]
    return Section(title="Words", text=text, columns=("Used most", "Times"), rows=rows)


def _duplicates(duplicates: Mapping[str, Any]) -> Section:
    groups = duplicates["groups"]
    if not groups:
        return Section(title="Copies", text="No two files have the same content.")
    text = f"{_number(duplicates['group_count'])} contents exist more than once"
    text += f"; the {len(groups)} that waste most:" if len(groups) < duplicates["group_count"] else ":"
    rows = [(Code(", ".join(_names(group))), _number(group["copies"]), _size(group["bytes"])) for group in groups]
    return Section(title="Copies", text=text, columns=("Files", "Copies", "Size of each"), rows=rows)


def _names(group: Mapping[str, Any]) -> Sequence[str]:
    left_out = group["copies"] - len(group["names"])
    names = [*group["names"], *([f"and {left_out} more"] if left_out else [])]
    return [*names, "(beginning and end compared)"] if group["sampled"] else names


def _largest(largest: Mapping[str, Any]) -> Section:
    rows = [
        (Code(file["name"]), _size(file["bytes"]), f"{datetime.fromtimestamp(file['modified'], UTC):%Y-%m-%d}")
        for file in largest["files"]
    ]
    return Section(
        title="Largest files",
        text=f"The {len(rows)} largest.",
        columns=("File", "Size", "Changed"),
        rows=rows,
    )


def _html_section(section: Section) -> str:
    parts = [f"<h2>{escape(section.title)}</h2>", f"<p>{escape(section.text)}</p>"]
    if section.rows:
        head = "".join(f"<th>{escape(column)}</th>" for column in section.columns)
        rows = "\n".join(f"<tr>{''.join(map(_html_cell, row))}</tr>" for row in section.rows)
        parts.append(f"<table>\n<tr>{head}</tr>\n{rows}\n</table>")
    return "\n".join(parts)


def _html_cell(cell: Cell) -> str:
    return f"<td><code>{escape(cell.text)}</code></td>" if isinstance(cell, Code) else f"<td>{escape(cell)}</td>"


def _markdown_cell(cell: Cell) -> str:
    return _code(cell.text).replace("|", "\\|") if isinstance(cell, Code) else cell


def _code(text: str) -> str:
    """A code span; its fence is longer than any row of backticks inside."""
    fence = "`" * (max(map(len, re.findall(r"`+", text)), default=0) + 1)
    padding = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{padding}{text}{padding}{fence}"


def _number(count: int) -> str:
    return f"{count:,}"


def _size(size: float) -> str:
    if size < UNIT:
        return f"{size:.0f} B"
    for unit in ("kB", "MB", "GB"):
        size /= UNIT
        if size < UNIT:
            return f"{size:.1f} {unit}"
    return f"{size / UNIT:,.1f} TB"


def _replace(path: Path, text: str) -> None:
    """A reader sees the old file or the new one, whenever this ends."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
