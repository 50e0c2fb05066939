"""`sleep`, `wait` and `webhook`: the run goes on when the time has come, or when somebody lets it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from famulus.blueprint.builtins import SleepParams, WaitParams, WebhookParams
from famulus.engine.builtins.tokens import digest_of_token
from famulus.flow.status import StepStatus
from famulus.flow.waiting import ForSignal, ForTimer, ForWebhook
from famulus.ports import Hook

if TYPE_CHECKING:
    from famulus.engine.builtins.call import BuiltInCall
    from famulus.flow.facts import Fact


async def sleep(call: BuiltInCall) -> Fact:
    """Give the input on, later."""
    params = call.params(SleepParams)
    wake_at = params.until if params.until is not None else call.started_at + (params.duration_ms or 0) / 1000
    return call.suspended(ForTimer(), status=StepStatus.SLEEPING, wake_at=wake_at, output=call.input)


async def wait(call: BuiltInCall) -> Fact:
    params = call.params(WaitParams)
    waiting_for = ForSignal(signal=params.signal, timeout_action=params.timeout_action, form=params.form)
    return call.suspended(waiting_for, wake_at=_deadline(call, params.timeout_ms))


async def await_webhook(call: BuiltInCall) -> Fact:
    """The webhook is known to the store before the step waits: a call that comes too early is told to come again."""
    params = call.params(WebhookParams)
    digest = digest_of_token(call.services.tokens.token_of(call.run.run_id, call.step.step_id))
    await call.services.hooks.put(Hook(digest=digest, run_id=call.run.run_id, step_id=call.step.step_id))
    waiting_for = ForWebhook(
        token_digest=digest,
        timeout_action=params.timeout_action,
        form=params.form,
        token_expires_at=_token_expires_at(call, params),
    )
    return call.suspended(waiting_for, wake_at=_deadline(call, params.timeout_ms))


def _deadline(call: BuiltInCall, timeout_ms: float | None) -> float | None:
    return None if timeout_ms is None else call.started_at + timeout_ms / 1000


def _token_expires_at(call: BuiltInCall, params: WebhookParams) -> float | None:
    """Who says how long the step waits has said how long its token is good, so the life that is set ends none early."""
    if params.token_expires_ms is not None:
        life_seconds = params.token_expires_ms / 1000
    elif params.timeout_ms is not None:
        return None
    else:
        life_seconds = call.services.tokens.life_seconds
    return call.started_at + life_seconds if life_seconds else None
