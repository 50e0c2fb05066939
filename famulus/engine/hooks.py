"""Calls of webhooks, from outside: a token finds the step that waits for it, and lets it go on, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from famulus.blueprint.forms import check_form
from famulus.engine.builtins.tokens import digest_of_token
from famulus.engine.loader import state_of
from famulus.engine.seals import visible_rows
from famulus.errors import CommandRefusedError, HookNotFoundError, InputError
from famulus.flow.status import StepStatus
from famulus.flow.waiting import ForWebhook

if TYPE_CHECKING:
    from famulus.engine.asking import Commands
    from famulus.engine.catalog import Catalog
    from famulus.ports import Hook, HookStore, RunStore

BY_WEBHOOK = "webhook"


class Hooks:
    def __init__(self, hooks: HookStore, *, runs: RunStore, catalog: Catalog, commands: Commands) -> None:
        self._hooks = hooks
        self._runs = runs
        self._catalog = catalog
        self._commands = commands

    async def call(self, token: str, payload: Any, *, patience_seconds: float) -> None:
        """Let the step go on whose token this is, with the payload as its output.

        Raises `HookNotFoundError` for a token that is unknown, used, or not waited for yet: nobody learns which. Raises
        `InputError` for a payload that does not fit the form of the step; the token is as good as before.
        """
        digest = digest_of_token(token)
        hook = await self._hooks.get(digest)
        form = None if hook is None else await self._form_of(hook, digest)
        if hook is None or form is None:
            raise HookNotFoundError
        problems = check_form(form, payload) if form else []
        if problems:
            raise InputError(f"the body does not fit: {'; '.join(problems)}")
        given = {"step_id": hook.step_id, "output": payload}
        try:
            await self._commands.send(hook.run_id, "resume", given, by=BY_WEBHOOK, patience_seconds=patience_seconds)
        except CommandRefusedError as error:
            raise HookNotFoundError from error

    async def _form_of(self, hook: Hook, digest: str) -> dict[str, Any] | None:
        """The form of the step, empty if it has none; ``None`` if the step does not wait for the token now."""
        rows = await self._runs.load(hook.run_id)
        if rows is None:
            return None
        birth = rows.birth
        graph = await self._catalog.pinned(birth.digest, blueprint_id=birth.blueprint_id, version=birth.version)
        step = state_of(graph, visible_rows(rows)).steps.get(hook.step_id)
        if step is None or step.status is not StepStatus.WAITING:
            return None
        waits = step.waiting_for
        if not isinstance(waits, ForWebhook) or waits.token_digest != digest:
            return None
        return dict(waits.form or {})
