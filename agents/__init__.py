"""The streams of the application, one module each. Nothing is registered on import."""

from . import dead_letters, events, items, jobs

__all__ = ["dead_letters", "events", "items", "jobs"]
