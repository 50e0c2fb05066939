"""What the programs of this folder share: some of their options, how they end, and the document that they print."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from bench.machine import command_line


def parser_of(doc: str | None, *, stacks: tuple[str, ...], default_stack: str) -> argparse.ArgumentParser:
    """Options of where to measure, and where the document goes."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stack", choices=stacks, default=default_stack)
    parser.add_argument("--loop", choices=("aio", "uvloop"), default="aio")
    parser.add_argument("--out", type=Path, help="write the document to this file too")
    return parser


def cases_among(known: Collection[str]) -> Callable[[str], list[str]]:
    """The type of an option that names some of the cases."""

    def cases(text: str) -> list[str]:
        named = [name for name in text.split(",") if name]
        unknown = [name for name in named if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"no such case: {', '.join(unknown)}; there are {', '.join(known)}")
        return named

    return cases


def end_in_order() -> None:
    """When it is terminated, the program ends what it has started."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def print_document(document: Mapping[str, Any], out: Path | None) -> None:
    text = json.dumps({"command": command_line(), **document}, indent=1)
    if out:
        out.write_text(text + "\n")
    print(text)
