"""What the doctor reports: a finding with its proof, its cause in the file and its cure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["loses", "risk", "cost", "note"]
LEVELS: dict[Level, str] = {
    "loses": "text that does not come back",
    "risk": "harm in some uses",
    "cost": "works, at a price for French",
    "note": "good to know",
}
RETRAIN = "train a new one: scripts/train_tokenizer.py CORPUS --out DIR"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong. A finding of the level "loses" has at least one text in `seen` that was lost."""

    level: Level
    name: str
    """A stable word for programs: "unknown-characters"."""
    what: str
    seen: tuple[tuple[str, str], ...]
    """(text, what came back of it), as measured."""
    why: str
    """The setting that causes it, by its path in tokenizer.json."""
    cure: str
    share: float = 0.0
    """Of the lines of the data, those that it hits: what findings of one level are ordered by."""
