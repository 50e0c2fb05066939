"""What a rehearsal has found, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click

from famulus.blueprint import Blueprint
from famulus.cli.terminal import plain
from famulus.engine.versions.rehearsal import Rehearsed


def print_rehearsal(to: Blueprint, lacking: Mapping[str, Sequence[str]], runs: Sequence[Rehearsed]) -> None:
    for uses, nodes in lacking.items():
        click.secho(f"no implementation of {plain(uses)}, which {plain(', '.join(nodes))} uses", fg="red")
    for run in runs:
        for each in run.differences:
            where = f" {plain(each.step_id)}" if each.step_id else ""
            click.echo(
                f"{plain(run.run_id)} ({run.status}, version {plain(run.version)}){where}: {plain(each.message)}"
            )
    in_flight = sum(run.is_in_flight for run in runs)
    differing = [run for run in runs if run.differences]
    stuck = sum(run.is_in_flight for run in differing)
    click.secho(
        f"{len(runs)} runs against {plain(to.id)} version {plain(to.version)}: "
        f"{in_flight - stuck} of {in_flight} in flight can go over to it, "
        f"{len(differing) - stuck} of {len(runs) - in_flight} that have ended would have gone another way",
        fg="red" if differing or lacking else "green",
    )
