"""What can be chosen when a corpus is prepared. Equal settings and inputs give equal bytes."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from tyro.conf import Suppress

from jarvis_nano.corpus.duplicates import clusters
from jarvis_nano.corpus.normalise import Normaliser
from jarvis_nano.corpus.quality.filters import Thresholds
from jarvis_nano.corpus.quality.language import CANDIDATES, LanguageIdentifier
from jarvis_nano.corpus.quality.sensitive import mask
from jarvis_nano.corpus.sources import Options
from jarvis_nano.errors import UserError

VERSION = 1
"""Of the way documents are cleaned, judged and written: another version does not go on with this one's work."""


@dataclass(frozen=True)
class Settings:
    """All that the result depends on beside the inputs."""

    options: Annotated[Options, Suppress] = field(default_factory=Options)
    """How the files are read."""
    rebuild: Literal["auto", "on", "off"] = "auto"
    """Whether paragraphs are rebuilt from hard-wrapped lines: auto looks at each document of a .txt or .docx."""
    rules_off: tuple[str, ...] = ()
    """Rules of normalising to leave out, by their names in docs/normalising.md."""
    rules_on: tuple[str, ...] = ()
    """Rules of normalising to add."""
    languages: tuple[str, ...] = ("fr",)
    """ISO 639-1 codes of what is kept; empty: any language, and none is looked for."""
    min_confidence: float = 0.4
    """Of the language; below it are Occitan, creoles and documents in many languages (docs/quality.md)."""
    quality: bool = True
    """Whether the thresholds are applied."""
    thresholds: Thresholds = field(default_factory=Thresholds)
    mask: tuple[str, ...] = ()
    """What is masked: email, phone, iban, card, nir, ip (docs/quality.md)."""
    duplicates: Literal["near", "exact", "off"] = "near"
    """near: what nearly repeats a document before it goes too; exact: only what repeats it to the letter."""
    near_threshold: float = clusters.THRESHOLD
    """Jaccard of 3-word shingles from which two documents count as one."""
    shard: Annotated[tuple[int, int], Suppress] = (0, 1)
    """(i, n): only every n-th unit, from the i-th on."""
    unit_bytes: int = 32 << 20
    """Of input, about: the piece that one process works on, and that a kill can cost."""
    keep_dropped: bool = True
    """Whether the texts of dropped documents are written to report/."""

    def __post_init__(self) -> None:
        number, of = self.shard
        if not 0 <= number < of:
            raise UserError(f"shard {number}/{of}; expected i/n with 0 <= i < n, as 0/4")
        if not 0 < self.near_threshold <= 1:
            raise UserError(f"the threshold of near duplicates is {self.near_threshold}; expected 0 < x <= 1, as 0.6")
        if not 0 <= self.min_confidence <= 1:
            raise UserError(f"the least confidence is {self.min_confidence}; expected 0 to 1, as 0.5")
        if self.unit_bytes < 1:
            raise UserError(f"units of {self.unit_bytes} bytes; expected 1 or more")

    def check(self) -> None:
        """UserError on names that no rule, kind or language bears, and on libraries that are missing: before the work,
        for after hours of it that would be dear."""
        Normaliser(off=self.rules_off, on=self.rules_on)
        mask("", self.mask)
        if self.languages:
            self.identifier()
            require("lingua", "tells languages apart", "--languages without a value keeps them all")
        if "mojibake" not in self.rules_off:
            require("ftfy", "repairs mojibake", "--rules-off mojibake leaves it as it is")

    def identifier(self) -> LanguageIdentifier:
        """Of the languages asked for and of their neighbours."""
        return LanguageIdentifier(tuple(dict.fromkeys([*CANDIDATES, *self.languages])))

    def as_json(self) -> dict[str, Any]:
        """Everything, as the manifest holds it."""
        stored = dataclasses.asdict(self) | {"version": VERSION}
        stored["options"]["template_rules"] = dict(sorted(self.options.template_rules.items()))
        return json.loads(json.dumps(stored, default=sorted))  # lists for tuples and sets, as when it is read again


def require(library: str, purpose: str, otherwise: str) -> None:
    """UserError where a library of the `corpus` extra is missing."""
    if importlib.util.find_spec(library) is None:
        raise UserError(f'{library}, which {purpose}, is missing; run pip install -e ".[corpus]", or {otherwise}')


def parse_shard(text: str) -> tuple[int, int]:
    """ "0/4" -> (0, 4); UserError on anything else."""
    number, slash, of = text.partition("/")
    if not (slash and number.isdecimal() and of.isdecimal()):
        raise UserError(f"--shard {text}; expected i/n, as 0/4")
    return int(number), int(of)
