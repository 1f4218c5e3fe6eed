"""Additions and subtractions of small numbers. A pair of operands belongs to one split, in either order."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from functools import cache

from .split import Split, side

LARGEST = 10

_ADDITION = (
    "Combien font {a} + {b} ?",
    "Combien font {a} plus {b} ?",
    "Combien fait {a} + {b} ?",
    "Calcule {a} + {b}.",
    "Calcule {a} plus {b}.",
    "{a} + {b} = ?",
    "{a} plus {b}, ça fait combien ?",
    "Dis-moi combien font {a} plus {b}.",
    "Quel est le résultat de {a} + {b} ?",
    "Peux-tu calculer {a} + {b} ?",
    "Quelle est la somme de {a} et {b} ?",
    "Additionne {a} et {b}.",
)
_SUBTRACTION = (
    "Combien font {a} - {b} ?",
    "Combien font {a} moins {b} ?",
    "Combien fait {a} - {b} ?",
    "Calcule {a} - {b}.",
    "Calcule {a} moins {b}.",
    "{a} - {b} = ?",
    "{a} moins {b}, ça fait combien ?",
    "Dis-moi combien font {a} moins {b}.",
    "Quel est le résultat de {a} - {b} ?",
    "Peux-tu calculer {a} - {b} ?",
)
_EQUATION = re.compile(r"(\d+) ?([+-]) ?(\d+) ?= ?(\d+)")


@dataclass(frozen=True)
class Sum:
    """a + b or a - b, with every number from 0 to LARGEST."""

    a: int
    sign: str
    b: int

    @property
    def result(self) -> int:
        return self.a + self.b if self.sign == "+" else self.a - self.b

    @property
    def split(self) -> Split:
        """By the operands; 7 + 5 and 5 + 7 fall on the same side."""
        low, high = sorted((self.a, self.b))
        return side(f"{low} {self.sign} {high}")

    @property
    def equation(self) -> str:
        return f"{self.a} {self.sign} {self.b} = {self.result}."


@cache
def sums(split: Split) -> tuple[Sum, ...]:
    """All sums of a split."""
    numbers = range(LARGEST + 1)
    additions = [Sum(a, "+", b) for a in numbers for b in numbers if a + b <= LARGEST]
    subtractions = [Sum(a, "-", b) for a in numbers for b in numbers if b <= a]
    return tuple(item for item in additions + subtractions if item.split == split)


def draw(rng: random.Random, split: Split) -> tuple[str, str]:
    """A question and the equation that answers it.

    « On a 5 + 3 = 8. »: after a word the operands are the very tokens of the question (" 5", not "5"), to be copied.
    """
    item = rng.choice(sums(split))
    template = rng.choice(_ADDITION if item.sign == "+" else _SUBTRACTION)
    return template.format(a=item.a, b=item.b), f"On a {item.equation}"


def judge(response: str, answer: str) -> bool:
    """The asked equation with its right result, or that result as the only number of the answer."""
    a, sign, b, result = _parse(response)
    numbers = [int(number) for number in re.findall(r"\d+", answer)]
    equations = [_read(found) for found in _EQUATION.findall(answer)]
    if len(equations) == 1 and len(numbers) == 3:
        return equations[0] in {(a, sign, b, result), *([(b, sign, a, result)] if sign == "+" else [])}
    return numbers == [result]


def _parse(equation: str) -> tuple[int, str, int, int]:
    found = _EQUATION.search(equation)
    assert found is not None, equation
    return _read(found.groups())


def _read(parts: tuple[str, ...]) -> tuple[int, str, int, int]:
    return int(parts[0]), parts[1], int(parts[2]), int(parts[3])
