"""The streams of the application, one module each. Nothing is registered on import."""

from . import events, jobs

__all__ = ["events", "jobs"]
