from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest

from famulus.blueprint.forms import PROBLEMS_MAX, check_form, form_problem

APPROVAL = {
    "type": "object",
    "required": ["approved"],
    "properties": {"approved": {"type": "boolean"}, "items": {"type": "array", "items": {"$ref": "#/$defs/item"}}},
    "$defs": {"item": {"type": "object", "properties": {"count": {"type": "integer", "minimum": 1}}}},
}


@pytest.mark.parametrize(
    "form",
    [
        {},
        APPROVAL,
        MappingProxyType({"type": "object", "properties": MappingProxyType({})}),
        {"$ref": "#"},
        {"properties": {"$ref": {"type": "string"}}},
        {"$schema": "http://json-schema.org/draft-07/schema#", "type": "string"},
    ],
)
def test_a_json_schema_is_a_form(form: Any) -> None:
    assert form_problem(form) is None


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        ([], "expected an object"),
        ({"type": "objekt"}, "is no JSON Schema: type: 'objekt'"),
        ({"properties": {"a": {"minimum": "1"}}}, "is no JSON Schema: properties.a.minimum: '1' is not of type"),
        ({"pattern": "("}, "is no JSON Schema: pattern: '('"),
        (
            {"$ref": "http://127.0.0.1:1/form.json"},
            "refers to 'http://127.0.0.1:1/form.json', expected references into",
        ),
        ({"$ref": "#/$defs/item"}, "refers to '#/$defs/item', which the form does not hold"),
    ],
)
def test_what_is_none_says_why(form: Any, problem: str) -> None:
    assert str(form_problem(form)).startswith(problem)


@pytest.mark.parametrize(
    ("payload", "problems"),
    [
        ({"approved": True, "items": [{"count": 1}]}, []),
        ({}, ["'approved' is a required property"]),
        (None, ["None is not of type 'object'"]),
        (
            {"approved": "yes", "items": [{}, {"count": 0}]},
            ["approved: 'yes' is not of type 'boolean'", "items[1].count: 0 is less than the minimum of 1"],
        ),
    ],
)
def test_what_does_not_fit_is_named_by_its_path(payload: Any, problems: list[str]) -> None:
    assert check_form(APPROVAL, payload) == problems


def test_many_problems_and_long_values_stay_short() -> None:
    problems = check_form({"items": {"type": "integer"}}, ["x" * 10_000] * 1_000)

    assert len(problems) == PROBLEMS_MAX
    assert all(len(problem) < 300 for problem in problems)


def test_a_form_that_never_ends_or_leads_outside_is_a_problem_and_nothing_worse() -> None:
    assert check_form({"$ref": "#"}, {}) == ["nests too deep to be checked"]
    (problem,) = check_form({"$ref": "http://127.0.0.1:1/form.json"}, {})
    assert problem.startswith("the form cannot be used")
