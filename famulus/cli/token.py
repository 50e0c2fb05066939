"""``famulus token``: who may use the web views of workers that ask (FAMULUS_AUTH=on)."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from famulus.blueprint.times import milliseconds_of
from famulus.cli.opening import user
from famulus.cli.terminal import clock_text, json_option, plain, print_json
from famulus.client.servers import with_embedded
from famulus.connect import open_stores
from famulus.ports import StoredToken
from famulus.security.scopes import Scope
from famulus.security.tokens import create_token, is_live, revoke_tokens
from famulus.settings import Settings

by_option = click.option("--by", help="Who asks. Default: the user of this system.")


@click.group()
def token() -> None:
    """Let people and programs in: create, list and revoke tokens for the web views and the HTTP API."""


@token.command()
@click.argument("name", metavar="NAME")
@click.option(
    "--scope",
    type=click.Choice([scope.value for scope in Scope]),
    default=Scope.VIEWER.value,
    show_default=True,
    help="viewer looks, operator starts and controls runs, admin may do everything.",
)
@click.option("--expires", metavar="DURATION", help="Such as 12h, 30d. Default: never.")
@by_option
@json_option
def create(*, name: str, scope: str, expires: str | None, by: str | None, as_json: bool) -> None:
    """Make a token and print it: it is shown this once, and only a digest is kept."""
    asyncio.run(_create(name, Scope(scope), expires=expires, by=by or user(), as_json=as_json))


@token.command()
@json_option
def ls(*, as_json: bool) -> None:
    """List the tokens; who made and who revoked them."""
    asyncio.run(_ls(as_json=as_json))


@token.command()
@click.argument("name", metavar="NAME")
@by_option
@json_option
def revoke(*, name: str, by: str | None, as_json: bool) -> None:
    """Take a token back, with the logins that were made with it. Workers notice within some seconds."""
    asyncio.run(_revoke(name, by=by or user(), as_json=as_json))


async def _create(name: str, scope: Scope, *, expires: str | None, by: str, as_json: bool) -> None:
    now = time.time()
    expires_at = None if expires is None else now + _seconds(expires)
    async with open_stores(with_embedded(Settings.load())) as stores:
        secret, made = await create_token(stores.tokens, name, scope, by=by, now=now, expires_at=expires_at)
    if as_json:
        print_json({"token": secret, **_entry(made, now=now)})
        return
    until = "" if made.expires_at is None else f", until {clock_text(made.expires_at)}"
    click.echo(f"token {made.name} ({made.scope}{until}); it is not shown again:", err=True)
    click.echo(secret)


async def _ls(*, as_json: bool) -> None:
    now = time.time()
    async with open_stores(with_embedded(Settings.load())) as stores:
        found = await stores.tokens.all()
    if as_json:
        print_json([_entry(each, now=now) for each in found])
        return
    table = Table("Token", "Scope", "State", "Made", "By", "Expires", "Revoked", box=None, pad_edge=False)
    for each in found:
        revoked = "" if each.revoked_at is None else f"{clock_text(each.revoked_at)} by {each.revoked_by}"
        told = (
            each.name,
            each.scope,
            _state(each, now=now),
            clock_text(each.created_at),
            each.created_by,
            clock_text(each.expires_at),
            revoked,
        )
        table.add_row(*(Text(plain(text)) for text in told))
    Console().print(table)


async def _revoke(name: str, *, by: str, as_json: bool) -> None:
    async with open_stores(with_embedded(Settings.load())) as stores:
        count = await revoke_tokens(stores.tokens, name, by=by, now=time.time())
    if as_json:
        print_json({"name": name, "revoked": count})
    else:
        click.echo(f"token {plain(name)} is revoked")


def _seconds(expires: str) -> float:
    try:
        return milliseconds_of(expires) / 1000
    except ValueError as error:
        raise click.UsageError(f"--expires: {error}") from error


def _entry(stored: StoredToken, *, now: float) -> dict[str, object]:
    """Without the digest: who has that can ask a store for more, but not us."""
    known = {name: value for name, value in asdict(stored).items() if name != "digest"}
    return {**known, "state": _state(stored, now=now)}


def _state(stored: StoredToken, *, now: float) -> str:
    if stored.revoked_at is not None:
        return "revoked"
    return "live" if is_live(stored, now=now) else "expired"
