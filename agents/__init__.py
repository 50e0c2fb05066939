"""The streams of the application, one module each. Nothing is registered on import."""

from . import events, items, jobs

__all__ = ["events", "items", "jobs"]
