"""What a CEL expression reads, seen from its text: the program is then given these values and nothing else.

The CEL engine converts everything that it is handed on each call, has no step budget and holds the GIL, so the text is
bounded here before the engine sees it: its length, how deep it nests, and no loop inside a loop.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

from famulus.blueprint.values import ABSENT
from famulus.errors import ExpressionError

SOURCE_CHARACTERS_MAX: Final = 2_000
BRACKET_DEPTH_MAX: Final = 32
PATH_SEGMENTS_MAX: Final = 8
"""A longer path is read as its beginning, and the value there is handed over whole."""
MACROS: Final = frozenset({"all", "exists", "exists_one", "filter", "map"})
"""They loop over a list or map; `has` is a macro too, but does not loop."""

Needs: TypeAlias = "Mapping[str, Needs | None]"
"""The keys that are read from a map, and what is read of each; ``None``: all of it."""

_KEYWORDS: Final = frozenset({"true", "false", "null", "in"})
_TOKEN: Final = re.compile(
    r"""
      (?P<blank> \s+ | //[^\n]* )
    | (?P<raw> (?: [bB][rR] | [rR][bB]? ) (?: \"{3} .*? \"{3} | '{3} .*? '{3} | "[^"]*" | '[^']*' ) )
    | (?P<string> [bB]? (?: \"{3} (?: \\. | [^\\] )*? \"{3} | '{3} (?: \\. | [^\\] )*? '{3}
                          | " (?: \\. | [^"\\] )* " | ' (?: \\. | [^'\\] )* ' ) )
    | (?P<name> [A-Za-z_][A-Za-z0-9_]* )
    | (?P<number> [0-9]+ (?: \.[0-9]+ )? [A-Za-z0-9]* )
    | (?P<mark> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_PLAIN_KEY: Final = re.compile(r"""(["'])([^"'\\]*)\1""")


class Token(NamedTuple):
    kind: str
    text: str


_END: Final = Token("end", "")


@dataclass(frozen=True, slots=True)
class Survey:
    """What the text reads."""

    needs: Needs
    reads: int
    """How often a name is read in the text."""
    loops: bool
    """Whether there is a macro that loops."""


def survey(source: str) -> Survey:
    """Find the names and paths that the expression reads. Raises `ExpressionError` beyond the bounds of this module."""
    if len(source) > SOURCE_CHARACTERS_MAX:
        raise ExpressionError(
            f"{len(source)} characters, at most {SOURCE_CHARACTERS_MAX} are accepted: compute it in a node",
            expression=source,
        )
    tokens = [*_tokens(source), _END, _END]  # padded, so that looking ahead finds an end
    paths: list[tuple[str, ...]] = []
    open_brackets: list[_Bracket] = []
    loops = False
    before = before_that = _END
    for position, token in enumerate(tokens[:-2]):
        if token.text in ("(", "[", "{"):
            is_loop = token.text == "(" and before.text in MACROS and before_that.text == "."
            loops |= is_loop
            open_brackets.append(_Bracket(is_loop, tokens[position + 1].text if is_loop else ""))
            _refuse_nesting(open_brackets, source)
        elif token.text in (")", "]", "}"):
            del open_brackets[-1:]
        elif _is_free_name(token, before, tokens[position + 1], open_brackets):
            paths.append(_path(tokens, position))
        before_that, before = before, token
    return Survey(_needs(paths), len(paths), loops)


def prune(value: Any, needs: Needs | None) -> Any:
    """Only the parts of the value that are needed. What is no map, or needed whole, stays as it is."""
    if not isinstance(value, Mapping):
        return value
    if needs is None:
        return value if isinstance(value, dict) else dict(value)
    found = ((key, value.get(key, ABSENT), below) for key, below in needs.items())
    return {key: prune(part, below) for key, part, below in found if part is not ABSENT}


class _Bracket(NamedTuple):
    is_loop: bool
    variable: str


def _tokens(source: str) -> Iterable[Token]:
    for match in _TOKEN.finditer(source):
        kind = match.lastgroup or "mark"
        if kind != "blank":
            yield Token(kind, match.group())


def _refuse_nesting(open_brackets: list[_Bracket], source: str) -> None:
    if len(open_brackets) > BRACKET_DEPTH_MAX:
        raise ExpressionError(f"brackets nest deeper than {BRACKET_DEPTH_MAX}: compute it in a node", expression=source)
    if sum(bracket.is_loop for bracket in open_brackets) > 1:
        raise ExpressionError(
            f"a macro ({', '.join(sorted(MACROS))}) inside another is not accepted: compute it in a node",
            expression=source,
        )


def _is_free_name(token: Token, before: Token, after: Token, open_brackets: list[_Bracket]) -> bool:
    """Whether the token names a value from outside: no field, function, keyword, or variable of a macro around it."""
    return (
        token.kind == "name"
        and token.text not in _KEYWORDS
        and before.text != "."
        and after.text != "("
        and all(token.text != bracket.variable for bracket in open_brackets)
    )


def _path(tokens: list[Token], position: int) -> tuple[str, ...]:
    """The name at the position with the fields that follow it, as far as the text gives them literally."""
    path = [tokens[position].text]
    position += 1
    while len(path) < PATH_SEGMENTS_MAX and position + 2 < len(tokens):
        mark, key, after = tokens[position : position + 3]
        if mark.text == "." and key.kind == "name" and after.text != "(":
            path.append(key.text)
            position += 2
        elif mark.text == "[" and (plain := _PLAIN_KEY.fullmatch(key.text)) and after.text == "]":
            path.append(plain[2])
            position += 3
        else:
            break
    return tuple(path)


def _needs(paths: Iterable[tuple[str, ...]]) -> Needs:
    tree: dict[str, Any] = {}
    for path in paths:
        level = tree
        for segment in path[:-1]:
            below = level.setdefault(segment, {})
            if below is None:
                break
            level = below
        else:
            level[path[-1]] = None
    return tree
