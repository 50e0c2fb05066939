"""A workflow whose nodes need secrets is tested with those of the test."""

from __future__ import annotations

from typing import Any

from support.documents import blueprint

from famulus.nodes import Registry
from famulus.security.secrets import Secrets
from famulus.testing import run

PAY = blueprint("pay", {"pay": {"uses": "pay", "params": {"key": "secret://bank-key"}}})


async def test_a_run_is_given_the_secrets_of_the_test() -> None:
    seen: list[Any] = []
    registry = Registry()
    registry.register("pay", lambda ctx: seen.append(ctx.params["key"]))

    async with run(PAY, registry=registry, options={"secrets": Secrets.given({"bank-key": "of the test"})}) as test:
        await test.finish()

        assert test.status == "completed"
    assert seen == ["of the test"]
