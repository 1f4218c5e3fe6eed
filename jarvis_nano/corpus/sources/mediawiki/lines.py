"""The last pass, line by line: quotes, lists, headings and what removals leave behind, into paragraphs."""

from __future__ import annotations

import re
from collections.abc import Callable

from jarvis_nano.corpus.sources.mediawiki.entities import decode
from jarvis_nano.corpus.sources.mediawiki.marks import BREAK, HOLE, PIECE
from jarvis_nano.corpus.sources.mediawiki.sections import heading

_APOSTROPHES = re.compile(r"'{2,}")
_EXTERNAL = re.compile(
    r"\[(?:https?:|ftp:|mailto:|news:)?(?://|(?<=mailto:))[^\s\[\]<>\"]*+"
    r"(?:[ \t]++((?:[^\[\]\n]++|\[[^\[\]\n]*+\])*+))?\]",
    re.IGNORECASE,
)
_BEHAVIOUR = re.compile(r"__[A-ZÀ-ÖØ-Þ_]{3,40}__")
_SIGNATURE = re.compile(r"~{3,5}")
_CONVERTER = re.compile(r"-\{(?!\{)(?:[^{}\n|;:]*[|:])?([^{}\n;]*)[^{}\n]*\}-")
# Not after an abbreviation: « M. », « J.-C. »
_SENTENCE = re.compile(rf"(?<=[a-zà-ÿ0-9)» {HOLE}][a-zà-ÿ0-9)» {HOLE}][.!?…]) +(?=[A-ZÀ-ÖØ-Þ«{HOLE}])")
_TABLE_HEAD = re.compile(r"![ \t]*(?:scope|style|align|colspan|rowspan|class|width|data|[^!\n]*!!)")
_WORD = re.compile(rf"[^\W_]|{PIECE}")
_LEADERS = frozenset(" \t,;.)")
_MARKS = "*#:;"
MAX_INDENT = 6  # levels of lists shown by indenting

_SPACES = re.compile(r"[ \t]{2,}|\t")
_EMPTY = re.compile(r" ?\([ ,;:/–-]++\)| \(\)")
_OPENED = re.compile(r"\([ ,;:]++(?=[^)])")
_CLOSED = re.compile(r"(?<![ ,;])[ ,;]++\)")
_COMMAS = re.compile(r" ?,(?: ?,)++")
_BEFORE = re.compile(r" (?=,(?!\d)|\.(?=[\s)»]|$))")
_LEADING = re.compile(r"^(?:[ \t,;)]|\.[ \t])+")  # what stood after something that is gone
_STOPS = re.compile(r"(?<=[A-Za-z])\.\.(?!\.)")  # « av. J.-C.. »
_QUOTES = re.compile(r" ?(?:« ?»|“ ?”)")
_SUSPECTS = ("  ", "\t", " ,", " .", "( ", " )", "()", "(,", "(;", "(:", ",,", ",)", ";)", "« »", "«»", "“”")


def unquoted(line: str) -> str:
    """The line without bold and italic marks. In « l'''Iliade'' » the first apostrophe is a letter and stays."""
    if "'''" not in line:
        return line.replace("''", "")
    runs = [len(run) for run in _APOSTROPHES.findall(line)]
    bold = sum(run == 3 or run == 4 or run >= 5 for run in runs)
    italic = sum(run == 2 or run >= 5 for run in runs)
    letter = _apostrophe(line) if bold % 2 and italic % 2 else -1
    return _APOSTROPHES.sub(lambda run: "'" * _letters(len(run[0]), run.start() == letter), line)


def _letters(length: int, is_letter: bool) -> int:
    """How many of a run of apostrophes are letters: of four one, past five the surplus."""
    if length == 3:
        return int(is_letter)
    return 1 if length == 4 else max(0, length - 5)


def _apostrophe(line: str) -> int:
    """Where MediaWiki reads ''' as a letter and '': after a word of one letter, else of more, else after a space."""
    best, rank = -1, 4
    for run in _APOSTROPHES.finditer(line):
        if len(run[0]) != 3:
            continue
        at = run.start()
        before, earlier = line[at - 1 : at], line[at - 2 : at - 1] if at > 1 else " "
        order = 3 if before in ("", " ") else 1 if earlier in ("", " ") else 2
        if order < rank:
            best, rank = at, order
    return best


def _without_holes(line: str) -> str:
    return " ".join(sentence for sentence in _SENTENCE.split(line) if HOLE not in sentence)


# What is done to a whole page that holds this; none of it changes what is a heading, a list or a quote.
_STEPS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("//", lambda page: _EXTERNAL.sub(lambda link: link[1] or "", page)),
    ("mailto:", lambda page: _EXTERNAL.sub(lambda link: link[1] or "", page)),
    ("__", lambda page: _BEHAVIOUR.sub("", page)),
    ("~~~", lambda page: _SIGNATURE.sub("", page)),
    ("-{", lambda page: _CONVERTER.sub(r"\1", page)),
)


def _spaced(line: str) -> str:
    """Empty brackets and quotes gone, one space between words and none before a comma or at a bracket's inside."""
    line = _SPACES.sub(" ", line)
    if "« " in line or "“" in line or "«»" in line:
        line = _QUOTES.sub("", line)
    if "(" in line:
        line = _CLOSED.sub(")", _OPENED.sub("(", _EMPTY.sub("", line)))
        line = _EMPTY.sub("", line)
    line = _COMMAS.sub(",", line)
    return _SPACES.sub(" ", _BEFORE.sub("", line))


class _Tidier:
    """Finishes lines. What the whole page does not hold is not looked for in its lines."""

    def __init__(self, page: str) -> None:
        self.entities, self.holes = "&" in page, HOLE in page
        # Quotes, once gone, bring these together.
        often = self.holes or "'' " in page or " ''" in page
        self.suspects = [mark for mark in _SUSPECTS if (often and " " in mark) or mark in page]

    def __call__(self, line: str) -> str:
        """The line with entities decoded, and no traces of what was taken out of it."""
        if self.holes and HOLE in line:
            line = _without_holes(line)
        if self.entities and "&" in line:
            line = _spaced(decode(line))
        for suspect in self.suspects:
            if suspect in line:
                line = _spaced(line)
                break
        if ".." in line:
            line = _STOPS.sub(".", line)
        if line[:1] in _LEADERS:
            line = _LEADING.sub("", line, count=1)
        return line.rstrip(" \t")


def _says_something(text: str) -> bool:
    return _WORD.search(text) is not None


class _Blocks:
    """Paragraphs in the making; a heading is a block with its level, text has level 0."""

    def __init__(self, tidied: _Tidier) -> None:
        self.tidied = tidied
        self.blocks: list[tuple[int, str]] = []
        self.lines: list[str] = []  # of the block that grows
        self.running: list[str] = []  # lines that one paragraph runs over
        self.counters: dict[str, int] = {}
        self.listing = False

    def end_line(self) -> None:
        if len(self.running) > 1:  # a space comes where they meet
            self.running = [_spaced(" ".join(self.running))]
        if self.running:
            self.add(self.running[0])
            self.running = []

    def end_block(self) -> None:
        self.end_line()
        if self.lines:
            self.blocks.append((0, "\n".join(self.lines)))
            self.lines = []
        self.listing = False
        if self.counters:
            self.counters = {}

    def add(self, line: str, mark: str = "") -> bool:
        """A line of the block with its mark; False where nothing is left of it."""
        if BREAK in line:
            parts = [part for part in map(self.tidied, line.split(BREAK)) if _says_something(part)]
            line = "\n".join(parts)
        else:
            line = self.tidied(line)
        if not _says_something(line):
            return False
        self.lines.append(mark + line)
        return True

    def heading(self, level: int, title: str) -> None:
        self.end_block()
        title = self.tidied(title.replace(BREAK, " "))
        if _says_something(title):
            self.blocks.append((level, title))

    def item(self, line: str) -> None:
        """A line of a list: `*` -> « - », `#` -> « 1. », two spaces before them a level down; `:` and `;` plain."""
        self.end_line()
        content = line.lstrip(_MARKS + " \t") if line[0] in "*#" else line.lstrip(_MARKS)
        marks = line[: len(line) - len(line.lstrip(_MARKS))]
        if self.counters:
            self.counters = {key: n for key, n in self.counters.items() if marks.startswith(key)}
        self.listing = True
        indent = "  " * min(sum(mark in "*#" for mark in marks) - 1, MAX_INDENT)
        if marks[-1] == "#":
            number = self.counters.get(marks[:20], 0) + 1
            if self.add(content, f"{indent}{number}. "):
                self.counters[marks[:20]] = number
        else:
            self.add(content, f"{indent}- " if marks[-1] == "*" else "")

    def read(self, line: str) -> None:
        first = line[:1]
        if not first or line.isspace():
            self.end_block()
            return
        if "''" in line:
            line = unquoted(line)
            first = line[:1]
        if first == "=" and (head := heading(line)):
            self.heading(*head)
        elif first and first in _MARKS:
            self.item(line)
        elif first == " ":
            self.end_line()
            self.add(line)
        elif first == "|" or (first == "!" and _TABLE_HEAD.match(line)):
            return  # what a table without its end left
        elif line.startswith("----"):
            self.end_block()
            self.running = [line.lstrip("-")] if line.strip("- ") else []
        else:
            if self.listing:
                self.end_block()  # text after a list begins a paragraph
            self.running.append(line)

    def text(self) -> str:
        """The blocks parted by blank lines; a heading stays where text stands under it."""
        self.end_block()
        kept: list[str] = []
        below = 0  # level of the block kept last, seen from the end; 9 is text
        for level, text in reversed(self.blocks):
            if not level or below > level:
                kept.append(text)
                below = level or 9
        return "\n\n".join(reversed(kept))


def paragraphs(text: str) -> str:
    """Rendered wikitext as plain paragraphs, lists a line an item. Lines that follow each other run together."""
    for mark, step in _STEPS:
        if mark[-1] in text and mark in text:  # one character is found ten times as fast as two
            text = step(text)
    blocks = _Blocks(_Tidier(text))
    for line in text.split("\n"):
        blocks.read(line)
    text = blocks.text()
    for mark in ("{{", "}}", "[[", "]]", "''"):
        while mark[0] in text and mark in text:  # single ones that came to stand side by side
            text = text.replace(mark, "")
    return text
