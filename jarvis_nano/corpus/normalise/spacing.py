"""Spaces, line ends and blank lines. Each function is one rule on a whole text; see rules.py."""

from __future__ import annotations

import re

# Every space of Unicode that is one character wide on the line: no-break, thin, hair, figure, ideographic, Ogham …
SPACES = "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_RUN = re.compile(r"(?<=[^ \t\n])(?:\t[ \t]*| [ \t]+)")
_BLANK_LINES = re.compile(r"\n{3,}")


def plain_spaces(text: str) -> str:
    for character in set(text).intersection(SPACES):
        text = text.replace(character, " ")
    return text


def collapse_runs(text: str) -> str:
    """Runs of spaces and tabs within a line are one space; what indents a line stays."""
    return _RUN.sub(" ", text) if "  " in text or "\t" in text else text


def strip_line_ends(text: str) -> str:
    if " \n" in text or "\t\n" in text or text.endswith((" ", "\t")):
        text = "\n".join([line.rstrip(" \t") for line in text.split("\n")])
    return text


def strip_indents(text: str) -> str:
    if "\n " in text or "\n\t" in text or text.startswith((" ", "\t")):
        text = "\n".join([line.lstrip(" \t") for line in text.split("\n")])
    return text


def limit_blank_lines(text: str) -> str:
    """One blank line at most between two lines, none at the ends of the text."""
    if "\n\n\n" in text:
        text = _BLANK_LINES.sub("\n\n", text)
    return text.strip("\n")
