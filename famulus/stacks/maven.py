"""Fetches a Java program with everything it needs at run time, through the ``mvn`` on PATH and its own settings.

Which repository answers, with which mirror or proxy, is Maven's business; nothing here names one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

from famulus.stacks.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Sequence

CACHE_VARIABLE: Final = "FAMULUS_CACHE"
OUTPUT_TAIL_LINES: Final = 15
POM: Final = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>famulus</groupId>
  <artifactId>stack</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
{dependencies}
  </dependencies>
</project>
"""
DEPENDENCY: Final = """\
    <dependency>
      <groupId>{group}</groupId>
      <artifactId>{artifact}</artifactId>
      <version>{version}</version>
    </dependency>"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coordinate:
    """What Maven calls an artefact: ``group:artifact:version``."""

    group: str
    artifact: str
    version: str

    def __str__(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"


def resolve(*coordinates: Coordinate) -> list[Path]:
    """Return the jars of the artefacts and of all their runtime dependencies, sorted by name.

    The jars are kept in a folder named after the coordinates, so only the first call runs Maven. The folder appears
    complete or not at all, also when two programs resolve the same at once.
    """
    folder = cached_folder(coordinates)
    if not folder.exists():
        _fill(folder, coordinates)
    return sorted(folder.glob("*.jar"))


def is_cached(*coordinates: Coordinate) -> bool:
    return cached_folder(coordinates).exists()


def cached_folder(coordinates: Sequence[Coordinate]) -> Path:
    name = "+".join(f"{each.group}.{each.artifact}-{each.version}" for each in coordinates)
    return _cache() / "maven" / name


def _cache() -> Path:
    given = os.environ.get(CACHE_VARIABLE)
    return Path(given).expanduser().resolve() if given else Path.home() / ".cache" / "famulus"


def _fill(folder: Path, coordinates: Sequence[Coordinate]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".resolving-") as workplace:
        pom = Path(workplace, "pom.xml")
        pom.write_text(_pom(coordinates))
        jars = Path(workplace, "jars")
        _copy_dependencies(pom, jars, coordinates)
        try:
            jars.rename(folder)
        except OSError:
            if not folder.exists():  # otherwise another program was faster, with the same jars
                raise


def _pom(coordinates: Sequence[Coordinate]) -> str:
    dependencies = (
        DEPENDENCY.format(group=escape(each.group), artifact=escape(each.artifact), version=escape(each.version))
        for each in coordinates
    )
    return POM.format(dependencies="\n".join(dependencies))


def _copy_dependencies(pom: Path, jars: Path, coordinates: Sequence[Coordinate]) -> None:
    wanted = ", ".join(map(str, coordinates))
    maven = shutil.which("mvn")
    if maven is None:
        raise StackError(f"{wanted} must be fetched with Maven, but there is no mvn on PATH. Install Maven 3.")
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={jars}"]
    answer = subprocess.run(  # noqa: S603
        [maven, "-q", "-B", "-f", pom, *goal], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if answer.returncode != 0 or not jars.exists():
        output = "\n".join((answer.stdout + answer.stderr).strip().splitlines()[-OUTPUT_TAIL_LINES:])
        raise StackError(
            f"Maven could not fetch {wanted} (exit code {answer.returncode}). "
            f"If it cannot reach a repository, set a mirror or proxy in its settings.xml. Its last words:\n{output}"
        )
