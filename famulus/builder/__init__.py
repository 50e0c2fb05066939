"""Blueprints written in Python, with the same JSON in the end. See docs/howto/build-in-python.md."""

from famulus.builder.flow import Flow, flow
from famulus.builder.step import Step, step

__all__ = ["Flow", "Step", "flow", "step"]
