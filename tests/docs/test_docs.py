"""What the documents say is so: their code runs, their links lead somewhere, what they name exists.

Blocks are marked by a comment on the line before them: `<!-- file: hello.py -->` is a file of the page,
`<!-- run: hello.json RUN_ID INPUT -->` the context at the end of a run of it, `<!-- printed by: hello.py -->` what a
script prints, beside a worker if it is a client of one, and `<!-- compiles -->` is code that is compiled and not run.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import click
import pytest
import yaml
from support.site import open_site
from support.world import World

from famulus import blueprint
from famulus.blueprint import lint_document
from famulus.cli.program import COMMANDS, main
from famulus.engine.commands import Command
from famulus.flow.status import RUN_ENDED
from famulus.nodes import Registry
from famulus.settings import Settings, variable_of

ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT / "docs", ROOT / "examples", ROOT / "bench")
PAGES = sorted([*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in folder.rglob("*.md"))])
BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>[^\n]*?) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)(?:#([^)\s]*))?\)")
FIRST_PAGES = (ROOT / "README.md", ROOT / "docs/tutorial/first-workflow.md")
OUTSIDE_SETTINGS = {"FAMULUS_TRACEBACK", "FAMULUS_TEST_REAL_STACK", "FAMULUS_FAULTPOINTS", "FAMULUS_SEED"}
SECRETS_OF_USERS = "FAMULUS_SECRET_"
"""Read by the command line, by the tests, and before there are settings."""

ADDRESS = "http://127.0.0.1:6066"
"""Of the worker that a documented client talks to."""
SCRIPT_SECONDS = 180
NUMBERED = re.compile(r"\d\d-.*\.md")
"""The pages of the tutorial that go on with one example."""

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@dataclass(frozen=True)
class Block:
    mark: str
    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    return [Block(m["mark"] or "", m["language"], m["text"]) for m in BLOCK.finditer(page.read_text())]


def files_of(page: Path) -> dict[str, str]:
    return {block.mark.removeprefix("file: "): block.text for block in blocks(page) if block.mark.startswith("file: ")}


@dataclass(frozen=True)
class DocumentedRun:
    page: Path
    blueprint: str
    run_id: str
    input: dict[str, Any]
    context: dict[str, Any]


def documented_runs() -> list[DocumentedRun]:
    return [
        DocumentedRun(page, name, run_id, json.loads(given), json.loads(block.text))
        for page in PAGES
        for block in blocks(page)
        if block.mark.startswith("run: ")
        for name, run_id, given in [block.mark.removeprefix("run: ").split(" ", 2)]
    ]


@dataclass(frozen=True)
class PrintingScript:
    page: Path
    name: str
    printed: str
    files: dict[str, str]
    """Those of the page; in the tutorial also those of the pages before it."""
    scripts: frozenset[str]
    """The files that print something."""


def printing_scripts() -> list[PrintingScript]:
    found = []
    before: dict[str, str] = {}
    scripts: set[str] = set()
    for page in PAGES:
        printed = {
            block.mark.removeprefix("printed by: "): block.text
            for block in blocks(page)
            if block.mark.startswith("printed by: ")
        }
        files = files_of(page)
        if NUMBERED.fullmatch(page.name):
            files = before = before | files
            scripts.update(printed)
        found += [
            PrintingScript(page, name, text, files, frozenset(scripts | {*printed})) for name, text in printed.items()
        ]
    return found


def registry_of(files: dict[str, str], folder: Path, registry: Registry | None = None) -> Registry:
    registry = registry or Registry()
    for name, text in files.items():
        if name.endswith(".py"):
            path = folder / name
            path.write_text(text)
            spec = importlib.util.spec_from_file_location(f"documented_{path.stem}", path)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            registry.add_module(module)
    return registry


def command_of(words: list[str]) -> tuple[click.Command, list[str]] | None:
    """The command that the words lead to, and the words that are left for it."""
    command: click.Command = main
    while isinstance(command, click.Group):
        if not words or words[0].startswith("-"):
            return command, words
        known = COMMANDS if command is main else command.commands
        if words[0] not in known:
            return None
        found = command.get_command(click.Context(command), words[0])
        assert found is not None
        command, words = found, words[1:]
    return command, words


def mentioned_commands(text: str) -> Iterator[str]:
    """`famulus ...` in lines of a console, and in inline code."""
    yield from re.findall(r"^\$ (?:\w+=\S* )*famulus ([^\n|]*)", text, re.MULTILINE)
    yield from re.findall(r"\$\(famulus ([^)]*)\)", text)
    yield from re.findall(r"`famulus ([^`]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("documented", documented_runs(), ids=lambda run: f"{run.page.name}-{run.run_id}")
async def test_documented_run_ends_as_the_page_says(documented: DocumentedRun, tmp_path: Path) -> None:
    files = files_of(documented.page)
    world = World({})
    world.registry = registry_of(files, tmp_path)
    async with world:
        document = json.loads(files[documented.blueprint])
        for other in (json.loads(text) for name, text in files.items() if name.endswith(".json")):
            if other.get("id") != document.get("id"):
                await world.push(other)  # the blueprint may call it
        run = await world.run(document, documented.input, run_id=documented.run_id)

    assert run.summary.status == "completed"
    assert run.context == documented.context


@pytest.mark.parametrize("script", printing_scripts(), ids=lambda script: f"{script.page.stem}-{script.name}")
def test_documented_script_prints_what_the_page_says(script: PrintingScript, tmp_path: Path) -> None:
    for name, text in script.files.items():
        (tmp_path / name).write_text(text)

    if ADDRESS in script.files[script.name]:
        printed = asyncio.run(printed_beside_a_worker(script, tmp_path))
    else:
        printed = printed_by([sys.executable, script.name], tmp_path)

    assert printed == script.printed


async def printed_beside_a_worker(script: PrintingScript, folder: Path) -> str:
    """The worker has what the other files of the page mark, and their blueprints."""
    async with open_site(folder) as site:
        for module in modules_of(script, folder):
            site.world.registry.add_module(module)
        for name, text in script.files.items():
            if name.endswith(".json"):
                await site.world.push(json.loads(text))
        path = folder / script.name
        path.write_text(path.read_text().replace(ADDRESS, str(site.client.make_url(""))))
        return await asyncio.to_thread(printed_by, [sys.executable, script.name], folder)


def printed_by(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SCRIPT_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def modules_of(script: PrintingScript, folder: Path) -> list[ModuleType]:
    """The modules of the page that are no scripts, imported as a worker in that folder imports them."""
    names = [name.removesuffix(".py") for name in script.files if name.endswith(".py") and name not in script.scripts]
    sys.path.insert(0, str(folder))
    try:
        return [importlib.import_module(name) for name in names]
    finally:
        sys.path.remove(str(folder))
        for name in names:
            sys.modules.pop(name, None)


@pytest.mark.parametrize("name", ["order", "poll", "letter"])
def test_documented_flow_prints_the_blueprint_of_its_page(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    files = files_of(ROOT / "docs/howto/build-in-python.md")

    exec(files[f"{name}_flow.py"], {"__name__": "__main__"})

    assert capsys.readouterr().out == files[f"{name}.json"]


@pytest.mark.parametrize("page", FIRST_PAGES, ids=lambda page: page.name)
def test_first_pages_hold_runs_and_clean_blueprints(page: Path, tmp_path: Path) -> None:
    files = files_of(page)
    implementations = registry_of(files, tmp_path).keys()

    assert any(block.mark.startswith("run: ") for block in blocks(page))
    for name, text in files.items():
        if name.endswith(".json"):
            assert lint_document(text, implementations=implementations) == []


def test_blueprints_of_the_tutorial_are_clean(tmp_path: Path) -> None:
    last = max((script for script in printing_scripts() if NUMBERED.fullmatch(script.page.name)), key=_page_of)
    for name, text in last.files.items():
        (tmp_path / name).write_text(text)
    registry = Registry()
    for module in modules_of(last, tmp_path):
        registry.add_module(module)
    documents = {name: text for name, text in last.files.items() if name.endswith(".json")}
    known = {json.loads(text)["id"] for text in documents.values()}
    for name, text in documents.items():
        issues = lint_document(text, implementations={*registry, "ask", "post", "rail", "steamer"}, blueprints=known)
        assert issues == [], name


def _page_of(script: PrintingScript) -> str:
    return script.page.name


@each_page
def test_python_blocks_are_run_or_compile(page: Path) -> None:
    for block in blocks(page):
        if block.language == "python":
            assert block.mark == "compiles" or block.mark.startswith("file: ")
            compile(block.text, str(page), "exec")


@each_page
def test_json_blocks_are_json(page: Path) -> None:
    for block in blocks(page):
        if block.language == "json":
            try:
                json.loads(block.text)
            except ValueError:
                assert [json.loads(line) for line in block.text.splitlines()]


@each_page
def test_no_page_holds_two_versions_of_itself(page: Path) -> None:
    assert re.findall(r"^(?:<{7} |={7}$|>{7} ).*", page.read_text(), re.MULTILINE) == []


@each_page
def test_relative_links_lead_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text()):
        path = (page.parent / target).resolve()
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_variables_that_are_named_are_settings(page: Path) -> None:
    found = set(re.findall(r"\bFAMULUS_[A-Z_]*[A-Z]\b", page.read_text()))

    named = {name for name in found if not name.startswith(SECRETS_OF_USERS)}
    assert named - OUTSIDE_SETTINGS <= {variable_of(field) for field in Settings.model_fields}


@each_page
def test_commands_that_are_named_exist_with_their_options(page: Path) -> None:
    for line in mentioned_commands(page.read_text()):
        words = re.sub(r"'[^']*'|\"[^\"]*\"", "VALUE", line.partition("  #")[0]).split()
        found = command_of(words)
        assert found is not None, line
        command, rest = found
        options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        assert {word for word in rest if word.startswith("--")} <= options, line


@each_page
def test_make_targets_that_are_named_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert set(re.findall(r"(?:`|\$ )make ([a-z]+)", page.read_text())) <= targets


def test_files_that_the_architecture_names_exist() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    named = set(re.findall(r"`([a-z_/.]+(?:/|\.(?:py|sql|lua)))`", text))
    places = (ROOT, ROOT / "famulus", ROOT / "famulus/engine", ROOT / "famulus/adapters/faust")

    missing = [name for name in sorted(named) if not any((place / name).exists() for place in places)]
    assert missing == []


def test_settings_page_is_what_the_settings_are() -> None:
    folder = ROOT / "docs/reference"
    sys.path.insert(0, str(folder))
    try:
        from generate import settings_page  # type: ignore[import-not-found]  # noqa: PLC0415  # beside its page
    finally:
        sys.path.remove(str(folder))

    assert (folder / "settings.md").read_text() == settings_page(), "run: python docs/reference/generate.py"


def test_every_command_is_in_the_reference() -> None:
    page = (ROOT / "docs/reference/cli.md").read_text()
    expected = set()
    for name in COMMANDS:
        command = main.get_command(click.Context(main), name)  # type: ignore[attr-defined]  # a group
        expected |= {f"{name} {below}" for below in command.commands} if isinstance(command, click.Group) else {name}

    assert {name for name in expected if f"`famulus {name}" not in page} == set()


def test_every_code_of_a_dead_letter_is_in_the_reference() -> None:
    page = (ROOT / "docs/reference/records.md").read_text().partition("## Dead letters")[2]
    folders = (ROOT / "famulus/engine", ROOT / "famulus/security")
    sources = "".join(path.read_text() for folder in folders for path in folder.rglob("*.py"))

    assert set(re.findall(r'code="(\w+)"', sources)) == set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))


def test_every_event_is_in_the_reference() -> None:
    page = (ROOT / "docs/reference/events.md").read_text()
    folders = (ROOT / "famulus/flow", ROOT / "famulus/engine")
    sources = "".join(path.read_text() for folder in folders for path in sorted(folder.rglob("*.py")))
    recorded = set(re.findall(r'\b(?:event|RecordEvent)\(\s*f?"([a-z_.]+(?:\{[^"]*)?)"', sources))
    by_status = {each for each in recorded if "{" in each}
    assert by_status == {"run.{status.value}", "step.{fact.status.value}"}
    named = {"step.sleeping", "step.waiting", *(f"run.{status}" for status in RUN_ENDED)}
    expected = recorded - by_status | named

    assert set(re.findall(r"^\| `([a-z_.]+)` \|", page, re.MULTILINE)) == expected


def test_every_command_to_a_run_is_in_the_reference() -> None:
    page = (ROOT / "docs/reference/records.md").read_text()

    assert {name for name in (each.__name__.lower() for each in get_args(Command)) if f"`{name}`" not in page} == set()


def test_every_code_of_the_linter_is_in_the_reference() -> None:
    page = (ROOT / "docs/reference/blueprints.md").read_text()
    sources = [path.read_text() for path in (ROOT / "famulus/blueprint").glob("*.py")]
    codes = set(re.findall(r'"([A-Z]+(?:_[A-Z]+)+)"', "".join(sources))) - set(blueprint.__all__)

    assert {code for code in codes if f"`{code}`" not in page} == set()


def test_navigation_names_every_page() -> None:
    def pages(entry: Any) -> Iterator[str]:
        if isinstance(entry, str):
            yield entry
        elif isinstance(entry, dict):
            for below in entry.values():
                yield from pages(below)
        else:
            for below in entry:
                yield from pages(below)

    navigation = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    existing = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}

    assert set(pages(navigation)) == existing
