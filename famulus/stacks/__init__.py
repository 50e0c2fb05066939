"""The servers a worker needs, started and stopped on loopback: from wheels (embedded) or the real ones (real)."""

from __future__ import annotations

from famulus.stacks.embedded import EmbeddedStack
from famulus.stacks.errors import StackError
from famulus.stacks.real import RealStack
from famulus.stacks.server import ServerStatus

__all__ = ["EmbeddedStack", "RealStack", "ServerStatus", "StackError"]
