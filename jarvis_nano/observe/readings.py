"""What the loss microscope saw, on disk: microscope.jsonl, a reading of the same passages at every evaluation.

microscope.py looks, microscope_page.py and microscope_text.py show. No torch here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from jarvis_nano.errors import UserError
from jarvis_nano.observe.lines import JsonLines, read_lines

FILE = "microscope.jsonl"
_COLUMNS = ("texts", "losses", "guesses", "ranks")


@dataclass(frozen=True)
class Passage:
    """A held-out text, token by token: four rows of one length."""

    texts: tuple[str, ...]
    """What each token adds to the text; empty for one that only begins a character. Joined, they are the passage."""
    losses: tuple[float, ...]
    """-log of the probability that the model gave the token, in nats; NaN where that is no number."""
    guesses: tuple[str, ...]
    r"""The model's first guess in its place; bytes that are only part of a character show as \xc3."""
    ranks: tuple[int, ...]
    """1: the token was the first guess; n: n - 1 tokens were thought likelier; 0 where the loss is no number."""

    @property
    def text(self) -> str:
        return "".join(self.texts)


@dataclass(frozen=True)
class Reading:
    """All passages under one state of the model."""

    step: int
    time: float
    """Seconds since 1970."""
    passages: tuple[Passage, ...]

    @property
    def loss(self) -> float:
        """Mean nats a token."""
        losses = [loss for passage in self.passages for loss in passage.losses]
        return sum(losses) / len(losses)


class Cell(NamedTuple):
    """One or more tokens that are shown as one, so that what is shown are whole characters."""

    text: str
    loss: float
    """In nats: of several tokens the sum, for their probabilities multiply."""
    guess: str
    """The first guess for the first of the tokens."""
    rank: int
    """The worst of the tokens'."""


def cells(passage: Passage) -> Iterator[Cell]:
    """The tokens, each joined with those before it that have no whole character."""
    text, loss, guess, rank = "", 0.0, "", 1
    last = len(passage.texts) - 1
    for i, token in enumerate(zip(passage.texts, passage.losses, passage.guesses, passage.ranks, strict=True)):
        if not guess:
            guess = token[2]
        text, loss, rank = text + token[0], loss + token[1], max(rank, token[3])
        if text or i == last:
            yield Cell(text, loss, guess, rank)
            text, loss, guess, rank = "", 0.0, "", 1


class ReadingFile:
    """Appends readings to `run_dir`/microscope.jsonl, one line a reading, each written at once."""

    def __init__(self, run_dir: str | Path) -> None:
        """Open for appending, mending a half-written last line; makes the folder if it is missing."""
        run_dir = Path(run_dir)
        run_dir.mkdir(parents=True, exist_ok=True)
        self._lines = JsonLines(run_dir / FILE)

    def append(self, reading: Reading) -> None:
        """Losses are kept to 3 digits after the point."""
        passages = [
            {
                "texts": passage.texts,
                "losses": [round(loss, 3) if math.isfinite(loss) else None for loss in passage.losses],
                "guesses": passage.guesses,
                "ranks": passage.ranks,
            }
            for passage in reading.passages
        ]
        self._lines.append({"step": reading.step, "time": round(reading.time, 3), "passages": passages})

    def truncate(self, step: int) -> None:
        """Forget the readings after `step`, the step a run resumes from; truncate(-1) forgets all."""
        self._lines.truncate(step)

    def close(self) -> None:
        self._lines.close()

    def __enter__(self) -> ReadingFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_readings(run_dir: str | Path) -> list[Reading]:
    """The readings of a run, oldest first, while it is being written too; a half-written last line is left out.

    UserError if the file is missing or a line is no reading.
    """
    path = Path(run_dir) / FILE
    return [_reading(path, number, row) for number, row in enumerate(read_lines(path), start=1)]


def _reading(path: Path, number: int, row: dict[str, Any]) -> Reading:
    try:
        passages = tuple(_passage(columns) for columns in row["passages"])
        return Reading(row["step"], float(row["time"]), passages)
    except (KeyError, TypeError, ValueError):
        raise UserError(
            f"{path}, line {number}: found no reading, expected `time` and `passages` with {', '.join(_COLUMNS)} of "
            "one length each; delete that line and run again"
        ) from None


def _passage(columns: dict[str, Sequence[Any]]) -> Passage:
    texts, losses, guesses, ranks = (columns[name] for name in _COLUMNS)
    if not len(texts) == len(losses) == len(guesses) == len(ranks) > 0:
        raise ValueError
    if not all(isinstance(text, str) for text in (*texts, *guesses)):
        raise TypeError
    numbers = tuple(math.nan if loss is None else float(loss) for loss in losses)
    return Passage(tuple(texts), numbers, tuple(guesses), tuple(map(int, ranks)))
