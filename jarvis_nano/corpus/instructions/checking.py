"""A file of instructions against all rules: one pass, with each finding's line and column. Showing it: showing.py."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from jarvis_nano.corpus.instructions import language
from jarvis_nano.corpus.instructions.formats import Conversation, parse
from jarvis_nano.corpus.instructions.messages import Fault, Message
from jarvis_nano.corpus.instructions.reading import open_rows
from jarvis_nano.corpus.instructions.repeats import Repeats
from jarvis_nano.corpus.instructions.rows import Row
from jarvis_nano.corpus.instructions.rules import RULES, Finding, refuses
from jarvis_nano.corpus.instructions.texts import TextRules, TokenizerUse
from jarvis_nano.corpus.sources.opening import bytes_taken
from jarvis_nano.errors import UserError

KEPT_PER_RULE = 10_000
"""Findings of one rule that are kept with their texts (a few hundred bytes each); all are counted."""
_JSON_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_JSON_LETTER = re.compile(r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u....|\\.|.", re.DOTALL)
_LONGEST_LOCATED = 1 << 20

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Against:
    """The prompts of an evaluation file: (line, messages)."""

    name: str
    rows: Sequence[tuple[int, Sequence[Message]]]


@dataclass(frozen=True)
class Checks:
    """What is checked beside the rules that need nothing."""

    special_tokens: tuple[str, ...] = ()
    french: bool = True
    tokenizer: TokenizerUse | None = None
    against: Against | None = None
    ignore: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        unknown = sorted(self.ignore - RULES.keys())
        if unknown:
            raise UserError(f"there is no rule {', '.join(unknown)}; the rules are: {', '.join(RULES)}")

    def text_rules(self) -> TextRules:
        """The rules on single rows."""
        use_language = self.french and "not-french" not in self.ignore
        return TextRules(
            special_tokens=self.special_tokens,
            detect=language.detector()[0] if use_language else None,
            tokenizer=self.tokenizer,
        )

    def repeats(self) -> Repeats:
        """The rules on the rows together."""
        return Repeats(against=self.against.rows, name=self.against.name) if self.against else Repeats()


@dataclass
class Report:
    """What was found in one file."""

    path: str
    rows: int = 0
    formats: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    """Findings by rule, all of them."""
    findings: list[Finding] = field(default_factory=list)
    """In the order of the lines; of each rule the first KEPT_PER_RULE."""
    notes: list[str] = field(default_factory=list)

    def count(self, severity: str) -> int:
        """How many findings are of one severity."""
        return sum(n for code, n in self.counts.items() if RULES[code].severity == severity)

    def add(self, fault: Fault, line: int, raw: str = "") -> None:
        """Count a fault, and keep it with its place while there are not too many of its kind."""
        self.counts[fault.code] += 1
        if self.counts[fault.code] > KEPT_PER_RULE:
            return
        line, column = locate(raw, fault, line)
        fix = fault.fix or RULES[fault.code].fix
        self.findings.append(Finding(fault.code, line, column, fault.message, fault.found, fix))


def check_file(path: Path | str, checks: Checks, *, progress: Progress | None = None) -> Report:
    """Check a file against all rules but those ignored.

    progress(bytes read, packed as they are) is called now and then. Memory: rows.py's, 28 bytes a row, near.py's, and
    the findings kept. UserError where the file is missing, empty or not of a format with rows.
    """
    report = Report(str(path))
    rules, repeats = checks.text_rules(), checks.repeats()
    with open_rows(path) as rows:
        for row in rows:
            report.rows += row.record is not None or bool(row.faults)
            conversation, faults = row_faults(row, rules)
            if conversation:
                report.formats[conversation.format] += 1
                if not any(map(refuses, faults)):
                    repeats.add(row.line, conversation.messages)
            for fault in faults:
                if fault.code not in checks.ignore:
                    report.add(fault, row.line, row.raw)
            if progress and report.rows % 256 == 0:
                progress(bytes_taken(rows.file))
        where = "the file begins with" if rows.bom == 1 else "a row stands behind"
        file_faults = [(rows.bom, Fault("bom", f"{where} a byte-order mark (EF BB BF)"))] if rows.bom else []
        if rows.crlf[1]:
            found = f"{rows.crlf[1]} line(s) end with CR LF, this one first; expected LF"
            file_faults.append((rows.crlf[0], Fault("crlf", found)))
    for line, fault in [*file_faults, *repeats.faults()]:
        if fault.code not in checks.ignore:
            report.add(fault, line)
    if not report.rows:
        raise UserError(f'{path} holds no row; expected lines such as {{"instruction": "…", "response": "…"}}')
    report.findings.sort(key=lambda finding: (finding.line, finding.column, finding.message))
    if checks.french and "not-french" not in checks.ignore:
        report.notes.append(f"language judged by {language.detector()[1]}")
    return report


def row_faults(row: Row, rules: TextRules) -> tuple[Conversation | None, list[Fault]]:
    """The conversation of a row and what is wrong with it, apart from other rows.

    The texts of a row whose form is wrong are looked at too, as far as it has any.
    """
    if row.record is None:
        return None, list(row.faults)
    conversation, faults = parse(row.record)
    faults = [*row.faults, *faults]
    if conversation and conversation.messages:
        faults += rules.faults(conversation)
    return conversation, faults


# -- where a fault lies in the file ----------------------------------------------------------------------------------


def locate(raw: str, fault: Fault, line: int) -> tuple[int, int]:
    """(line, column) in the file, both from 1, of a fault in a row that begins at `line`; column 0: not known.

    A text is looked for among the strings of the row as it is written, and the character among its escapes. A row of
    several lines is followed down to its line.
    """
    if fault.line or fault.text is None or len(raw) > _LONGEST_LOCATED:
        return fault.line or line, 0
    string = _strings(raw).get(fault.text)
    if string is None:
        return line, 0
    at = string[0] + 1 + _written_length(raw[string[0] + 1 : string[1] - 1], fault.at)
    last_end = raw.rfind("\n", 0, at)
    return line + raw.count("\n", 0, at), at - last_end


@lru_cache(maxsize=1)  # all faults of a row ask one after the other
def _strings(raw: str) -> dict[str, tuple[int, int]]:
    """What the JSON strings of a row stand for, and where each is written first, the quotes included."""
    spans: dict[str, tuple[int, int]] = {}
    for found in _JSON_STRING.finditer(raw):
        with suppress(ValueError):
            spans.setdefault(json.loads(found[0], strict=False), found.span())
    return spans


def _written_length(written: str, n: int) -> int:
    """How long the first n characters of a JSON string are as they are written, with their escapes."""
    if "\\" not in written:
        return n
    ends = [found.end() for found, _ in zip(_JSON_LETTER.finditer(written), range(n))]
    return ends[-1] if ends else 0
