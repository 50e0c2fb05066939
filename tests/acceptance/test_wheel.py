"""The wheel, installed in a fresh environment beside packages that are called as our folders are.

`agents` belongs to nobody: another distribution may install a package of that very name. So a workflow is run from an
empty folder, with such packages on the path, by the installed program and by Faust's own.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.installation import Installation
from support.servers import OURS, ROOT
from support.workers import Worker

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = [pytest.mark.embedded, pytest.mark.slow]

FOREIGN = ("agents", "app", "tables")
NODES = """
from famulus.nodes import node

@node("greet")
async def greet(name: str = "world") -> str:
    return f"hello {name}"

@node("shout")
def shout(greeting: str) -> str:
    return greeting.upper()
"""
BLUEPRINT = {
    "id": "greeting",
    "nodes": [
        {"id": "greet", "uses": "greet", "inputs": {"name": "name"}},
        {"id": "shout", "uses": "shout", "inputs": {"greeting": "greet"}},
    ],
    "edges": [{"source": "greet", "target": "shout"}],
}


@dataclass(frozen=True)
class Installed:
    wheel: Path
    python: Path
    site_packages: Path

    @property
    def program(self) -> Path:
        return self.python.with_name("famulus")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel of this checkout in an environment of its own, which borrows our dependencies to be quick.

    Only their packages, not their programs: what is `faust worker` elsewhere is `python -m faust worker` here.
    """
    folder = tmp_path_factory.mktemp("wheel")
    _run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder / "dist"), cwd=ROOT)
    (wheel,) = (folder / "dist").glob("famulus-*.whl")
    venv.create(folder / "venv", symlinks=True, with_pip=False)
    python = folder / "venv" / "bin" / "python"
    site_packages = Path(_run(str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    borrowed = folder / "borrowed"
    borrowed.mkdir()
    for entry in _our_site_packages().iterdir():
        if "famulus" not in entry.name and entry.suffix != ".pth":  # not the checkout, in whatever way it is installed
            (borrowed / entry.name).symlink_to(entry)
    (site_packages / "borrowed.pth").write_text(f"{borrowed}\n")
    for name in FOREIGN:
        (site_packages / name).mkdir()
        (site_packages / name / "__init__.py").write_text("raise ImportError('this package is not ours')\n")
    _run(sys.executable, "-m", "pip", f"--python={python}", "install", "--no-deps", "--quiet", str(wheel))
    return Installed(wheel, python, site_packages)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """All that a user has: a module with nodes, a folder with a blueprint."""
    (tmp_path / "my_nodes.py").write_text(NODES)
    (tmp_path / "blueprints").mkdir()
    (tmp_path / "blueprints" / "greeting.json").write_text(json.dumps(BLUEPRINT))
    return tmp_path


def test_the_wheel_brings_one_name_alone(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as wheel:
        names = wheel.namelist()

    assert {name.split("/")[0].partition("-")[0] for name in names} == {"famulus"}


def test_the_wheel_holds_all_that_is_no_python(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as wheel:
        names = set(wheel.namelist())

    folders = {"famulus": "famulus", **{name: f"famulus/application/{name}" for name in FOREIGN}}
    for folder, target in folders.items():
        for file in sorted((ROOT / folder).rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                assert f"{target}/{file.relative_to(ROOT / folder).as_posix()}" in names


def test_foreign_packages_stay_as_they_are(installed: Installed) -> None:
    for name in FOREIGN:
        assert [file.name for file in (installed.site_packages / name).glob("*.py")] == ["__init__.py"]
        assert "not ours" in (installed.site_packages / name / "__init__.py").read_text()


@pytest.mark.parametrize("way", ["python -m faust -A famulus.application worker", "famulus worker"])
async def test_a_workflow_runs_from_an_empty_folder(
    installed: Installed, project: Path, way: str, embedded_servers: Mapping[str, str]
) -> None:
    installation = Installation(embedded_servers, project)
    environment = {
        **{name: value for name, value in installation.environment.items() if name != "EXECUTIONS"},
        "FAMULUS_NODES": "my_nodes",
        "PYTHONPATH": "",
    }
    program, *arguments = way.split()
    worker = Worker("worker", project, environment, command=[str(installed.python.with_name(program)), *arguments])
    installation.workers.append(worker)
    try:
        await worker.ready()
        async with installation.producer() as producer:
            start = {"run_id": "r1", "blueprint_id": "greeting", "input": {"name": "you"}}
            await producer.send_and_wait(installation.jobs, json.dumps(start).encode())
        async with installation.records() as auditor:
            await auditor.ended(["r1"])
            outputs = {step["step_id"]: step["output"] for step in (await auditor.sees("r1"))["steps"]}
        shown = await asyncio.to_thread(_famulus, installed, environment, "run", "show", "r1", "--json")
        page = await asyncio.to_thread(worker.page, "/runs/r1")
    except BaseException:
        print(worker.log_tail())
        raise
    finally:
        installation.close()

    assert outputs == {"greet": "hello you", "shout": "HELLO YOU"}
    assert json.loads(shown)["status"] == "completed"
    assert "HELLO YOU" in page


def _famulus(installed: Installed, environment: Mapping[str, str], *arguments: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return _run(str(installed.program), *arguments, env={**kept, **environment})


def _run(*command: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    answer = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, f"{command}: {answer.stdout}{answer.stderr}"
    return answer.stdout


def _our_site_packages() -> Path:
    return Path(pytest.__file__).parents[1]
