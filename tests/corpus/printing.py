"""Prints a book: wraps its paragraphs to lines, cuts words, adds page numbers and running titles. For test_books.py.

The opposite of books.rebuild, and written apart from it.
"""

from __future__ import annotations

import random
import re

_SYLLABLE = re.compile(r"(?<=[aeiouyéèêàâîôûïœ])(?=[bcdfgjklmnpqrstvzç][aeiouyéèêàâîôûïœ])")


def wrapped(paragraph: str, width: int, rng: random.Random, hyphenation: float) -> list[str]:
    """Lines of at most `width`: greedy, words cut between syllables at a share of the line ends, and at own hyphens."""
    lines, line = [], ""
    for word in re.split("[ \n]+", paragraph):
        candidate = f"{line} {word}" if line else word
        if len(candidate) <= width:
            line = candidate
            continue
        room = width - len(line) - 2
        cuts = [m.end() for m in re.finditer(r"(?<=\w)-(?=\w)", word)]
        cut = max((at for at in cuts if at <= room + 1), default=0)
        if cut and line:
            lines.append(f"{line} {word[:cut]}")
            line = word[cut:]
            continue
        soft = [m.start() for m in _SYLLABLE.finditer(word) if word[: m.start()].isalpha() and m.start() >= 2]
        soft = [at for at in soft if at <= room and len(re.match(r"\w*", word[at:])[0]) >= 3]
        if soft and line and rng.random() < hyphenation:
            lines.append(f"{line} {word[: soft[-1]]}-")
            line = word[soft[-1] :]
        else:
            if line:
                lines.append(line)
            line = word
    return [*lines, line]


def printed(paragraphs: list[str], *, width: int, title: str, style: str, seed: int = 0, per_page: int = 38) -> str:
    """A book of pages. Styles: "plain", "numbers" (at the foot), "titles" (number and title in one line at the head,
    on the left and on the right in turn), "feeds" (a form feed, title and number on lines of their own)."""
    rng = random.Random(seed)
    out: list[str] = []
    n_on_page, page = 0, 1
    for paragraph in paragraphs:
        for line in wrapped(paragraph, width, rng, 0.5):
            if style != "plain" and n_on_page >= per_page:
                page += 1
                if out[-1] == "":
                    out.pop()
                out += _end_of_page(style, page, title)
                n_on_page = 0
            out.append(line)
            n_on_page += 1
        out.append("")
    return "\n".join(out)


def _end_of_page(style: str, page: int, title: str) -> list[str]:
    if style == "numbers":
        return ["", f"{page - 1}" if page % 2 else f"— {page - 1} —", ""]
    if style == "titles":
        return ["", f"{page} {title.upper()}" if page % 2 else f"CHAPITRE SUIVANT {page}", ""]
    return ["", f"{page - 1}", f"\f{title}", ""]
