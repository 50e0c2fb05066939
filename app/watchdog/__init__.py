"""Whether a worker still does what it is for, and what is done when it does not (docs/howto/operate.md)."""

from .watching import EXIT_CODE, Watchdog

__all__ = ["EXIT_CODE", "Watchdog"]
