"""The digest on folders that are hard to read, and its blueprint on an engine in memory."""

from __future__ import annotations

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from support.world import World

from examples.digest import analyses, nodes
from examples.digest.files import Walk
from examples.digest.report import Code, Report, Section, as_html, as_markdown, write_report
from famulus.blueprint import lint, parse_blueprint
from famulus.nodes import load_registry

BLUEPRINT = Path(__file__).parents[2] / "examples/digest/blueprint.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    made.mkdir()
    return made


def names(folder: Path, **options: int) -> list[str]:
    walk = Walk(folder, **options)
    return [walk.name(file) for file in walk]


def test_walk_leaves_out_caches_and_version_control(folder: Path) -> None:
    for name in (".git/config", "__pycache__/a.pyc", ".venv/bin/python", "src/a.py", ".famulus/famulus.db", "b.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")

    assert names(folder) == ["b.txt", "src/a.py"]


def test_walk_follows_no_link_and_opens_no_pipe(folder: Path) -> None:
    (folder / "a").write_text("x")
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "link").symlink_to(folder / "a")
    (folder / "dangling").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "pipe")

    assert names(folder) == ["a"]
    assert analyses.words(folder, limit=3)["text_files"] == 1


def test_walk_ends_at_its_limit_and_says_so(folder: Path) -> None:
    for number in range(4):
        (folder / str(number)).touch()
    walk = Walk(folder, files_max=3)

    assert len(list(walk)) == 3
    assert walk.truncated


def test_walk_of_exactly_its_limit_is_not_truncated(folder: Path) -> None:
    for number in range(3):
        (folder / str(number)).touch()
    walk = Walk(folder, files_max=3)

    assert len(list(walk)) == 3
    assert not walk.truncated


def test_walk_goes_through_deep_folders(folder: Path) -> None:
    deep = folder
    for _ in range(300):
        deep = deep / "d"
        deep.mkdir()
    (deep / "f").write_text("x")

    assert len(names(folder)) == 1


def test_names_that_are_no_text_can_be_stored_and_shown(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff\xfe.txt")).write_text("x")
    (folder / "esc\x1b[31m\nline").write_text("x")

    found = names(folder)

    assert found == ["esc\ufffd[31m\ufffdline", "\ufffd\ufffd.txt"]
    json.dumps(found).encode()


def test_names_with_odd_suffixes_are_types_that_can_be_stored(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/a.\xff")).write_text("x")

    assert analyses.sizes_by_type(folder, limit=5)["types"][0]["type"] == ".\ufffd"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_cannot_be_read_is_counted(folder: Path) -> None:
    (folder / "locked").mkdir(mode=0)
    (folder / "secret").write_text("x")
    (folder / "secret").chmod(0)

    assert analyses.scan(folder)["unreadable"] == 1
    assert analyses.words(folder, limit=1)["unreadable"] == 1


def test_a_file_that_vanishes_between_look_and_read_is_counted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a").write_text("x")

    def vanished(*_: object, **__: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(analyses, "read_chunks", vanished)

    assert analyses.words(folder, limit=1)["unreadable"] == 1


def test_sizes_are_summed_by_type_with_the_rest_in_one(folder: Path) -> None:
    (folder / "a.PY").write_bytes(b"12345")
    (folder / "b.py").write_bytes(b"12345")
    (folder / "c.md").write_bytes(b"123")
    (folder / "Makefile").write_bytes(b"1")

    sizes = analyses.sizes_by_type(folder, limit=2)

    assert sizes["types"] == [{"type": ".py", "files": 2, "bytes": 10}, {"type": ".md", "files": 1, "bytes": 3}]
    assert sizes["rest"] == {"types": 1, "files": 1, "bytes": 1}


def test_words_of_binary_files_are_not_counted(folder: Path) -> None:
    (folder / "program").write_bytes(b"\x7fELF\x00hello hello")
    (folder / "latin1.txt").write_bytes("für alle größer".encode("latin-1"))
    (folder / "text").write_text("hello world, hello again\nlast line without end", encoding="utf-8")

    words = analyses.words(folder, limit=1)

    assert (words["text_files"], words["binary_files"], words["lines"]) == (2, 1, 3)
    assert words["most_used"] == [{"word": "hello", "times": 2}]


def test_of_a_huge_file_only_the_beginning_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analyses, "TEXT_BYTES_MAX", 10)
    (folder / "huge").write_text("word " * 1000)

    words = analyses.words(folder, limit=1)

    assert (words["words"], words["cut"]) == (2, 1)


def test_duplicates_are_found_by_content(folder: Path) -> None:
    (folder / "a").write_bytes(b"same")
    (folder / "b").write_bytes(b"same")
    (folder / "c").write_bytes(b"else")
    (folder / "empty1").touch()
    (folder / "empty2").touch()

    found = analyses.duplicates(folder, limit=5)

    assert [(group["names"], group["copies"]) for group in found["groups"]] == [(["a", "b"], 2)]
    assert found["wasted_bytes"] == 4


def test_huge_files_are_compared_by_beginning_and_end(folder: Path) -> None:
    for name, end in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        with (folder / name).open("wb") as sparse:
            sparse.seek(analyses.HASHED_BYTES_MAX)
            sparse.write(end)

    (group,) = analyses.duplicates(folder, limit=5)["groups"]

    assert group["names"] == ["a", "b"]
    assert group["sampled"]


def test_largest_come_first(folder: Path) -> None:
    for size in (1, 3, 2):
        (folder / f"f{size}").write_bytes(b"x" * size)

    assert [file["name"] for file in analyses.largest(folder, limit=2)["files"]] == ["f3", "f2"]


def test_names_cannot_become_markup() -> None:
    evil = "<script>alert(1)</script>|`x``y`"
    report = Report(
        folder=evil,
        summary={"files": "1"},
        sections=[Section(title="T", text="t", columns=("A", "B"), rows=[(Code(evil), "1")])],
    )

    html, markdown = as_html(report, "now"), as_markdown(report, "now")

    assert "<script" not in html
    row = next(line for line in markdown.splitlines() if "script" in line and line.startswith("|"))
    assert re.fullmatch(r"\| ``` <script>alert\(1\)</script>\\\|`x``y` ``` \| 1 \|", row)


def test_report_is_written_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    report = Report(folder="f", summary={}, sections=[])

    for _ in range(2):
        written = write_report(report, tmp_path / "new" / "report.v2.html", run_id="r")

    assert [path.name for path in written] == ["report.v2.md", "report.v2.html"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["report.v2.html", "report.v2.md"]


def test_blueprint_lints_clean() -> None:
    registry = load_registry(["examples.digest.nodes"])

    assert lint(parse_blueprint(BLUEPRINT.read_bytes()), implementations=registry.keys()) == []


async def run_digest(folder: Path, out: Path) -> dict[str, str]:
    functions = {name: each.function for name, each in load_registry(["examples.digest.nodes"]).items()}
    async with World(functions) as world:
        await world.push(json.loads(BLUEPRINT.read_text()))
        await world.start("digest", "r1", {"folder": str(folder), "out": str(out)})
        view = await world.ended("r1")
    assert view.summary.status == "completed", view.summary.reason
    return {step.node_id: step.status for step in view.steps}


async def test_folder_with_files_is_analysed_and_reported(folder: Path, tmp_path: Path) -> None:
    (folder / "a.txt").write_text("famulus famulus")
    (folder / "b.txt").write_text("famulus famulus")
    (folder / "b.bin").write_bytes(b"\x00" * 5000)

    steps = await run_digest(folder, tmp_path / "report.html")

    assert steps.pop("empty") == "skipped"
    assert set(steps.values()) == {"completed"}
    markdown = (tmp_path / "report.md").read_text()
    assert "| files | 3 |" in markdown
    assert "| `famulus` | 4 |" in markdown
    assert "`a.txt, b.txt`" in markdown
    HTMLParser().feed((tmp_path / "report.html").read_text())


async def test_empty_folder_takes_the_other_branch(folder: Path, tmp_path: Path) -> None:
    steps = await run_digest(folder, tmp_path / "report")

    assert (steps["empty"], steps["report"], steps["words"]) == ("completed", "skipped", "skipped")
    assert "Nothing to see" in (tmp_path / "report.md").read_text()


def test_folder_that_does_not_exist_fails_at_once(tmp_path: Path) -> None:
    with pytest.raises(nodes.NonRetryableError, match="is not a folder"):
        nodes.scan(str(tmp_path / "missing"))
