"""The commands of ``famulus run`` that ask something of a run: each is told whether the run accepts or refuses it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from famulus.cli.opening import given_json, given_object, open_starter, user
from famulus.cli.terminal import json_option, plain, print_json
from famulus.engine.asking import CommandOutcome
from famulus.engine.starting import RunStarter, StartOutcome
from famulus.errors import CommandRefusedError, RunNotFoundError
from famulus.ids import RunId
from famulus.settings import Settings

ANSWER_SECONDS: Final = 5.0
"""How long the owner of a run may take to say what it makes of a command."""

id_argument = click.argument("run_id", metavar="ID")
step_argument = click.argument("step_id", metavar="STEP")
by_option = click.option("--by", help="Who asks. Default: the user of this system.")
context_option = click.option(
    "--context", "context", metavar="JSON|@FILE|-", help="Context keys to have other values, a JSON object."
)


@click.command()
@id_argument
@click.option("--reason", default="cancelled on request", show_default=True)
@click.option("--grace", type=float, default=0.0, metavar="SECONDS", help="Ask nodes first, and stop them after that.")
@by_option
@json_option
def cancel(*, run_id: str, reason: str, grace: float, by: str | None, as_json: bool) -> None:
    """Ask for the end of a run; what it has recorded stays."""
    given = {"grace_seconds": grace} if grace else {}
    asyncio.run(_ask(run_id, "cancel", given, by=by, reason=reason, as_json=as_json))


@click.command()
@id_argument
@click.option("--reason")
@by_option
@json_option
def pause(*, run_id: str, reason: str | None, by: str | None, as_json: bool) -> None:
    """Start no further step of a run; what runs comes to its end."""
    asyncio.run(_ask(run_id, "pause", {}, by=by, reason=reason, as_json=as_json))


@click.command()
@id_argument
@by_option
@json_option
def unpause(*, run_id: str, by: str | None, as_json: bool) -> None:
    """Let a paused run go on."""
    asyncio.run(_ask(run_id, "unpause", {}, by=by, as_json=as_json))


@click.command()
@id_argument
@click.argument("name", metavar="NAME")
@click.option("--payload", metavar="JSON|@FILE|-", help="What the step gives that waits for the signal.")
@by_option
@json_option
def signal(*, run_id: str, name: str, payload: str | None, by: str | None, as_json: bool) -> None:
    """Let the step go on that waits for a signal, now or later."""
    given = {"name": name, "payload": None if payload is None else given_json(payload, "--payload")}
    asyncio.run(_ask(run_id, "signal", given, by=by, as_json=as_json))


@click.command()
@id_argument
@click.option("--step", "step_id", metavar="STEP", help="A step or a node. Default: whichever has waited longest.")
@click.option("--output", metavar="JSON|@FILE|-", help="What the step gives. Without it, what it has.")
@click.option("--action", help="The action of the step: it selects edges.")
@by_option
@json_option
def resume(
    *, run_id: str, step_id: str | None, output: str | None, action: str | None, by: str | None, as_json: bool
) -> None:
    """Let a step go on that waits or sleeps."""
    given: dict[str, Any] = {} if output is None else {"output": given_json(output, "--output")}
    named = {"step_id": step_id, "action": action}
    given |= {key: value for key, value in named.items() if value is not None}
    asyncio.run(_ask(run_id, "resume", given, by=by, as_json=as_json))


@click.command()
@id_argument
@click.option("--step", "step_id", metavar="STEP", help="A step or a node. Default: all that failed or are parked.")
@by_option
@json_option
def retry(*, run_id: str, step_id: str | None, by: str | None, as_json: bool) -> None:
    """Try failed or parked steps again, also of a run that has failed."""
    asyncio.run(_ask(run_id, "retry", {} if step_id is None else {"step_id": step_id}, by=by, as_json=as_json))


@click.command()
@id_argument
@step_argument
@context_option
@by_option
@json_option
def rerun(*, run_id: str, step_id: str, context: str | None, by: str | None, as_json: bool) -> None:
    """Run a step and everything behind it once more, also after the end of the run."""
    given = {"step_id": step_id, "context": given_object(context, "--context")}
    asyncio.run(_ask(run_id, "rerun", given, by=by, as_json=as_json))


@click.command()
@id_argument
@step_argument
@click.option("--max-concurrency", type=int, help="Items that run at the same time.")
@click.option("--tolerated-failures", metavar="N|N%", help="Items that may fail.")
@by_option
@json_option
def limit(
    *,
    run_id: str,
    step_id: str,
    max_concurrency: int | None,
    tolerated_failures: str | None,
    by: str | None,
    as_json: bool,
) -> None:
    """Change the limits of a batch while it runs."""
    if max_concurrency is None and tolerated_failures is None:
        raise click.UsageError("nothing is changed: give --max-concurrency or --tolerated-failures")
    tolerated: int | str | None = tolerated_failures
    if tolerated_failures is not None and tolerated_failures.isdecimal():
        tolerated = int(tolerated_failures)
    limits = {"max_concurrency": max_concurrency, "tolerated_failures": tolerated}
    given = {"step_id": step_id, **{key: value for key, value in limits.items() if value is not None}}
    asyncio.run(_ask(run_id, "limit", given, by=by, as_json=as_json))


@click.command()
@id_argument
@step_argument
@context_option
@click.option("--id", "new_id", help="Of the new run. Default: a new one.")
@by_option
@json_option
def fork(*, run_id: str, step_id: str, context: str | None, new_id: str | None, by: str | None, as_json: bool) -> None:
    """Start a new run with what another one had done before a step; that one is left as it is."""
    changes = given_object(context, "--context")
    asyncio.run(_fork(run_id, step_id, context=changes, new_id=new_id, by=by, as_json=as_json))


@click.command()
@click.argument("run_ids", metavar="RUN...", nargs=-1, required=True)
@click.option("--to", "version", required=True, metavar="VERSION", help="A registered version of the blueprint.")
@by_option
@json_option
def migrate(*, run_ids: tuple[str, ...], version: str, by: str | None, as_json: bool) -> None:
    """Let runs go on by another version of their blueprint. `famulus blueprint rehearse` says beforehand which can.

    A run that would not go on as it has come refuses, with the reason, and stays as it is. Exit code 1 if one does.
    """
    if not asyncio.run(_migrate(run_ids, version, by=by, as_json=as_json)):
        raise click.exceptions.Exit(1)


COMMANDS: Final[tuple[click.Command, ...]] = (
    cancel,
    pause,
    unpause,
    signal,
    resume,
    retry,
    rerun,
    fork,
    limit,
    migrate,
)


async def _ask(
    run_id: str,
    command: str,
    given: Mapping[str, Any],
    *,
    by: str | None,
    reason: str | None = None,
    as_json: bool,
) -> None:
    async with open_starter(Settings.load()) as (starter, _):
        await _ask_of(starter, run_id, command, given, by=by, reason=reason, as_json=as_json)


async def _migrate(run_ids: Sequence[str], version: str, *, by: str | None, as_json: bool) -> bool:
    """One after the other; what one refuses keeps no other from it. Says whether all have gone over."""
    refused = 0
    async with open_starter(Settings.load()) as (starter, _):
        for run_id in run_ids:
            try:
                await _ask_of(starter, run_id, "migrate", {"version": version}, by=by, as_json=as_json)
            except (CommandRefusedError, RunNotFoundError) as error:
                refused += 1
                click.echo(f"{plain(run_id)}: {plain(str(error))}", err=True)
    return not refused


async def _ask_of(
    starter: RunStarter,
    run_id: str,
    command: str,
    given: Mapping[str, Any],
    *,
    by: str | None,
    reason: str | None = None,
    as_json: bool,
) -> None:
    done = await starter.commands.send(
        RunId(run_id), command, given, by=by or user(), reason=reason, patience_seconds=ANSWER_SECONDS
    )
    if as_json:
        print_json(
            {
                "run_id": run_id,
                "requested": command,
                "outcome": done.outcome,
                "command_id": done.command_id,
                "by": by or user(),
                "reason": reason,
            }
        )
        return
    told = {
        CommandOutcome.ACCEPTED: f"accepts {command}",
        CommandOutcome.SENT: f"is asked for {command}; no worker has said anything to it yet",
    }
    click.echo(f"Run {plain(run_id)} {told[done.outcome]}: famulus run watch {plain(run_id)}")


async def _fork(
    run_id: str, step_id: str, *, context: Mapping[str, Any], new_id: str | None, by: str | None, as_json: bool
) -> None:
    async with open_starter(Settings.load()) as (starter, _):
        started = await starter.fork(
            RunId(run_id),
            step_id,
            context=context,
            run_id=new_id,
            by=by or user(),
            patience_seconds=ANSWER_SECONDS,
        )
    if as_json:
        print_json({"run_id": started.run_id, "from_run": run_id, "outcome": started.outcome})
        return
    told = {
        StartOutcome.STARTED: f"has started, from step {plain(step_id)} of {plain(run_id)} on",
        StartOutcome.EXISTING: "exists already; nothing new is started",
        StartOutcome.ACCEPTED: "is accepted; no worker has taken it yet",
    }
    new = plain(started.run_id)
    click.echo(f"Run {new} {told[started.outcome]}: famulus run watch {new}")
