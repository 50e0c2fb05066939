"""What can go wrong while servers are found, started or stopped."""

from __future__ import annotations


class StackError(RuntimeError):
    """A server cannot be found, started or reached; the message says which one, what was seen, and what to do."""
