# ruff: noqa: INP001  # a script beside the page that it makes
"""Write `settings.md` from the settings themselves: `python docs/reference/generate.py`.

A test compares the page with what this makes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from famulus.settings import Settings, variable_of

PAGE: Final = Path(__file__).with_name("settings.md")
HEAD: Final = """\
# Settings

<!-- Made by generate.py from famulus/settings.py; do not edit. -->

Taken from the environment, then from a file `.env` in the working folder, then from the defaults. `famulus config show`
prints the value of each and where it comes from. A wrong value ends the program with the name of its variable.

| Variable | Value | Default | |
|---|---|---|---|
"""
FOOT: Final = """
## Notes

- `KAFKA_BROKERS`: without it the embedded stack is used. Its broker and its Valkey are started where they do not
  run, and are left running for other workers. `CASSANDRA_CONTACT_POINTS` and `REDIS_URL` count all the same.
- `REDIS_URL`: with `KAFKA_BROKERS` and without this, joins are counted from rows alone. Passwords in it are masked.
- `FAMULUS_CASSANDRA_REPLICATION`: with `SimpleStrategy`. For several datacenters make the keyspace yourself: one
  that exists keeps its replication.
- `FAMULUS_NODES`: modules are imported from the working folder or from what is installed. Installed packages may
  also name theirs in the entry-point group `famulus.nodes`.
- `FAMULUS_NAMESPACE` and `FAMULUS_CASSANDRA_KEYSPACE`: a small letter, then small letters, digits and `_`, at most
  48. The namespace is part of every key in the store and in Redis. Two installations on one Kafka also need topics
  and a group of their own.
- `FAMULUS_MISSING_IMPLEMENTATION`: with `park`, a step whose `uses` is not registered in the worker is run by another
  worker that has it; where none has, it is set aside until one does ([0019](../decisions/0019-parked-steps.md)).
  `fail` fails it at once. All workers of a group should have the same.
- `FAMULUS_SESSION_TIMEOUT`: not used with the embedded broker, which has its own times.
- `FAMULUS_MAX_RECORD_BYTES` should not be above the `max.message.bytes` of the topics.
- `FAMULUS_EMBEDDED` is set by the program itself when it uses the embedded stack.
- `FAMULUS_WEB_HOST`: the views ask nobody who they are. Leave it on loopback unless something in front of it asks.
- `FAMULUS_PUBLIC_URL` and `FAMULUS_HOOK_SECRET`: see [waiting](../howto/waiting.md). All workers must have the same
  secret; changing it makes URLs useless that were handed out for webhooks that do not wait yet.
- `FAMULUS_WEB_PORT`: unless it is set, a worker takes the next free port where 6066 is taken.
- `FAMULUS_TRACEBACK=1` is read by the command line alone: it shows the traceback of an error that was not foreseen.
"""


def settings_page() -> str:
    rows = (_row(name, field) for name, field in Settings.model_fields.items())
    return HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows) + FOOT


def _row(name: str, field: FieldInfo) -> tuple[str, ...]:
    return f"`{variable_of(name)}`", _kind(field), _default(field), (field.description or "").replace("|", "\\|")


def _kind(field: FieldInfo) -> str:
    annotation = field.annotation
    options = [option for option in get_args(annotation) if option is not type(None)]
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{option}`" for option in options)
    if get_origin(annotation) is tuple:
        return "list, with commas"
    named = options[0] if options else annotation
    names = {int: "whole number", float: "number", bool: "`true` or `false`", Path: "path", SecretStr: "text, secret"}
    return names.get(named, "text") + _bounds(field)


def _bounds(field: FieldInfo) -> str:
    signs = {"ge": "from", "gt": "above", "le": "to"}
    limits = [(limit, key) for limit in field.metadata for key in signs if hasattr(limit, key)]
    return f", {' '.join(f'{signs[key]} {getattr(limit, key)}' for limit, key in limits)}" if limits else ""


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "host name and process id"
    value: Any = field.default
    if value is None or value == ():
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    PAGE.write_text(settings_page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE} written\n")
