"""The worker as `famulus dev` runs it: Faust, and an eye on its parent.

Standard input is a pipe that nobody writes to; when the parent ends, however it ends, the pipe does too, and the worker
stops as on SIGTERM. So a killed `famulus dev` leaves no worker behind that would hold its port and its partitions.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading

from famulus.cli.worker import worker_command
from famulus.settings import Settings


def main() -> None:
    threading.Thread(target=_end_with_parent, name="famulus-parent", daemon=True).start()
    sys.argv = list(worker_command(Settings.load()))
    runpy.run_module("faust", run_name="__main__", alter_sys=True)


def _end_with_parent() -> None:
    while os.read(0, 1):  # not sys.stdin: a thread inside its lock disturbs the end of the interpreter
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
