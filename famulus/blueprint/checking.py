"""A blueprint that can be run, or everything that is in its way: the codec and the linter in one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from famulus.blueprint.codec import PROBLEMS_IN_MESSAGE, parse_blueprint
from famulus.blueprint.linter import lint_document
from famulus.blueprint.model import Blueprint
from famulus.errors import BlueprintError


def check_blueprint(
    data: bytes | str | Mapping[str, Any],
    *,
    implementations: Collection[str] | None = None,
    default_id: str | None = None,
) -> Blueprint:
    """As `parse_blueprint`, but also refuses what the linter calls an error. Raises `BlueprintError` with all of it."""
    issues = lint_document(data, implementations=implementations, default_id=default_id)
    problems = [f"{each.path or 'blueprint'}: {each.message}" for each in issues if each.severity == "error"]
    if problems:
        more = len(problems) - PROBLEMS_IN_MESSAGE
        listed = "; ".join(problems[:PROBLEMS_IN_MESSAGE]) + (f"; and {more} more" if more > 0 else "")
        raise BlueprintError(f"the blueprint cannot be used: {listed}", problems=problems)
    return parse_blueprint(data, default_id=default_id)
