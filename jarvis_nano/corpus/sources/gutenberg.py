"""Project Gutenberg's own pages around a book, in English whatever the book's language: taken off."""

from __future__ import annotations

import re

_LOOKED_AT = 40_000  # characters at either end: the licence has 19,000
_START = re.compile(
    r"^\*{3}\s*START OF (?:THE|THIS) PROJECT GUTENBERG EBOOK\b[^\n]*(?:\n[^\n]+)?\*{3}\s*$", re.M | re.I
)
_END = re.compile(
    r"^(?:\*{3}\s*END OF (?:THE|THIS) PROJECT GUTENBERG EBOOK\b|End of (?:the )?Project Gutenberg)", re.M | re.I
)
_CREDITS = re.compile(r"^(?:Produced by|E-?text prepared by|This eBook was produced)\b[^\n]*(?:\n[^\n]+)*\n", re.I)


def without_licence(text: str) -> str:
    """The book between the lines « *** START OF … *** » and « *** END OF … *** », and without who typed it.

    Where only one of the two lines is there, what it parts is cut off; a text without them is returned as it is.
    """
    if "project gutenberg" not in text[:_LOOKED_AT].lower() and "project gutenberg" not in text[-_LOOKED_AT:].lower():
        return text
    start = _START.search(text, 0, _LOOKED_AT)
    begin = start.end() if start else 0
    ends = _END.search(text, max(begin, len(text) - _LOOKED_AT))
    if start is None and ends is None:
        return text
    book = text[begin : ends.start() if ends else len(text)].strip("\n")
    return _CREDITS.sub("", book, count=1).strip("\n") if start else book
