"""Blueprints that were written for the reference engine load unchanged."""

from __future__ import annotations

from pathlib import Path

import pytest

from famulus.blueprint import build_graph, digest_of, encode_blueprint, lint, parse_blueprint, to_mermaid

EXAMPLES = sorted((Path(__file__).parents[2] / "fixtures" / "flowcraft").glob("*.json"))
IMPLEMENTATIONS = {"llm-condition", "llm-process", "llm-router", "output"}

each_example = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 11


@each_example
def test_an_example_loads_under_the_name_of_its_file(example: Path) -> None:
    blueprint = parse_blueprint(example.read_bytes(), default_id=example.stem)

    assert blueprint.id == example.stem
    assert blueprint.version == digest_of(blueprint)[:12]
    assert parse_blueprint(encode_blueprint(blueprint)) == blueprint


@each_example
def test_an_example_has_no_issue(example: Path) -> None:
    blueprint = parse_blueprint(example.read_bytes(), default_id=example.stem)
    known = {path.stem for path in EXAMPLES}

    assert lint(blueprint, implementations=IMPLEMENTATIONS, blueprints=known) == []


@each_example
def test_an_example_can_be_prepared_and_drawn(example: Path) -> None:
    blueprint = parse_blueprint(example.read_bytes(), default_id=example.stem)

    graph = build_graph(blueprint, digest_of(blueprint))

    assert graph.is_dag
    assert graph.start_nodes
    assert to_mermaid(blueprint).startswith("flowchart TD\n")
