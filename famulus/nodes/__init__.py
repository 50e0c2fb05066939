"""What users write: functions that are the implementations of nodes."""

from famulus.nodes.context import NodeContext, ThreadContext
from famulus.nodes.registry import Implementation, Registry, load_registry, node
from famulus.nodes.result import Result

__all__ = ["Implementation", "NodeContext", "Registry", "Result", "ThreadContext", "load_registry", "node"]
