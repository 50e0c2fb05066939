"""Calls of webhooks, from outside: a token finds the step that waits for it, and lets it go on, once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from famulus.blueprint.forms import check_form
from famulus.blueprint.secret_names import secret_name
from famulus.engine.builtins.tokens import digest_of_token
from famulus.engine.loader import state_of
from famulus.engine.seals import visible_rows
from famulus.errors import CommandRefusedError, HookExpiredError, HookNotFoundError, InputError
from famulus.flow.status import StepStatus
from famulus.flow.waiting import ForWebhook
from famulus.security.calls import check_call

if TYPE_CHECKING:
    from collections.abc import Callable

    from famulus.engine.asking import Commands
    from famulus.engine.catalog import Catalog
    from famulus.ports import Hook, HookStore, RunStore
    from famulus.security.secrets import Secrets

BY_WEBHOOK = "webhook"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What somebody sends to a webhook."""

    payload: Any
    """What is in the body."""
    body: bytes = b""
    signature: str | None = None
    """The header of `famulus.security.calls`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """What a step asks of whoever calls."""

    form: dict[str, Any]
    """Empty if it has none."""
    secret: str | None
    """The name of the one that calls are signed with."""
    until: float | None
    """Calls are too late then; ``None``: never."""


class Hooks:
    def __init__(
        self,
        hooks: HookStore,
        *,
        runs: RunStore,
        catalog: Catalog,
        commands: Commands,
        secrets: Secrets,
        now: Callable[[], float],
    ) -> None:
        self._hooks = hooks
        self._runs = runs
        self._catalog = catalog
        self._commands = commands
        self._secrets = secrets
        self._now = now

    async def call(self, token: str, call: Call, *, patience_seconds: float) -> None:
        """Let the step go on whose token this is, with the payload of the call as its output.

        Raises `HookNotFoundError` for a token that is unknown, used, or not waited for yet: nobody learns which. Raises
        `AccessDeniedError` for a call that is not signed as the step wants it, `HookExpiredError` for one that comes
        too late, and `InputError` for a payload that does not fit the form of the step; all is as before then.
        """
        digest = digest_of_token(token)
        hook = await self._hooks.get(digest)
        wanted = None if hook is None else await self._wanted_by(hook, digest)
        if hook is None or wanted is None:
            raise HookNotFoundError
        if wanted.secret is not None:
            check_call(self._secrets.value(wanted.secret), call.signature, call.body, now=self._now())
        if wanted.until is not None and self._now() >= wanted.until:
            raise HookExpiredError
        problems = check_form(wanted.form, call.payload) if wanted.form else []
        if problems:
            raise InputError(f"the body does not fit: {'; '.join(problems)}")
        given = {"step_id": hook.step_id, "output": call.payload}
        try:
            await self._commands.send(hook.run_id, "resume", given, by=BY_WEBHOOK, patience_seconds=patience_seconds)
        except CommandRefusedError as error:
            raise HookNotFoundError from error

    async def _wanted_by(self, hook: Hook, digest: str) -> _Wanted | None:
        """What the step asks for; ``None`` if it does not wait for the token now."""
        rows = await self._runs.load(hook.run_id)
        if rows is None:
            return None
        birth = rows.birth
        graph = await self._catalog.graph_of(birth)
        step = state_of(graph, visible_rows(rows)).steps.get(hook.step_id)
        if step is None or step.status is not StepStatus.WAITING:
            return None
        waits = step.waiting_for
        if not isinstance(waits, ForWebhook) or waits.token_digest != digest:
            return None
        signed_by = graph.node(step.node_id).params.get("signedBy")
        return _Wanted(form=dict(waits.form or {}), secret=secret_name(signed_by), until=waits.token_expires_at)
