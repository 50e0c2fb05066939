from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.command_line import Call, CallForJson

GOOD = {
    "id": "good",
    "nodes": [{"id": "a", "uses": "x"}, {"id": "b", "uses": "y"}],
    "edges": [{"source": "a", "target": "b"}],
}
BAD = {
    "id": "bad\u001b[31m",
    "nodes": [{"id": "a", "uses": ""}, {"id": "a", "uses": "x", "config": {"fallback": "nobody"}}],
    "edges": [{"source": "a", "target": "gone", "condition": "cel:1 +"}],
}


@pytest.fixture
def good(own_folder: Path) -> str:
    path = own_folder / "good.json"
    path.write_text(json.dumps(GOOD))
    return str(path)


@pytest.fixture
def bad(own_folder: Path) -> str:
    path = own_folder / "bad.json"
    path.write_text(json.dumps(BAD))
    return str(path)


def test_lint_finds_every_problem_at_once_with_its_path(call: Call, bad: str) -> None:
    result = call("blueprint", "lint", bad)

    assert result.exit_code == 1
    for path in ("nodes[0].uses", "nodes[1].id", "nodes[1].config.fallback", "edges[0].target", "edges[0].condition"):
        assert path in result.stdout
    assert "\x1b[31m" not in result.stdout


def test_lint_as_json_names_files_and_issues(call: Call, good: str, bad: str) -> None:
    result = call("blueprint", "lint", good, bad, "--json")

    assert result.exit_code == 1
    first, second = json.loads(result.stdout)
    assert first["issues"] == []
    assert {"code", "path", "message", "severity"} <= set(second["issues"][0])


def test_lint_checks_implementations_where_their_modules_are_named(call: Call, good: str, own_folder: Path) -> None:
    (own_folder / "lint_nodes.py").write_text("from famulus.nodes import node\n@node('x')\ndef x(): ...\n")

    result = call("blueprint", "lint", good, "--nodes", "lint_nodes")

    assert result.exit_code == 1
    assert "nodes[1].uses" in result.stdout
    assert "nodes[0].uses" not in result.stdout


def test_lint_of_a_file_that_is_no_json_is_an_issue(call: Call, own_folder: Path) -> None:
    (own_folder / "broken.json").write_bytes(b"\xff{")

    result = call("blueprint", "lint", "broken.json")

    assert result.exit_code == 1
    assert "not readable as JSON" in result.stdout


def test_push_lists_and_shows(call: Call, called_for_json: CallForJson, good: str) -> None:
    assert call("blueprint", "push", good).exit_code == 0

    (listed,) = called_for_json("blueprint", "ls", "--json")
    assert listed["id"] == "good"
    assert called_for_json("blueprint", "show", "good", "--json")["nodes"] == GOOD["nodes"]
    assert call("blueprint", "show", "good", "--mermaid").stdout.startswith("flowchart TD")
    assert "2 nodes, 1 edges, no cycles" in call("blueprint", "show", "good").stdout


def test_push_of_a_bad_one_registers_none(call: Call, called_for_json: CallForJson, good: str, bad: str) -> None:
    result = call("blueprint", "push", good, bad)

    assert result.exit_code == 1
    assert "nodes[0].uses" in result.stderr
    assert "no blueprint" in call("blueprint", "ls").stdout.lower()


def test_push_of_another_content_under_the_same_version_is_refused(call: Call, own_folder: Path) -> None:
    for name, uses in (("one.json", "x"), ("two.json", "y")):
        document = {"id": "b", "metadata": {"version": "1"}, "nodes": [{"id": "a", "uses": uses}]}
        (own_folder / name).write_text(json.dumps(document))

    result = call("blueprint", "push", "one.json", "two.json")

    assert result.exit_code == 1
    assert "metadata.version" in result.stderr


def test_unknown_blueprint_is_said_to_be_unknown(call: Call) -> None:
    result = call("blueprint", "show", "nobody")

    assert result.exit_code == 1
    assert "'nobody' is not registered" in result.stderr


class TestDiff:
    def test_two_files(self, call: Call, good: str, own_folder: Path) -> None:
        changed = {**GOOD, "nodes": [{"id": "a", "uses": "z\u001b[2J"}, GOOD["nodes"][1], {"id": "c", "uses": "x"}]}
        (own_folder / "changed.json").write_text(json.dumps(changed))

        result = call("blueprint", "diff", good, "changed.json")

        assert result.exit_code == 1
        for line in ("~ node a", "uses: ", "+ node c"):
            assert line in result.stdout
        assert "\x1b[2J" not in result.stdout

    def test_what_is_the_same_has_no_difference(self, call: Call, good: str) -> None:
        result = call("blueprint", "diff", good, good)

        assert (result.exit_code, result.stdout) == (0, "No difference.\n")

    def test_versions_of_a_registered_one_as_json(self, call: Call, own_folder: Path) -> None:
        for version, blueprint_id in (("1", "b@home"), ("2", "b@home")):
            nodes = [{"id": "a", "uses": f"x{version}"}]
            document = {"id": blueprint_id, "metadata": {"version": version}, "nodes": nodes}
            (own_folder / f"{version}.json").write_text(json.dumps(document))
        assert call("blueprint", "push", "1.json", "2.json").exit_code == 0

        result = call("blueprint", "diff", "b@home@1", "b@home", "--json")

        told = json.loads(result.stdout)
        assert (result.exit_code, told["differ"]) == (1, True)
        assert (told["before"]["version"], told["after"]["version"]) == ("1", "2")
        assert [change["part"] for change in told["changes"]] == ["blueprint", "node"]
        assert told["changes"][1]["fields"] == [{"path": "uses", "before": "x1", "after": "x2"}]

    @pytest.mark.parametrize("source", ["nobody", "nobody@1", "@"])
    def test_what_is_not_registered_is_said_to_be_unknown(self, call: Call, good: str, source: str) -> None:
        result = call("blueprint", "diff", good, source)

        assert result.exit_code == 1
        assert "is not registered" in result.stderr
