"""``famulus blueprint``: lint, draw, compare, register and list blueprints."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from famulus.blueprint import (
    ABSENT,
    BUILT_INS,
    Blueprint,
    Change,
    Issue,
    analyse,
    build_graph,
    differences,
    digest_of,
    encode_blueprint,
    lint_document,
    parse_blueprint,
    to_mermaid,
)
from famulus.cli.auditing import tell_audit
from famulus.cli.control import migrate
from famulus.cli.opening import user
from famulus.cli.rehearsing import print_rehearsal
from famulus.cli.terminal import clock_text, json_option, one_line, plain, print_json, value_text
from famulus.connect import open_stores
from famulus.engine.catalog import Catalog
from famulus.engine.versions.rehearsal import Rehearsed, lacking
from famulus.engine.versions.rehearsal import rehearse as rehearse_runs
from famulus.errors import BlueprintError, BlueprintNotFoundError
from famulus.ids import BlueprintId, RunId
from famulus.nodes import load_registry
from famulus.ports import StoredBlueprint
from famulus.settings import Settings

DIGEST_SHOWN: Final = 12
SIGNS: Final = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}

files_argument = click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True), metavar="FILE..."
)


@click.group()
def blueprint() -> None:
    """Lint, draw, compare, register and list blueprints."""


@blueprint.command()
@files_argument
@click.option("--nodes", metavar="MODULE,...", help="Modules with implementations. Default: FAMULUS_NODES.")
@json_option
def lint(*, files: Sequence[Path], nodes: str | None, as_json: bool) -> None:
    """Find everything that is wrong with blueprints, files or folders of them, at once.

    Whether implementations exist is checked where their modules are named. Exit code 1 if there is an error.
    """
    settings = Settings.load(**({} if nodes is None else {"nodes": nodes}))
    implementations = load_registry(settings.nodes).keys() if settings.nodes else None
    found = [
        (path, lint_document(path.read_bytes(), implementations=implementations, default_id=path.stem))
        for path in _json_files(files)
    ]
    if as_json:
        print_json([{"file": str(path), "issues": [issue.as_json() for issue in issues]} for path, issues in found])
    else:
        _print_issues(found)
        if implementations is None:
            click.secho("Implementations were not checked: name their modules with --nodes.", dim=True, err=True)
    if any(issue.severity == "error" for _, issues in found for issue in issues):
        raise click.exceptions.Exit(1)


@blueprint.command()
@click.argument("source", metavar="ID|FILE")
@click.option("--version", help="Of a registered blueprint. Default: the one registered last.")
@click.option("--mermaid", is_flag=True, help="Print a Mermaid flowchart.")
@json_option
def show(*, source: str, version: str | None, mermaid: bool, as_json: bool) -> None:
    """Show a blueprint: of a file, or a registered one."""
    found = _read(Path(source)) if Path(source).is_file() else asyncio.run(_find(source, version))
    if mermaid:
        click.echo(to_mermaid(found), nl=False)
    elif as_json:
        print_json(msgspec.json.decode(encode_blueprint(found)))
    else:
        _print_blueprint(found)


@blueprint.command()
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@json_option
def diff(*, before: str, after: str, as_json: bool) -> None:
    """Compare two blueprints by nodes, edges and fields. Exit code 1 if they differ.

    A and B are files, ids of registered blueprints, or ID@VERSION.
    """
    old, new = _source(before), _source(after)
    changes = differences(old, new)
    if as_json:
        sides = {"before": _identity(old), "after": _identity(new)}
        print_json({**sides, "differ": bool(changes), "changes": [change.as_json() for change in changes]})
    else:
        _print_changes(changes)
    if changes:
        raise click.exceptions.Exit(1)


@blueprint.command()
@files_argument
@click.option("--by", help="Who registers. Default: the user of this system.")
@json_option
def push(*, files: Sequence[Path], by: str | None, as_json: bool) -> None:
    """Register blueprints, files or folders of them, in the store. Registering the same one again changes nothing."""
    stored = asyncio.run(_register([_read(path) for path in _json_files(files)], by=by or user()))
    if as_json:
        print_json([_stored_json(each) for each in stored])
        return
    for each in stored:
        click.echo(
            f"{plain(each.blueprint_id)} version {plain(each.version)} is registered ({each.digest[:DIGEST_SHOWN]})"
        )


@blueprint.command()
@json_option
def ls(*, as_json: bool) -> None:
    """List every version of every registered blueprint."""
    stored = asyncio.run(_all())
    if as_json:
        print_json([_stored_json(each) for each in stored])
        return
    if not stored:
        click.echo("No blueprint is registered yet: famulus blueprint push FILE")
        return
    table = Table("Blueprint", "Version", "Digest", "Registered", box=None)
    for each in stored:
        table.add_row(
            Text(one_line(each.blueprint_id)),
            Text(one_line(each.version)),
            each.digest[:DIGEST_SHOWN],
            clock_text(each.registered_at),
        )
    Console().print(table)


@blueprint.command()
@click.argument("source", metavar="FILE|ID[@VERSION]")
@click.option("--run", "run_ids", multiple=True, metavar="ID", help="Only this run; may be given again.")
@click.option(
    "--ended", type=click.IntRange(0), default=100, show_default=True, help="Runs that have ended to look at."
)
@click.option("--nodes", metavar="MODULE,...", help="Modules with implementations. Default: FAMULUS_NODES.")
@json_option
def rehearse(*, source: str, run_ids: Sequence[str], ended: int, nodes: str | None, as_json: bool) -> None:
    """Try a version on the runs that are there, and list those that would go another way, hang, or lack something.

    Every run in flight is looked at, and some that have ended. Nothing is executed and nothing is written. Exit code 1
    if there is a difference, or an implementation that nobody has registered.
    """
    settings = Settings.load(**({} if nodes is None else {"nodes": nodes}))
    found = _source(source)
    missing = lacking(found, {*load_registry(settings.nodes), *BUILT_INS}) if settings.nodes else {}
    known = [RunId(run_id) for run_id in run_ids] or None
    rehearsed = asyncio.run(_rehearse(settings, found, run_ids=known, ended=ended))
    if as_json:
        version = _identity(found)
        print_json({"to": version, "lacking": missing, "runs": [each.as_json() for each in rehearsed]})
    else:
        print_rehearsal(found, missing, rehearsed)
        if not settings.nodes:
            click.secho("Implementations were not checked: name their modules with --nodes.", dim=True, err=True)
    if missing or any(each.differences for each in rehearsed):
        raise click.exceptions.Exit(1)


blueprint.add_command(migrate)


async def _rehearse(
    settings: Settings, found: Blueprint, *, run_ids: Sequence[RunId] | None, ended: int
) -> list[Rehearsed]:
    graph = build_graph(found, digest_of(found))
    async with open_stores(settings) as stores:
        catalog = Catalog(stores.blueprints, time.time)
        return [each async for each in rehearse_runs(graph, stores.runs, catalog, ended=ended, run_ids=run_ids)]


def _json_files(paths: Sequence[Path]) -> list[Path]:
    found = [file for path in paths for file in (sorted(path.rglob("*.json")) if path.is_dir() else [path])]
    if not found:
        raise click.UsageError(f"no .json file in {', '.join(map(str, paths))}")
    return found


def _read(path: Path) -> Blueprint:
    try:
        return parse_blueprint(path.read_bytes(), default_id=path.stem)
    except BlueprintError as error:
        problems = "".join(f"\n  {problem}" for problem in error.problems)
        raise BlueprintError(f"{path} is no blueprint that can be used:{problems}", problems=error.problems) from error


async def _find(blueprint_id: str, version: str | None) -> Blueprint:
    async with open_stores(Settings.load()) as stores:
        return (await Catalog(stores.blueprints, time.time).find(BlueprintId(blueprint_id), version)).blueprint


def _source(source: str) -> Blueprint:
    return _read(Path(source)) if Path(source).is_file() else asyncio.run(_find_version(source))


async def _find_version(source: str) -> Blueprint:
    """An id, or an id with a version behind the last ``@``; an id may hold one too."""
    blueprint_id, at, version = source.rpartition("@")
    try:
        return await _find(source, None)
    except BlueprintNotFoundError:
        if not (blueprint_id and at and version):
            raise
    return await _find(blueprint_id, version)


async def _register(blueprints: Sequence[Blueprint], *, by: str) -> list[StoredBlueprint]:
    settings = Settings.load()
    async with open_stores(settings) as stores:
        catalog = Catalog(stores.blueprints, time.time, max_nodes=settings.max_nodes, max_edges=settings.max_edges)
        stored = []
        for each in blueprints:
            registered = await catalog.register(each)
            stored.append(registered)
            facts = {"blueprint": registered.blueprint_id, "version": registered.version, "digest": registered.digest}
            tell_audit(settings, "blueprint push", by=by, **facts)
        return stored


async def _all() -> Sequence[StoredBlueprint]:
    async with open_stores(Settings.load()) as stores:
        return await stores.blueprints.all()


def _stored_json(stored: StoredBlueprint) -> dict[str, Any]:
    return {
        "id": stored.blueprint_id,
        "version": stored.version,
        "digest": stored.digest,
        "registered_at": stored.registered_at,
    }


def _identity(found: Blueprint) -> dict[str, Any]:
    return {"id": found.id, "version": found.version, "digest": digest_of(found)}


def _print_changes(changes: Sequence[Change]) -> None:
    if not changes:
        click.echo("No difference.")
    for change in changes:
        sign, colour = SIGNS[change.kind]
        click.secho(f"{sign} {change.part} {one_line(change.name)}", fg=colour, bold=True)
        for field in change.fields:
            values = [value_text(value) for value in (field.before, field.after) if value is not ABSENT]
            sign = "" if len(values) > 1 else "+ " if field.before is ABSENT else "- "
            shown = sign if change.kind == "changed" else ""
            click.echo(f"    {shown}{one_line(field.path)}: {' -> '.join(values)}")


def _print_issues(found: Sequence[tuple[Path, Sequence[Issue]]]) -> None:
    for path, issues in found:
        if not issues:
            click.echo(f"{plain(str(path))}: {click.style('ok', fg='green')}")
        for issue in sorted(issues, key=lambda issue: issue.severity):
            severity = click.style(issue.severity, fg="red" if issue.severity == "error" else "yellow", bold=True)
            where = issue.path or "blueprint"
            click.echo(f"{plain(str(path))}: {plain(where)}: {severity} {issue.code}: {plain(issue.message)}")


def _print_blueprint(found: Blueprint) -> None:
    console = Console()
    analysis = analyse(found)
    console.print(Text(f"{plain(found.id)}  version {plain(found.version)}", style="bold"))
    starts = frozenset(analysis.start_node_ids)
    nodes = Table("Node", "Uses", "Goes to", box=None)
    for node in found.nodes:
        edges = [
            "".join(
                [
                    edge.target,
                    f" on {edge.action}" if edge.action else "",
                    f" if {edge.condition}" if edge.condition else "",
                ]
            )
            for edge in found.edges
            if edge.source == node.id
        ]
        if node.config.fallback is not None:
            edges.append(f"{node.config.fallback} when it fails")
        nodes.add_row(
            Text(one_line(node.id), style="bold" if node.id in starts else ""),
            Text(one_line(node.uses)),
            Text("\n".join(one_line(edge) for edge in edges)),
        )
    console.print(nodes)
    shape = "no cycles" if analysis.is_dag else f"{len(analysis.cycles)} cycles"
    console.print(f"{analysis.node_count} nodes, {analysis.edge_count} edges, {shape}", style="dim")
