"""What a newer worker has and an older one lacks."""

from __future__ import annotations

from famulus.nodes import NodeContext, node

from support.counted_nodes import count  # isort: skip  # imported by workers, whose path is another


@node("tests.later")
async def later(ctx: NodeContext) -> str:
    count(ctx)
    return "here"
