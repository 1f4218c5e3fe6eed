"""Books with the lines of a printed page: paragraphs made whole again. Pure functions on text; the file: text.py."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from jarvis_nano.corpus.sources.furniture import furniture

MIN_WIDTH, MAX_WIDTH = 25, 120  # characters: shorter lines are a list of words, longer ones were not wrapped
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_CUT_WORD = re.compile(r"([^\W_]+(?:-[^\W_]+){0,8})[-\u2010\u00ad¬]$")
_HYPHENS = ("-", "\u2010", "\u00ad", "¬")
_SIGNS_OF_A_CUT = "\u00ad¬"  # a soft hyphen, and what OCR makes of it: never a hyphen of the word
_FIRST_WORD = re.compile(r"[^\W_]+(?:-[^\W_]+){0,8}")
_LEADERS = re.compile(r"(?:\.{4}|(?: \.){4}|…{2})")  # of a table of contents
_OPENING = re.compile(r"\s{0,200}(?:[—–«“\"(*•]|-{1,3} |\d|[^\W\d_])")
_TERMINAL = (".", "!", "?", "…", "»", "”", '"', ":", ")", "*", ";")
# What follows a verb, a pronoun or a number with a hyphen: celui-ci, lui-même, est-ce, a-t-on, au-dessus.
_ENCLITICS = frozenset(
    ("je", "tu", "il", "elle", "on", "nous", "vous", "ils", "elles", "ce", "le", "la", "les", "lui", "leur", "moi")
    + ("toi", "y", "en", "là", "ci", "même", "mêmes", "t", "vingt", "être", "dessus", "dessous", "devant", "delà")
)
# By these endings a verb is known before its pronoun, if the book has it nowhere else: « puissiez-vous », « dit-il ».
_BEFORE_PRONOUN = {
    "vous": ("ez", "tes"), "nous": ("ons", "mes"), "ils": ("nt",), "elles": ("nt",), "il": ("t", "d"),
    "elle": ("t", "d"), "on": ("t", "d"), "je": ("s", "x", "ai", "é"), "tu": ("s", "x"), "ce": ("nt", "t"),
    "le": ("ez", "ons"), "la": ("ez", "ons"), "les": ("ez", "ons"), "lui": ("ez", "ons", "e"), "moi": ("ez", "e"),
    "leur": ("ez", "ons", "e"), "toi": ("e", "s"), "là": ("",),
}  # fmt: skip
_FIRST_PARTS = frozenset(
    ("saint", "sainte", "saints", "demi", "très", "mi", "vice", "ex", "quasi", "nouveau", "grand", "grande", "petit")
    + ("petite", "beau", "belle", "avant", "après", "arrière", "vingt", "trente", "quarante", "cinquante", "soixante")
    + ("quatre", "dix", "au", "ci", "là", "non", "peut", "nord", "sud", "chef", "chefs", "tout", "toute", "porte")
)


@dataclass(frozen=True)
class _Evidence:
    """What a book says of a word that a line's end has cut."""

    words: Counter[str]
    """Whole words in small letters, compounds with their hyphens."""
    first_parts: Counter[str]
    """What stands before the first hyphen of compounds, « dit-il » and the like left aside."""
    width: int
    """Characters that a line of the book can hold."""
    is_dense: bool
    """Whether no blank lines part the paragraphs, so that the length of their last line must tell."""


def looks_wrapped(text: str) -> bool:
    """Whether lines end where a page did: the longest have MIN_WIDTH to MAX_WIDTH characters, and a fifth go on below.

    They go on in small letters, that is, without the end of a sentence. Verse, one paragraph a line, lists and
    dialogue do not. False below four lines.
    """
    lines = [line.strip() for line in text.split("\n")]
    filled = [line for line in lines if line]
    if len(filled) < 4 or not MIN_WIDTH <= _width(filled) <= MAX_WIDTH:
        return False
    width = _width(filled)
    n_going_on = sum(
        len(line) > 0.5 * width and _is_small(after) and not line.endswith((".", "!", "?", "…"))
        for line, after in pairwise(lines)
    )
    return n_going_on >= 0.2 * len(filled)


def rebuild(text: str) -> str:
    """`text` with one paragraph a line and a blank line between, where it looks wrapped; else as it is, byte for byte.

    Page numbers, running titles and form feeds go; words cut at a line's end are joined, with their hyphen where the
    rest of the book writes it or French does; verse, headings and tables of contents keep their lines. Time and
    memory are proportional to the text.
    """
    if not looks_wrapped(text):
        return text
    lines = [line.rstrip() for line in text.replace("\f", "\n\f").split("\n")]
    out_of_text = furniture(lines)
    blocks = list(_blocks(lines, out_of_text))
    evidence = _evidence(blocks)
    return "\n\n".join(
        paragraph for block in _over_pages(blocks, evidence) for paragraph in _paragraphs(block.lines, evidence)
    )


@dataclass
class _Block:
    """Lines without a blank one between; `after_page` where what parts it from the one before is the end of a page."""

    lines: list[str]
    after_page: bool


def _blocks(lines: Sequence[str], out_of_text: set[int]) -> Iterator[_Block]:
    held: list[str] = []
    is_after_page = next_is_after_page = False
    for at, line in enumerate(lines):
        starts_page = line.startswith("\f") or at in out_of_text
        text = "" if at in out_of_text else line.replace("\f", "")
        if (starts_page or not text.strip()) and held:
            yield _Block(held, is_after_page)
            held = []
            next_is_after_page = False
        next_is_after_page = next_is_after_page or starts_page
        if text.strip():
            if not held:
                is_after_page, next_is_after_page = next_is_after_page, False
            held.append(text)
    if held:
        yield _Block(held, is_after_page)


def _evidence(blocks: Sequence[_Block]) -> _Evidence:
    words: Counter[str] = Counter()
    first_parts: Counter[str] = Counter()
    filled = [line.strip() for block in blocks for line in block.lines]
    was_cut = False
    for line in filled:
        found = _WORD.findall(line.casefold())
        is_cut = bool(_cut_word(line))
        known = found[1 if was_cut else 0 : -1 if is_cut else None]  # whole words only
        was_cut = is_cut
        words.update(known)
        first_parts.update(
            parts[0] for word in known if "-" in word and (parts := word.split("-"))[1] not in _ENCLITICS
        )
    n_lines = sorted(len(block.lines) for block in blocks)
    are_long = sum(n_lines) > 0 and _middle_line(n_lines) > 14
    return _Evidence(words, first_parts, _width(filled), are_long)


def _middle_line(n_lines: Sequence[int]) -> int:
    """The length of the block in which the middle line of the book lies."""
    half, seen = sum(n_lines) / 2, 0
    for n in n_lines:
        seen += n
        if seen >= half:
            return n
    return 0


def _over_pages(blocks: Sequence[_Block], evidence: _Evidence) -> Iterator[_Block]:
    """The blocks, with those joined that the end of a page has parted."""
    held: _Block | None = None
    for block in blocks:
        if held is not None and block.after_page and _goes_on(held.lines[-1], block.lines[0], evidence):
            held.lines += block.lines
            continue
        if held is not None:
            yield held
        held = _Block(list(block.lines), block.after_page)
    if held is not None:
        yield held


def _goes_on(line: str, after: str, evidence: _Evidence) -> bool:
    """Whether a paragraph goes on over the end of a page."""
    if _cut_word(line) or _is_small(after.strip()):
        return True
    if _could_hold(line, after, 0.97 * evidence.width) or after.lstrip().startswith(("—", "–", "- ")):
        return False
    if after.isupper() and not line.isupper():  # a heading
        return False
    return len(line) - len(line.lstrip()) >= len(after) - len(after.lstrip())


def _paragraphs(lines: Sequence[str], evidence: _Evidence) -> Iterator[str]:
    """The paragraphs of a block: one, as a rule."""
    if _keeps_lines(lines, evidence):
        yield "\n".join(line.strip() for line in lines)
        return
    margin = min(len(line) - len(line.lstrip()) for line in lines)
    held: list[str] = []
    for i, line in enumerate(lines):
        if i and _begins_paragraph(lines[i - 1], line, margin, evidence):
            yield _joined(held, evidence)
            held = []
        held.append(line.strip())
    yield _joined(held, evidence)


def _keeps_lines(lines: Sequence[str], evidence: _Evidence) -> bool:
    """Whether the lines were ended on purpose, all but a few: verse, a heading of two lines, a table of contents."""
    if sum(_LEADERS.search(line) is not None for line in lines) * 2 > len(lines):
        return True
    n_breaks = len(lines) - 1
    n_on_purpose = sum(
        _could_hold(line, after, 0.75 * evidence.width) and not _is_small(after.strip())
        for line, after in pairwise(lines)
    )
    return n_breaks > 0 and n_on_purpose >= 0.8 * n_breaks


def _begins_paragraph(line: str, after: str, margin: int, evidence: _Evidence) -> bool:
    if _cut_word(line) or _is_small(after.strip()) or not _OPENING.match(after):
        return False
    is_ended = line.rstrip().endswith(_TERMINAL)
    if len(after) - len(after.lstrip()) >= margin + 2 and is_ended:
        return True
    if after.lstrip().startswith(("—", "–")) and _could_hold(line, after, 0.97 * evidence.width):
        return True
    if evidence.is_dense and is_ended and after.lstrip().startswith(("— ", "– ", "—\u00a0", "–\u00a0")):
        return True
    return is_ended and _could_hold(line, after, (0.97 if evidence.is_dense else 0.8) * evidence.width)


def _could_hold(line: str, after: str, width: float) -> bool:
    """Whether the first word after a line would have fitted into it: then something else than its width ended it."""
    words = after.split(None, 2)
    first = " ".join(words[:2]) if words[0] in ("—", "–", "«", "-", "--") else words[0]  # a no-break space follows
    return len(line.strip()) + 1 + len(first) <= width


def _joined(lines: Sequence[str], evidence: _Evidence) -> str:
    parts = [lines[0]]
    for line, after in pairwise(lines):
        left, right = _cut_word(line), _FIRST_WORD.match(after)
        if not left or right is None:
            parts += [" ", after]
            continue
        if line[-1] in _SIGNS_OF_A_CUT or not _keeps_hyphen(left, right[0], evidence):
            parts[-1] = parts[-1][:-1]
        parts.append(after)
    return "".join(parts)


def _cut_word(line: str) -> str:
    """The part of a word before the hyphen that ends the line; "" where none does."""
    found = _CUT_WORD.search(line[-80:]) if line.endswith(_HYPHENS) else None
    return found[1] if found else ""


def _keeps_hyphen(left: str, right: str, evidence: _Evidence) -> bool:
    """Whether "left-" at a line's end and "right" on the next are a word with a hyphen: by what the book writes."""
    if left[-1].isdigit() or right[0].isdigit() or right[0].isupper():
        return not (left.isupper() and len(left) > 1 and right.isupper())  # a title in capitals may be cut like a word
    left, right = left.casefold(), right.casefold()
    n_joined, n_parted = evidence.words[left + right], evidence.words[f"{left}-{right}"]
    if n_joined or n_parted:
        return n_parted > n_joined
    last, head = left.rpartition("-")[2], right.partition("-")[0]
    if head in _ENCLITICS and (evidence.words[last] or last == "t"):
        return True
    if last.endswith(_BEFORE_PRONOUN.get(head, ())):
        return True
    if not evidence.words[right]:
        return False
    if last in _FIRST_PARTS or evidence.first_parts[left] >= 2:
        return True
    # coffre-fort: two words of the book that make no word of it without the hyphen
    return len(last) >= 4 and len(right) >= 4 and evidence.words[last] >= 2 and evidence.words[right] >= 2


def _width(filled: Sequence[str]) -> int:
    """The length that 98 of 100 lines do not pass."""
    lengths = sorted(map(len, filled))
    return lengths[min(len(lengths) - 1, int(0.98 * len(lengths)))] if lengths else 0


def _is_small(text: str) -> bool:
    return text[:1].islower()
