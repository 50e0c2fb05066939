"""What users write: functions and classes that are the implementations of nodes."""

from famulus.errors import NonRetryableError, RetryAfter
from famulus.nodes.context import NodeContext, ThreadContext
from famulus.nodes.middleware import middleware
from famulus.nodes.providers import provide
from famulus.nodes.registry import Implementation, Registry, load_registry, node
from famulus.nodes.result import Result
from famulus.nodes.signature import Inject

__all__ = [
    "Implementation",
    "Inject",
    "NodeContext",
    "NonRetryableError",
    "Registry",
    "Result",
    "RetryAfter",
    "ThreadContext",
    "load_registry",
    "middleware",
    "node",
    "provide",
]
