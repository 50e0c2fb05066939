"""The implementations that `blueprint.json` names: `FAMULUS_NODES=examples.order.nodes`.

An order is ``{"customer": "ada", "sku": "lamp", "quantity": 2, "unit_cents": 1999, "country": "SE"}``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Final

from famulus.errors import NonRetryableError
from famulus.nodes import NodeContext, ThreadContext, node

from .ledger import KeyReusedError, Ledger

LEDGER_VARIABLE: Final = "ORDER_LEDGER"
CREDIT_CENTS: Final = 100_000
"""The payment provider declines what is more."""
SUSPICIOUS_CENTS: Final = 50_000
KNOWN_COUNTRIES: Final = frozenset({"DE", "FI", "NO", "SE"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    customer: str
    sku: str
    quantity: int
    unit_cents: int
    country: str = "SE"


@node("order.accept")
async def accept(order: Order) -> dict[str, Any]:
    """Refuse what is no order at all, and say what it costs."""
    if order.quantity < 1 or order.unit_cents < 0:
        raise NonRetryableError(f"{order.quantity} articles at {order.unit_cents} cents cannot be sold")
    return {
        "customer": order.customer,
        "sku": order.sku,
        "quantity": order.quantity,
        "country": order.country,
        "cents": order.quantity * order.unit_cents,
    }


@node("order.charge")
def charge(ctx: ThreadContext, customer: str, cents: int) -> dict[str, Any]:
    if cents > CREDIT_CENTS:
        return {"paid": False, "why": f"declined: more than {CREDIT_CENTS} cents"}
    try:
        _ledger().charge(ctx.idempotency_key, customer, cents)
    except KeyReusedError as error:
        raise NonRetryableError(str(error)) from error
    return {"paid": True, "cents": cents, "key": ctx.idempotency_key}


@node("order.reserve")
def reserve(ctx: ThreadContext, sku: str, quantity: int) -> dict[str, Any]:
    if _ledger().reserve(ctx.idempotency_key, sku, quantity):
        return {"reserved": True, "key": ctx.idempotency_key}
    return {"reserved": False, "why": f"fewer than {quantity} of {sku} in stock"}


@node("order.fraud")
async def check_fraud(cents: int, country: str) -> dict[str, Any]:
    """A score from 0 (harmless) to 100."""
    score = 40 * (cents > SUSPICIOUS_CENTS) + 40 * (country not in KNOWN_COUNTRIES)
    return {"score": score}


@node("order.review")
async def review(charge: dict[str, Any], reserve: dict[str, Any], fraud: dict[str, Any], limit: int) -> dict[str, Any]:
    """Bring the three answers together: the reasons, if there are any, not to ship."""
    reasons = [answer["why"] for answer in (charge, reserve) if "why" in answer]
    if fraud["score"] >= limit:
        reasons.append(f"fraud score {fraud['score']}, at most {limit - 1} is accepted")
    return {"reasons": reasons}


@node("order.ship")
async def ship(ctx: NodeContext, order: dict[str, Any]) -> dict[str, Any]:
    return {"parcel": f"parcel-{ctx.run_id}", "sku": order["sku"], "quantity": order["quantity"]}


@node("order.refuse")
async def refuse(reasons: list[str]) -> dict[str, Any]:
    return {"message": "We cannot send your order: " + "; ".join(reasons)}


@node("order.refund")
def refund(ctx: ThreadContext, charge: dict[str, Any]) -> dict[str, Any]:
    return {"refunded_cents": _ledger().refund(ctx.idempotency_key, charge["key"])}


@node("order.release")
def release(reserve: dict[str, Any]) -> dict[str, Any]:
    _ledger().release(reserve["key"])
    return {"released": True}


@node("order.close")
async def close(
    ship: dict[str, Any] | None = None, refuse: dict[str, Any] | None = None, refund: dict[str, Any] | None = None
) -> dict[str, Any]:
    """What the customer is told; only the branches that were taken have something to say."""
    if ship is not None:
        return {"shipped": True, "parcel": ship["parcel"]}
    return {
        "shipped": False,
        "message": (refuse or {}).get("message"),
        "refunded_cents": (refund or {}).get("refunded_cents", 0),
    }


def _ledger() -> Ledger:
    return Ledger(os.environ.get(LEDGER_VARIABLE, "order-ledger.db"))
