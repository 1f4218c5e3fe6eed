"""The control characters by which the passes over a page speak to each other. XML cannot hold them, so no dump does."""

from __future__ import annotations

import re

BREAK = "\x0e"  # a line end that stays one: <br>, the lines of a poem
HOLE = "\x0f"  # a value that this reader cannot know (Wikidata, today's date): its sentence goes
PIECE = "\x10"  # begins the number of a piece kept from all rules: a formula, <nowiki>
_DIGITS = "\x01\x02\x03\x04\x05\x06\x07\x08"
_USED = (BREAK, HOLE, PIECE, *_DIGITS)
_NUMBERED = re.compile(f"{PIECE}([{_DIGITS}]+)")
_TO_DIGITS = str.maketrans("01234567", _DIGITS)
_FROM_DIGITS = str.maketrans(_DIGITS, "01234567")
_FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f]")

# Several passes of str.replace are 20 times as fast as one of str.translate on text beyond Latin-1.
_SPACES = (
    ("\xa0", " "),
    ("\u202f", " "),
    ("\u2009", " "),
    ("&nbsp;", " "),
    ("&#160;", " "),
    ("\xad", ""),
    ("\u200b", ""),
    ("\ufeff", ""),
)


def plain_spaces(text: str) -> str:
    """The text with plain spaces for those that do not break, and without soft hyphens."""
    for space, plain in _SPACES:
        text = text.replace(space, plain)
    return text


def without_marks(text: str) -> str:
    """The text with "\\n" as its line ends, and without control characters where it holds any that are used here."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if any(mark in text for mark in _USED):  # eleven searches of one character: a seventh of one for a class of them
        text = _FORBIDDEN.sub("", text)
    return text


class Pieces:
    """What no later pass may touch: put(text) gives a mark to stand for it, restore(text) puts them back."""

    def __init__(self) -> None:
        self._kept: list[str] = []

    def put(self, text: str) -> str:
        self._kept.append(plain_spaces(text))
        return PIECE + format(len(self._kept) - 1, "o").translate(_TO_DIGITS)

    def restore(self, text: str) -> str:
        if not self._kept:
            return text
        return _NUMBERED.sub(lambda found: self._kept[int(found[1].translate(_FROM_DIGITS), 8)], text)
