"""Finds a Java 17. Kafka 4 needs 17 or newer and Cassandra 5.0 needs 11 or 17, so 17 is the one that runs both."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

from famulus.stacks.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Iterator

JAVA_MAJOR: Final = 17
INSTALLED_JAVAS: Final = Path("/usr/lib/jvm")
MACOS_JAVA_HOME: Final = Path("/usr/libexec/java_home")


def find_java() -> Path:
    """Return the first Java 17 of: ``JAVA_HOME``, those installed by the system, ``java`` on PATH."""
    seen = []
    for java in _candidates():
        major = java_major(java)
        if major == JAVA_MAJOR:
            return java
        seen.append(f"{java} is {'no working Java' if major is None else f'Java {major}'}")
    found = "; ".join(seen) or "no Java was found"
    raise StackError(
        f"Kafka and Cassandra need Java {JAVA_MAJOR}, but {found}. "
        f"Install a JDK or JRE {JAVA_MAJOR} and set JAVA_HOME to its folder."
    )


def java_major(java: Path) -> int | None:
    """Return the major version that the program reports, or None if it does not run."""
    try:
        answer = subprocess.run(  # noqa: S603
            [java, "-version"], capture_output=True, text=True, check=True, timeout=20
        )
    except (OSError, subprocess.SubprocessError):
        return None
    version = re.search(r'version "(?:1\.)?(\d+)', answer.stderr)
    return int(version[1]) if version else None


def _candidates() -> Iterator[Path]:
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home, "bin", "java")
    for folder in sorted(INSTALLED_JAVAS.glob(f"*{JAVA_MAJOR}*")):
        if (java := folder / "bin" / "java").exists():
            yield java
    if MACOS_JAVA_HOME.exists():
        yield from _ask_macos()
    if on_path := shutil.which("java"):
        yield Path(on_path)


def _ask_macos() -> Iterator[Path]:
    answer = subprocess.run(  # noqa: S603
        [MACOS_JAVA_HOME, "-v", str(JAVA_MAJOR)], capture_output=True, text=True, check=False
    )
    if answer.returncode == 0:
        yield Path(answer.stdout.strip(), "bin", "java")
