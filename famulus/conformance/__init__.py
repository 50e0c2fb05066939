"""A door for suites that are written elsewhere: run a blueprint on a stack, and be told what came of it."""

from famulus.conformance.door import close, lint_case, run_case

__all__ = ["close", "lint_case", "run_case"]
