"""Maven runs once for the same artefacts, and a failure leaves no trace in the cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from famulus.stacks import StackError, maven
from famulus.stacks.maven import Coordinate

if TYPE_CHECKING:
    from pathlib import Path

KAFKA = Coordinate(group="org.example", artifact="server", version="1.0")
BRIDGE = Coordinate(group="org.example", artifact="log-bridge", version="2.0")
COPYING_MAVEN = """\
#!/bin/sh
echo run >> "$(dirname "$0")/runs"
for argument; do
  case $argument in
    -DoutputDirectory=*) folder=${argument#*=} ;;
    *pom.xml) cp "$argument" "$(dirname "$0")/seen.xml" ;;
  esac
done
mkdir -p "$folder"
touch "$folder/server-1.0.jar" "$folder/dependency-3.jar"
"""
FAILING_MAVEN = """\
#!/bin/sh
echo "[ERROR] Could not find artifact org.example:server"
exit 1
"""


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands first on PATH, beside an empty cache."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("FAMULUS_CACHE", str(tmp_path / "cache"))
    return folder


def put_maven(bin_folder: Path, script: str) -> None:
    mvn = bin_folder / "mvn"
    mvn.write_text(script)
    mvn.chmod(0o755)


def test_artefact_comes_with_its_dependencies_sorted_by_name(bin_folder: Path, tmp_path: Path) -> None:
    put_maven(bin_folder, COPYING_MAVEN)

    jars = maven.resolve(KAFKA)

    assert [jar.name for jar in jars] == ["dependency-3.jar", "server-1.0.jar"]
    assert all(jar.is_relative_to(tmp_path / "cache" / "maven") for jar in jars)


def test_second_call_runs_no_maven(bin_folder: Path) -> None:
    put_maven(bin_folder, COPYING_MAVEN)

    first, second = maven.resolve(KAFKA), maven.resolve(KAFKA)

    assert first == second
    assert (bin_folder / "runs").read_text() == "run\n"


def test_artefacts_asked_for_together_are_resolved_together(bin_folder: Path) -> None:
    put_maven(bin_folder, COPYING_MAVEN)

    maven.resolve(KAFKA, BRIDGE)

    pom = (bin_folder / "seen.xml").read_text()
    assert "<artifactId>server</artifactId>" in pom
    assert "<artifactId>log-bridge</artifactId>" in pom
    assert maven.is_cached(KAFKA, BRIDGE)
    assert not maven.is_cached(KAFKA)


def test_failure_shows_what_maven_said_and_caches_nothing(bin_folder: Path, tmp_path: Path) -> None:
    put_maven(bin_folder, FAILING_MAVEN)

    with pytest.raises(StackError, match=r"could not fetch org.example:server:1.0(?s:.*)Could not find artifact"):
        maven.resolve(KAFKA)

    assert not maven.is_cached(KAFKA)
    assert list((tmp_path / "cache" / "maven").iterdir()) == []


def test_missing_maven_is_an_error_that_says_what_to_install(bin_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(bin_folder))

    with pytest.raises(StackError, match=r"no mvn on PATH\. Install Maven"):
        maven.resolve(KAFKA)
