"""Webhooks that want a signature: the URL alone lets nothing go on."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from support.documents import blueprint
from support.site import Site

from famulus.engine.builtins.tokens import HookTokens
from famulus.ids import RunId, StepId
from famulus.security.calls import HEADER, NEAR_SECONDS, sign_call
from famulus.security.secrets import Secrets

SECRET = "of-the-carrier"
BODY = b'{"ok": true}'
SIGNED = blueprint("signed", {"hook": {"uses": "webhook", "params": {"signedBy": "secret://carrier"}}})


@pytest.fixture
async def hook(site: Site) -> str:
    """The path of a webhook that waits."""
    site.app.secrets = Secrets({"FAMULUS_SECRET_CARRIER": SECRET})
    await site.world.push(SIGNED)
    await site.start("signed", "r1")
    tokens = HookTokens(site.world.engines[0].options.hook_secret, "")
    return f"/hooks/{tokens.token_of(RunId('r1'), StepId('hook'))}"


async def call(site: Site, hook: str, signature: str | None, body: bytes = BODY) -> int:
    headers = {"Content-Type": "application/json", **({} if signature is None else {HEADER: signature})}
    return (await site.client.post(hook, data=body, headers=headers)).status


def now(offset: float = 0) -> int:
    return round(time.time() + offset)


async def test_a_signed_call_lets_the_step_go_on_once(site: Site, hook: str) -> None:
    signature = sign_call(SECRET, BODY, at=now())

    first, again = await call(site, hook, signature), await call(site, hook, signature)

    assert (first, again) == (202, 404)
    assert (await site.world.ended("r1")).steps[0].output == {"ok": True}


@pytest.mark.parametrize(
    "signature",
    [
        lambda: None,
        lambda: "",
        lambda: "v1=00",
        lambda: f"t=1,v1={'0' * 64}",
        lambda: sign_call("another secret", BODY, at=now()),
        lambda: sign_call(SECRET, b'{"ok": false}', at=now()),
        lambda: sign_call(SECRET, BODY, at=now(-NEAR_SECONDS - 60)),
        lambda: sign_call(SECRET, BODY, at=now(NEAR_SECONDS + 60)),
        lambda: sign_call(SECRET, BODY, at=now()).replace("t=", "t=1"),
    ],
    ids=["none", "empty", "odd", "zeros", "another secret", "another body", "old", "of the future", "another time"],
)
async def test_any_other_call_changes_nothing(site: Site, hook: str, signature: Callable[[], str | None]) -> None:
    refused = await call(site, hook, signature())
    afterwards = await call(site, hook, sign_call(SECRET, BODY, at=now()))

    assert (refused, afterwards) == (403, 202)


async def test_nobody_learns_by_a_signature_whether_there_is_such_a_webhook(site: Site, hook: str) -> None:
    assert await call(site, f"{hook}x", sign_call(SECRET, BODY, at=now())) == 404


async def test_a_secret_that_is_missing_lets_nobody_in(site: Site, hook: str) -> None:
    site.app.secrets = Secrets()

    answer = await site.client.post(hook, data=BODY, headers={HEADER: sign_call(SECRET, BODY, at=now())})

    assert answer.status == 500
    assert "carrier" not in await answer.text()


@pytest.mark.parametrize("given", ["carrier", "secret://", "secret://a b", 7])
async def test_a_reference_that_is_none_is_found_by_the_linter(site: Site, given: Any) -> None:
    document = blueprint("bad", {"hook": {"uses": "webhook", "params": {"signedBy": given}}})

    response = await site.post("/api/v1/blueprints", document)

    assert response.status == 422
    assert "signedBy" in await response.text()
