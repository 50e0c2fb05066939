"""What somebody has changed from this machine and what no row of a store tells, as lines of a file beside the data.

Runs, tokens and dead letters know who has done something to them; a blueprint and a schedule that is gone do not.
Workers tell what is asked of them over HTTP to their log. Who has the login of the servers could change them without
us, so this is for looking things up, and no proof.
"""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from typing import Final

import click

from famulus.security.audit import audit
from famulus.settings import Settings

AUDIT_FILE: Final = "audit.log"


def tell_audit(settings: Settings, what: str, *, by: str, **facts: str) -> None:
    """Add a line for what has been done. It is done already, so a file that cannot be written is told and no error."""
    audit(what, by=by, **facts)
    at = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds")
    line = json.dumps({"at": at, "action": "audit", "what": what, "by": by, **facts})
    path = settings.data_dir / AUDIT_FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # One write to the end of the file, so that lines of several commands do not get into one another.
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(file, f"{line}\n".encode())
        finally:
            os.close(file)
    except OSError as error:
        click.echo(f"not written to {path}: {error.strerror}", err=True)
