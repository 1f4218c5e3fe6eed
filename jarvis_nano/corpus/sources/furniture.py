"""What a printed page has beside its text: page numbers and running titles, found by their distance in a book."""

from __future__ import annotations

import re
import statistics
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

_NUMBER_ALONE = re.compile(r"[-–—\[(<*. ]{0,6}(?:(?:page|p\.)[ ]?)?(\d{1,4})[-–—\])>*. ]{0,6}", re.IGNORECASE)
_NUMBER_FIRST = re.compile(r"(\d{1,4})[ .|–—-]{1,60}(\D{2,80})")
_NUMBER_LAST = re.compile(r"(\D{2,80}?)[ .|–—-]{1,60}(\d{1,4})")
_LETTERS = re.compile(r"[^\W\d_]+")
_PAGE_LINES = (8.0, 120.0)  # lines of text a page may have
_ENDS_A_SENTENCE = (".", "!", "?", "…", ",", ";", "»", ":")


@dataclass(frozen=True)
class _Candidate:
    line: int
    number: int
    title: str
    """What stands beside the number; "" for a number alone."""


def furniture(lines: Sequence[str]) -> set[int]:
    """The indexes of the lines that are page numbers or running titles. A line that begins a page may begin with \\f.

    A number alone on a line is that of a page where its neighbours are one to three more or less at as many times the
    length of a page; so chapters "1", "2" stay, as does a year that the wrapping left alone. A running title is a
    line that comes back three times or more beside such numbers or form feeds, or without them five times or more,
    alone, at the distance of a page, or of two.
    """
    ordinals = _ordinals(lines)
    numbers = _page_numbers(lines, ordinals)
    breaks = {ordinals[at] for at in numbers}
    breaks.update(ordinals[at] for at, line in enumerate(lines) if line.startswith("\f"))
    return numbers | _running_titles(lines, ordinals, breaks, numbers)


def _ordinals(lines: Sequence[str]) -> list[int]:
    """For each line the number of lines with text before it: blank lines say nothing of a page's length."""
    found, n = [], 0
    for line in lines:
        found.append(n)
        n += bool(line.strip())
    return found


def _page_numbers(lines: Sequence[str], ordinals: Sequence[int]) -> set[int]:
    candidates = [candidate for at, line in enumerate(lines) for candidate in _candidates(at, line.strip())]
    n_of_title = Counter(one.title for one in candidates)
    found: set[int] = set()
    for some in (
        [one for one in candidates if not one.title],
        [one for one in candidates if one.title and n_of_title[one.title] >= 3],
    ):
        supported, page = _chain(some, ordinals)
        n_supported = Counter(one.title for one in supported)
        supported = [one for one in supported if not one.title or n_supported[one.title] >= 0.6 * n_of_title[one.title]]
        supported = _rising(supported)
        if page and len(supported) >= max(3, 0.4 * ordinals[-1] / page):  # pages cover a book; the notes of it do not
            found.update(one.line for one in supported)
    return found


def _chain(candidates: Sequence[_Candidate], ordinals: Sequence[int]) -> tuple[list[_Candidate], float]:
    """Those whose number a neighbour confirms by the length of a page, and that length in lines with text."""
    slopes: defaultdict[_Candidate, list[float]] = defaultdict(list)
    for i, one in enumerate(candidates):
        for other in candidates[i + 1 : i + 7]:
            if 0 < other.number - one.number <= 3:
                slope = (ordinals[other.line] - ordinals[one.line]) / (other.number - one.number)
                if _PAGE_LINES[0] <= slope <= _PAGE_LINES[1]:
                    slopes[one].append(slope)
                    slopes[other].append(slope)
    if not slopes:
        return [], 0.0
    page = statistics.median(slope for some in slopes.values() for slope in some)
    return [one for one, some in slopes.items() if any(0.6 * page <= slope <= 1.6 * page for slope in some)], page


def _rising(candidates: Sequence[_Candidate]) -> list[_Candidate]:
    """The longest part whose numbers rise with the lines: chapter 2 among the pages 40, 41, 42 falls out."""
    ordered = sorted(candidates, key=lambda one: one.line)
    tails: list[int] = []  # of the rising sequences of length 1, 2, 3…, the lowest last numbers
    ends: list[int] = []  # and their places in `ordered`
    before: list[int] = []
    for i, one in enumerate(ordered):
        length = bisect_left(tails, one.number)
        before.append(ends[length - 1] if length else -1)
        tails[length : length + 1] = [one.number]
        ends[length : length + 1] = [i]
    found, at = [], ends[-1] if ends else -1
    while at >= 0:
        found.append(ordered[at])
        at = before[at]
    return found[::-1]


def _candidates(at: int, line: str) -> Iterator[_Candidate]:
    if not line or len(line) > 90 or not any(character.isdigit() for character in (line[:8] + line[-8:])):
        return
    if alone := _NUMBER_ALONE.fullmatch(line):
        yield _Candidate(at, int(alone[1]), "")
    elif first := _NUMBER_FIRST.fullmatch(line):
        yield _Candidate(at, int(first[1]), _key(first[2]))
    elif last := _NUMBER_LAST.fullmatch(line):
        yield _Candidate(at, int(last[2]), _key(last[1]))


def _key(line: str) -> str:
    """A title as it is compared: its letters, whatever the case, the number and the ornaments around it."""
    return "".join(_LETTERS.findall(line)).casefold()


def _running_titles(lines: Sequence[str], ordinals: Sequence[int], breaks: set[int], numbers: set[int]) -> set[int]:
    near = {place + d for place in breaks for d in (-1, 0, 1)}

    def stands_alone(at: int) -> bool:
        return not any(line.strip() for line in lines[max(0, at - 1) : at + 2 : 2])

    places: defaultdict[str, list[int]] = defaultdict(list)
    for at, line in enumerate(lines):
        text = line.strip()
        if 2 < len(text) <= 80 and at not in numbers and not text.startswith(("—", "–", "- ")) and (key := _key(text)):
            places[key].append(at)
    return {
        at
        for some in places.values()
        if len(some) >= 3 and not _is_prose(lines, some)
        for at in _at_page_distance(some, ordinals, near, len(breaks), stands_alone)
    }


def _is_prose(lines: Sequence[str], some: Sequence[int]) -> bool:
    """Whether a line that comes back ends as a sentence does: « Il ne répondit pas. » may come back too."""
    return sum(lines[at].rstrip().endswith(_ENDS_A_SENTENCE) for at in some) * 2 > len(some)


def _at_page_distance(
    some: Sequence[int], ordinals: Sequence[int], near: set[int], n_breaks: int, stands_alone: Callable[[int], bool]
) -> Sequence[int]:
    """Those of the lines `some`, which say the same, that are running titles."""
    gaps = [ordinals[b] - ordinals[a] for a, b in pairwise(some)]
    if n_breaks >= 3:
        page = ordinals[-1] / n_breaks
        beside = [at for at in some if ordinals[at] in near]
        n_close = sum(gap <= 2.6 * page for gap in gaps)  # on every page, or every other one
        return beside if len(beside) >= max(3, 0.7 * len(some)) and n_close >= 0.5 * len(gaps) else ()
    some = [at for at in some if stands_alone(at)]
    gaps = [ordinals[b] - ordinals[a] for a, b in pairwise(some)]
    if len(some) < 5 or not _PAGE_LINES[0] <= (page := statistics.median(gaps)) <= 2 * _PAGE_LINES[1]:
        return ()
    n_regular = sum(any(0.8 * k * page <= gap <= 1.2 * k * page for k in (0.5, 1, 2)) for gap in gaps)
    return some if n_regular >= 0.7 * len(gaps) else ()
