"""The worker as `famulus dev` runs it: Faust, and an eye on its parent.

Standard input is a pipe that nobody writes to; when the parent ends, however it ends, the pipe does too, and the worker
stops as on SIGTERM. So a killed `famulus dev` leaves no worker behind that would hold its port and its partitions.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from famulus.cli.terminal import plain
from famulus.cli.worker import run_faust, worker_command
from famulus.errors import FamulusError


def main() -> None:
    threading.Thread(target=_end_with_parent, name="famulus-parent", daemon=True).start()
    try:
        run_faust(worker_command(quiet=True))
    except FamulusError as error:
        sys.exit(f"Error: {plain(str(error))}")


def _end_with_parent() -> None:
    while os.read(0, 1):  # not sys.stdin: a thread inside its lock disturbs the end of the interpreter
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
