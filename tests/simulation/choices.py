"""Where plans come from: a row of numbers, drawn from a seed, by Hypothesis, or read from what was printed.

Everything that a plan leaves to chance is asked for here, one small number at a time, and each number is noted. So the
row of numbers is the plan: it can be printed, read again, and made smaller without knowing what the numbers are for.
0 is always the simplest answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from random import Random
from typing import TypeVar

from hypothesis import strategies as st

ValueT = TypeVar("ValueT")
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
ROW_MARK = "r"
"""A text that begins with it is a row of numbers, not a seed."""


class Choices:
    """Asks the source for numbers below a limit, and notes what it was given."""

    def __init__(self, source: Callable[[int], int]) -> None:
        self._source = source
        self.made: list[int] = []

    def below(self, limit: int) -> int:
        number = self._source(limit)
        self.made.append(number)
        return number

    def between(self, least: int, most: int) -> int:
        return least + self.below(most - least + 1)

    def of(self, values: Sequence[ValueT]) -> ValueT:
        return values[self.below(len(values))]

    def chance(self, percent: int) -> bool:
        """True so many times of a hundred."""
        return self.below(100) >= 100 - percent

    def __str__(self) -> str:
        return text_of(self.made)


def seeded(seed: int) -> Choices:
    random = Random(seed)
    return Choices(lambda limit: int(random.random() * limit))


def drawn(draw: st.DrawFn) -> Choices:
    return Choices(lambda limit: draw(_numbers(limit)))


def repeated(row: Sequence[int]) -> Choices:
    """The numbers of a row; what is asked for beyond its end is 0, and what is too large for its place fits there."""
    numbers = iter(row)
    return Choices(lambda limit: next(numbers, 0) % limit)


def read(text: str) -> Choices:
    """What `FAMULUS_SEED` names: a number, or a row of them as it is printed."""
    text = text.strip()
    if text.startswith(ROW_MARK):
        return repeated([int(number, len(DIGITS)) for number in text[1:].split(".") if number])
    try:
        return seeded(int(text))
    except ValueError:
        raise ValueError(
            f"FAMULUS_SEED is {text[:40]!r}, expected a whole number or a row of numbers as a failure prints it"
        ) from None


def text_of(row: Sequence[int]) -> str:
    return ROW_MARK + ".".join(map(_in_digits, row))


@cache
def _numbers(limit: int) -> st.SearchStrategy[int]:
    return st.integers(0, limit - 1)


def _in_digits(number: int) -> str:
    text = ""
    while True:
        number, digit = divmod(number, len(DIGITS))
        text = DIGITS[digit] + text
        if not number:
            return text
