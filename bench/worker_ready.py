"""Become a worker, and print a line READY once it has partitions: what the reference's benchmark waits for.

    python bench/worker_ready.py [MODULE]        # the application's module, `app` if it is not said

The process becomes the worker itself, so that whoever started it measures and stops the worker and nothing else; a
grandchild asks for the health of it and ends after its line.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Final

from bench.worker_process import READY_SECONDS, foreign_environment, is_ready, worker_command
from famulus.stacks.ports import free_port

ASK_SECONDS: Final = 0.1
KEPT: Final = ("FAMULUS_", "KAFKA_BROKERS", "CASSANDRA_CONTACT_POINTS", "CASSANDRA_DATACENTER", "REDIS_URL", "EXEC_LOG")


def main() -> None:
    module = sys.argv[1] if len(sys.argv) > 1 else "app"
    port = free_port()
    if not _fork_child():
        _announce(port)
        return
    given = {name: value for name, value in os.environ.items() if name.startswith(KEPT)}
    environment = {**foreign_environment(), **given, "FAMULUS_WEB_PORT": str(port), "FAMULUS_LOG_LEVEL": "warning"}
    command = worker_command(module, loop=os.environ.get("BENCH_LOOP", "aio"))
    os.dup2(
        sys.stderr.fileno(), sys.stdout.fileno()
    )  # what Faust writes to a terminal must not precede READY in a line
    os.execve(command[0], command, environment)


def _fork_child() -> bool:
    """Fork twice, so that the worker has no child to look after. Says whether this is still the first process."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return True
    if os.fork():
        os._exit(0)
    return False


def _announce(port: int) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if is_ready(port):
            print("READY", flush=True)
            return
        time.sleep(ASK_SECONDS)


if __name__ == "__main__":
    main()
