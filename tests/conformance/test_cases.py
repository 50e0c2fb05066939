"""What blueprints mean, case by case: the cases are in `cases/` and `lint_cases.py`, derived from the specification."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from conformance.case import Case, LintCase
from conformance.cases import (
    batches,
    context,
    corners,
    edges,
    examples,
    failure,
    fields,
    inputs,
    joins,
    loops,
    mixed,
    run_loop,
    status,
    subflow,
    transforms,
    waits,
)
from conformance.lint_cases import LINT_CASES

from famulus.conformance import lint_case, run_case

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/explanation/differences-from-flowcraft.md"
MODULES = (
    fields,
    context,
    run_loop,
    edges,
    transforms,
    joins,
    inputs,
    failure,
    batches,
    loops,
    subflow,
    waits,
    status,
    mixed,
    corners,
    examples,
)
CASES: Mapping[str, Case] = {
    f"{module.__name__.rpartition('.')[2]}: {case.claim}": case for module in MODULES for case in module.CASES
}


def test_every_case_has_a_claim_of_its_own() -> None:
    assert len(CASES) == sum(len(module.CASES) for module in MODULES)
    assert len({case.claim for case in LINT_CASES}) == len(LINT_CASES)


def test_the_page_about_flowcraft_names_cases_and_tests_that_exist() -> None:
    table = PAGE.read_text().partition("## Where each is tested")[2]
    named = re.findall(r"`([a-z_]+: [^`]+)`", table)
    tests = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", table)

    assert [name for name in named if name not in CASES] == []
    assert [
        name
        for file, name in tests
        if not re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE)
    ] == []
    assert len(named) > 30


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_case(case: Case) -> None:
    report = await report_of(case, "memory")

    assert differences(case.expect, report) == {}, f"{case.spec}\n{report}"


@pytest.mark.parametrize("case", LINT_CASES, ids=[case.claim for case in LINT_CASES])
def test_lint_case(case: LintCase) -> None:
    report = lint_case(case.blueprint, case.names, dict(case.children))

    if case.lint is not None:
        assert by_text(report["lint"]) == by_text(case.lint)
    assert {key: report["analysis"][key] for key in case.analysis} == case.analysis


async def report_of(case: Case, stack: str) -> dict[str, Any]:
    return await run_case(
        case.blueprint,
        case.implementations(),
        case.initial,
        children=case.children,
        resume=case.resume,
        cancel=case.cancel,
        options=case.options,
        stack=stack,  # type: ignore[arg-type]  # a parameter of the test
    )


def by_text(issues: Iterable[Mapping[str, str]]) -> list[str]:
    return sorted(str(sorted(issue.items())) for issue in issues)


# -- a report, compared with what is expected of it --------------------------------------------------------------------


def differences(expected: Mapping[str, Any], report: Mapping[str, Any]) -> dict[str, Any]:
    """Key -> (expected, got), where they differ; see `Case.expect`."""
    found: dict[str, Any] = {}
    for key, wanted in expected.items():
        if key == "children":
            children = {name: differences(wanted[name], report["children"].get(name, {})) for name in wanted}
            found |= {
                f"children.{name}.{part}": what for name, parts in children.items() for part, what in parts.items()
            }
        elif key.endswith("_has"):
            got = report.get(key.removesuffix("_has"))
            if not has(got, wanted):
                found[key] = (wanted, got)
        elif key.endswith("_without"):
            got = report.get(key.removesuffix("_without"), ())
            if any(one in got for one in wanted):
                found[key] = (wanted, got)
        elif not same(wanted, report.get(key, "missing")):
            found[key] = (wanted, report.get(key, "missing"))
    return found


def has(got: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        return all(name in got and same(value, got[name]) for name, value in wanted.items())
    return all(one in got for one in wanted)


def same(wanted: Any, got: Any) -> bool:
    """Equal, where 0 is not false and 1 not true."""
    if isinstance(wanted, Mapping):
        return isinstance(got, Mapping) and wanted.keys() == got.keys() and all(same(wanted[k], got[k]) for k in wanted)
    if isinstance(wanted, list | tuple):
        return isinstance(got, list | tuple) and len(wanted) == len(got) and all(map(same, wanted, got))
    return isinstance(wanted, bool) == isinstance(got, bool) and bool(wanted == got)
