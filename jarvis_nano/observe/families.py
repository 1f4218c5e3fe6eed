"""The history of the families of curves, such as the gradient norm of every block: what their heat maps are drawn from.

A tag with two or more slashes is a member of a family (observe/tags.py). Not a store: metrics.jsonl holds every value,
this keeps in memory what a picture can show.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from jarvis_nano.observe.tags import split

MAX_COLUMNS = 200


@dataclass
class _Family:
    rows: dict[str, int] = field(default_factory=dict)
    """Member -> its place in a column."""
    columns: dict[int, np.ndarray] = field(default_factory=dict)
    """Step -> the members' values then; a member that came later is missing at the end of it."""


class Families:
    """Every family's values over time, thinned once it has 2 · MAX_COLUMNS steps, so that memory stays bounded.

    What is kept depends on the calls to `add` alone: after reading metrics.jsonl back it is what it was.
    """

    def __init__(self) -> None:
        self._families: dict[str, _Family] = {}

    def add(self, values: Mapping[str, float]) -> None:
        """Take the members of families from one line of metrics, `step` among them; other tags are passed over."""
        step = int(values["step"])
        for tag, value in values.items():
            if (parts := split(tag)) is not None:
                name, member = parts
                family = self._families.setdefault(name, _Family())
                row = family.rows.setdefault(member, len(family.rows))
                column = family.columns.get(step)
                if column is None or column.size <= row:
                    column = family.columns[step] = _longer(column, len(family.rows))
                column[row] = value
        for family in self._families.values():
            if len(family.columns) > 2 * MAX_COLUMNS:
                steps = list(family.columns)
                family.columns = {steps[i]: family.columns[steps[i]] for i in thin(steps, MAX_COLUMNS)}

    def names(self) -> list[str]:
        return list(self._families)

    def table(self, name: str) -> tuple[list[int], list[str], np.ndarray]:
        """(steps, members, values of shape (members, steps)) of a family, at most MAX_COLUMNS steps.

        Members in the order in which a model has them; NaN where a member has no value at a step.
        """
        family = self._families[name]
        steps = list(family.columns)
        steps = [steps[i] for i in thin(steps, MAX_COLUMNS)]
        members = sorted(family.rows, key=_place)
        full = np.stack([_longer(family.columns[step], len(family.rows)) for step in steps], axis=1)
        return steps, members, full[[family.rows[member] for member in members]]


def thin(steps: Sequence[int], limit: int) -> list[int]:
    """The places of at most `limit` of the rising `steps`, as evenly spread as they allow; first and last are kept."""
    if len(steps) <= limit:
        return list(range(len(steps)))
    there = np.asarray(steps, dtype=np.float64)
    wanted = np.linspace(there[0], there[-1], limit)
    after = np.searchsorted(there, wanted).clip(1, len(steps) - 1)
    nearest = np.where(wanted - there[after - 1] <= there[after] - wanted, after - 1, after)
    return sorted(set(nearest.tolist()))


def _longer(column: np.ndarray | None, size: int) -> np.ndarray:
    longer = np.full(size, np.nan)
    if column is not None:
        longer[: column.size] = column
    return longer


def _place(member: str) -> tuple[int, list[tuple[int, str]]]:
    """Sorting key: the embedding below all blocks, `final` above them, numbers by value (`blocks.2` before `.10`)."""
    rank = {"embedding": 0, "final": 2}.get(member, 1)
    pieces = re.findall(r"\d+|\D+", member)
    return rank, [(int(piece), "") if piece.isdigit() else (-1, piece) for piece in pieces]
