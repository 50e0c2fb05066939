"""Code as a user would write it. It is never run: mypy must accept it, and refuse what is marked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from famulus.nodes import NodeContext, Registry, Result, ThreadContext, node


@dataclass
class Order:
    id: str
    total: float


@node("charge")
async def charge(order: Order, ctx: NodeContext, currency: str = "EUR") -> Result:
    seen: Any = await ctx.get("seen", 0)
    await ctx.set("seen", seen + 1)
    if await ctx.has("blocked"):
        return Result(action="refuse")
    key: str = ctx.idempotency_key
    return Result({"charged": order.total, "currency": currency, "key": key}, "ship")


@node("label")
def label(input: dict[str, Any], ctx: ThreadContext) -> str:
    ctx.set("labelled", value=True)
    return f"{ctx.run_id}/{input['id']}"


registry = Registry()
registry.register("charge", charge)
number_of_implementations: int = len(registry)

node(1)  # type: ignore[arg-type]
Result(action=1)  # type: ignore[arg-type]
