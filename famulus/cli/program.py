"""The command `famulus` itself: which commands there are, and how an error is told.

A command's module is imported when it is called, not before, so that `famulus --help` and the completion of a shell do
not wait for drivers of servers.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Mapping
from typing import Any, Final

import click

from famulus.cli.terminal import plain
from famulus.errors import FamulusError

COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "demo": ("famulus.cli.demo:demo", "Run a real workflow from nothing: servers, worker, report."),
    "dev": ("famulus.cli.dev:dev", "Run servers, worker and web views in one command."),
    "worker": ("famulus.cli.worker:worker", "Run a worker against the servers of the settings."),
    "run": ("famulus.cli.run:run", "Start, show, list, watch and control runs."),
    "explain": (
        "famulus.cli.explain:explain",
        "Say in one sentence a step what a run waits for, and what would move it.",
    ),
    "dlq": ("famulus.cli.dlq:dlq", "List, show, redrive and drop records that could not be handled."),
    "parked": ("famulus.cli.parked:parked", "List steps that wait for an implementation, and try them again."),
    "schedule": ("famulus.cli.schedule:schedule", "Start runs at given times: create, list, pause, delete schedules."),
    "token": ("famulus.cli.token:token", "Let people and programs in: create, list and revoke tokens."),
    "verify": ("famulus.cli.verify:verify", "Check what is stored of runs, and ask for what is missing."),
    "blueprint": ("famulus.cli.blueprint:blueprint", "Lint, draw, compare, register and list blueprints."),
    "stack": ("famulus.cli.stack:stack", "Start and stop the servers on this machine, without Docker."),
    "schema": ("famulus.cli.schema:schema", "Bring the tables of the store up to date."),
    "config": ("famulus.cli.config:config", "Show the settings and where they come from."),
    "doctor": ("famulus.cli.doctor:doctor", "Check servers, topics, tables and modules, and say what to do."),
}
"""Name -> where it is, and what the help says of it."""
TRACEBACK_VARIABLE: Final = "FAMULUS_TRACEBACK"


class Program(click.Group):
    """Imports a command when it is called, and turns every error into one message."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click's
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click's
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            if os.environ.get(TRACEBACK_VARIABLE):
                raise
            raise click.ClickException(_told(error)) from error


@click.command(cls=Program, context_settings={"help_option_names": ["-h", "--help"]}, epilog="Start here: famulus demo")
@click.version_option(package_name="famulus", prog_name="famulus")
def main() -> None:
    """Durable workflows as data."""
    logging.getLogger().addHandler(logging.NullHandler())  # what a driver logs is told by our own messages
    # As `python -m faust` does: modules of nodes are found where the command is given.
    if "" not in sys.path and os.getcwd() not in sys.path:  # noqa: PTH109  # entries of sys.path are texts
        sys.path.insert(0, os.getcwd())  # noqa: PTH109


def _told(error: Exception) -> str:
    """Our own errors are written for people; any other one is told by its type, with the way to see more."""
    if isinstance(error, FamulusError) or type(error).__module__.startswith("famulus."):
        return plain(str(error))
    return plain(f"{type(error).__name__}: {error}\nThis was not foreseen. For the traceback: {TRACEBACK_VARIABLE}=1")
