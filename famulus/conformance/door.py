"""The functions of the door; docs/reference/conformance.md has every key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal

from famulus.blueprint import SPECIFIED_CODES, analyse, lint_document
from famulus.blueprint.codec import read_blueprint
from famulus.conformance.case import DEFAULT_ID, read_case
from famulus.conformance.memory import run_in_memory
from famulus.errors import BlueprintError


async def run_case(  # noqa: PLR0917  # the order in which suites give them
    blueprint: Mapping[str, Any],
    nodes: Mapping[str, Callable[..., Any]],
    initial: Mapping[str, Any] | None = None,
    children: Mapping[str, Mapping[str, Any]] | None = None,
    resume: Sequence[Mapping[str, Any]] | None = None,
    cancel: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    stack: Literal["memory", "embedded", "real"] = "memory",
) -> dict[str, Any]:
    """Run a blueprint and say what came of it.

    Raises `BlueprintError` for a document that is no blueprint. One that is refused when it is registered (a cycle
    under `strict`, a loop without a `continue` edge) is a failed run that executed nothing.
    """
    case = read_case(blueprint, nodes, initial, children=children, resume=resume, cancel=cancel, options=options)
    if stack == "memory":
        return await run_in_memory(case)
    if stack not in ("embedded", "real"):
        raise ValueError(f"stack is {stack!r}, expected memory, embedded or real")
    from famulus.conformance.servers import SERVERS, run_on_servers  # noqa: PLC0415  # memory needs no Faust

    return await run_on_servers(case, await asyncio.to_thread(SERVERS.worker, stack))


async def close() -> None:
    """Stop workers and servers that cases have been run on; the end of the program does it too."""
    from famulus.conformance.servers import SERVERS  # noqa: PLC0415

    await asyncio.to_thread(SERVERS.close)


def lint_case(
    blueprint: Mapping[str, Any],
    names: Collection[str],
    children: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    every: bool = False,
) -> dict[str, Any]:
    """Lint and analyse a blueprint; `names` are those of the implementations that are registered.

    Issues have the codes of the specification; with `every`, those of famulus too. Raises `BlueprintError` for a
    document that cannot be read at all.
    """
    issues = lint_document(
        blueprint, implementations=frozenset(names), blueprints=frozenset(children or {}), default_id=DEFAULT_ID
    )
    parsed = read_blueprint(blueprint, default_id=DEFAULT_ID)
    if parsed.blueprint is None:
        problems = [str(problem) for problem in parsed.problems]
        raise BlueprintError(f"the blueprint cannot be read: {'; '.join(problems)}", problems=problems)
    analysis = analyse(parsed.blueprint)
    found = [
        {
            name: value
            for name, value in (("code", each.code), ("nodeId", each.node_id), ("relatedId", each.related_id))
            if value is not None
        }
        for each in issues
        if every or each.code in SPECIFIED_CODES
    ]
    return {
        "lint": found,
        "analysis": {
            "startNodeIds": list(analysis.start_node_ids),
            "terminalNodeIds": list(analysis.terminal_node_ids),
            "isDag": analysis.is_dag,
            "cycleCount": len(analysis.cycles),
            "nodeCount": analysis.node_count,
            "edgeCount": analysis.edge_count,
        },
    }
