"""Java 17 is found where it is, and a wrong one is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from famulus.stacks import StackError, java

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose only Javas are those the test puts under the folder."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr(java, "INSTALLED_JAVAS", tmp_path / "jvm")
    monkeypatch.setattr(java, "MACOS_JAVA_HOME", tmp_path / "java_home")
    return tmp_path


def put_java(file: Path, version: str) -> Path:
    file.parent.mkdir(parents=True)
    file.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-04-15' >&2\n")
    file.chmod(0o755)
    return file


def test_java_home_comes_first(bare_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_java(bare_machine / "jvm" / "java-17" / "bin" / "java", "17.0.1")
    home = put_java(bare_machine / "home" / "bin" / "java", "17.0.15")
    monkeypatch.setenv("JAVA_HOME", str(bare_machine / "home"))

    assert java.find_java() == home


def test_java_home_of_another_version_is_passed_over(bare_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_java(bare_machine / "home" / "bin" / "java", "25.0.1")
    monkeypatch.setenv("JAVA_HOME", str(bare_machine / "home"))
    installed = put_java(bare_machine / "jvm" / "java-17-openjdk" / "bin" / "java", "17.0.15")

    assert java.find_java() == installed


def test_java_on_path_is_the_last_resort(bare_machine: Path) -> None:
    on_path = put_java(bare_machine / "path" / "java", "17.0.15")

    assert java.find_java() == on_path


def test_wrong_javas_are_named_with_their_versions(bare_machine: Path) -> None:
    put_java(bare_machine / "path" / "java", "1.8.0_402")

    with pytest.raises(StackError, match=r"need Java 17, but .*/path/java is Java 8.*set JAVA_HOME"):
        java.find_java()


def test_no_java_at_all_is_an_error_that_says_what_to_set(bare_machine: Path) -> None:
    with pytest.raises(StackError, match=r"no Java was found.*set JAVA_HOME"):
        java.find_java()
