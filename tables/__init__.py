"""Read models for the views, kept in Faust tables. They can always be rebuilt, and nothing is decided from them.

Both are global tables: every worker has the whole of them, so it does not matter which one serves the page. Each writer
has keys of its own, and who reads adds them up.
"""

from . import run_board, throughput

__all__ = ["run_board", "throughput"]
