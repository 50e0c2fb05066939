"""Blueprints written in Python, with the same JSON in the end. See docs/howto/build-in-python.md."""

from famulus.builder.flow import Flow, flow
from famulus.builder.step import Step, step
from famulus.builder.traced import Value, first_of, on, when
from famulus.builder.tracing import Task, each, task, workflow

__all__ = ["Flow", "Step", "Task", "Value", "each", "first_of", "flow", "on", "step", "task", "when", "workflow"]
