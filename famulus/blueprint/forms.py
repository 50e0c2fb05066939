"""Forms: JSON Schemas that what resumes a waiting step has to fit.

A form refers to nothing outside of itself, so that no blueprint makes a worker fetch anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

PROBLEMS_MAX: Final = 20
MESSAGE_CHARACTERS_MAX: Final = 200

_TOO_DEEP: Final = "nests too deep to be checked"
_REFERENCES: Final = ("$ref", "$dynamicRef")


def form_problem(form: Any) -> str | None:
    """Why this is no form, or ``None``."""
    import jsonschema  # noqa: PLC0415  # takes 0.1 s, and few blueprints have forms

    if not isinstance(form, Mapping):
        return "expected an object, a JSON Schema"
    plain = _plain(form)
    try:
        _validator_class(plain).check_schema(plain)
        outside = next(_outside(plain), None)
        if outside is not None:
            return f"refers to {outside!r:.80}, expected references into the form itself (#/$defs/...) alone"
        dangling = next(_dangling(plain), None)
    except jsonschema.SchemaError as error:
        return f"is no JSON Schema: {_message(error)}"
    except RecursionError:
        return _TOO_DEEP
    return None if dangling is None else f"refers to {dangling!r:.80}, which the form does not hold"


def check_form(form: Mapping[str, Any], payload: Any) -> list[str]:
    """What of the payload does not fit the form, at most `PROBLEMS_MAX` sentences that begin with a path."""
    from jsonschema import SchemaError  # noqa: PLC0415  # as above
    from referencing.exceptions import Unresolvable  # noqa: PLC0415

    problems = []
    try:
        for error in _validator(_plain(form)).iter_errors(payload):
            problems.append(_message(error))
            if len(problems) == PROBLEMS_MAX:
                break
    except RecursionError:
        problems.append(_TOO_DEEP)
    except (SchemaError, Unresolvable) as error:
        problems.append(f"the form cannot be used: {error!s:.{MESSAGE_CHARACTERS_MAX}}")
    return problems


def _validator_class(form: Mapping[str, Any]) -> type[Validator]:
    from jsonschema.validators import Draft202012Validator, validator_for  # noqa: PLC0415  # as above

    found: type[Validator] = validator_for(form, default=Draft202012Validator)
    return found


def _validator(form: Mapping[str, Any]) -> Validator:
    from referencing.jsonschema import EMPTY_REGISTRY  # noqa: PLC0415  # as above

    # Given a registry, jsonschema retrieves nothing that is not in it.
    return _validator_class(form)(form, registry=EMPTY_REGISTRY)


def _message(error: Any) -> str:
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
    message = error.message
    short = message if len(message) <= MESSAGE_CHARACTERS_MAX else f"{message[:MESSAGE_CHARACTERS_MAX]}..."
    return f"{where.removeprefix('.')}: {short}" if where else short


def _plain(value: Any) -> Any:
    """With dicts for mappings: a validator takes no other for an object."""
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, (list, tuple)) else value


def _references(schema: Any) -> Iterator[str]:
    pending = [schema]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            yield from (value[name] for name in _REFERENCES if isinstance(value.get(name), str))
            pending += value.values()
        elif isinstance(value, list):
            pending += value


def _outside(form: Any) -> Iterator[str]:
    yield from (reference for reference in _references(form) if not reference.startswith("#"))


def _dangling(form: Any) -> Iterator[str]:
    from referencing.exceptions import Unresolvable  # noqa: PLC0415  # as above
    from referencing.jsonschema import DRAFT202012, EMPTY_REGISTRY  # noqa: PLC0415

    resource = DRAFT202012.create_resource(form)
    resolver = EMPTY_REGISTRY.with_resource("", resource).resolver_with_root(resource)
    for reference in _references(form):
        try:
            resolver.lookup(reference)
        except Unresolvable:
            yield reference
