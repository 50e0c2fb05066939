"""The command line: `famulus`. It reads the stores and writes records; it never decides what happens to a run."""

from famulus.cli.program import main

__all__ = ["main"]
