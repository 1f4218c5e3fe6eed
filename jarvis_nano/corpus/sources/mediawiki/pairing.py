"""Which mark closes which: one look at {{ }}, {{{ }}}, [[ ]], {| |}. What nothing closes is told apart, not lost."""

from __future__ import annotations

import re
from typing import NamedTuple

STRAY, LINK, TEMPLATE, PARAMETER, TABLE = range(5)

_MARK = re.compile(r"\[\[+|\]\]+|\{\{+|\}\}+|\{\||\|\}+")
_HEADING = re.compile(r"\n==[^\n]+==[ \t]*(?=\n|$)")
# Of an opening mark that nothing closes: the mark goes, with a name or target before its first bar on the same line.
_UNCLOSED = {
    TEMPLATE: re.compile(r"(?:[^{}\[\]|\n]{0,80}\|)?"),
    LINK: re.compile(r"(?:[^{}\[\]|\n]{0,200}\|)?"),
    TABLE: re.compile(r"[^{}\[\]\n]*"),
}
_CLOSES = {TEMPLATE: "}", LINK: "]"}


class Span(NamedTuple):
    start: int
    end: int
    kind: int


class _Open:
    """An opening mark that waits, `count` characters of it: closing braces take some of a run, from its right."""

    __slots__ = ("count", "kind", "start", "whole")

    def __init__(self, kind: int, start: int, count: int) -> None:
        self.kind, self.start, self.count = kind, start, count
        self.whole = True


class _Pairing:
    def __init__(self, text: str) -> None:
        self.text = text
        self.spans: list[Span] = []
        self.stack: list[_Open] = []
        self.waiting = [0] * 5  # marks on the stack, by kind: no search for a partner that is not there

    def push(self, kind: int, start: int, count: int = 2) -> None:
        self.stack.append(_Open(kind, start, count))
        self.waiting[kind] += 1

    def take(self) -> _Open:
        mark = self.stack.pop()
        self.waiting[mark.kind] -= 1
        return mark

    def unclosed(self, mark: _Open) -> None:
        end = mark.start + mark.count
        if mark.whole and (name := _UNCLOSED[mark.kind].match(self.text, end)):
            end = name.end()
        self.spans.append(Span(mark.start, end, STRAY))

    def forget(self) -> None:
        """None of the marks that are open here will be closed."""
        while self.stack:
            self.unclosed(self.take())

    def pop_to(self, kind: int) -> _Open:
        """The innermost open mark of a kind; those within it are never closed."""
        while self.stack[-1].kind != kind:
            self.unclosed(self.take())
        return self.stack[-1]

    def close(self, kind: int, end: int) -> None:
        mark = self.pop_to(kind)
        self.take()
        self.spans.append(Span(mark.start, end, kind))

    def braces(self, start: int, count: int) -> None:
        """Closing braces take two or three of the innermost opening ones, as MediaWiki's preprocessor does."""
        while count >= 2 and self.waiting[TEMPLATE]:
            mark = self.pop_to(TEMPLATE)
            taken = min(3, count, mark.count)
            begin = mark.start + mark.count - taken
            start, count = start + taken, count - taken
            self.spans.append(Span(begin, start, PARAMETER if taken == 3 else TEMPLATE))
            mark.count -= taken
            mark.whole = False
            if mark.count < 2:  # a single brace is text
                self.take()
        if count >= 2:
            self.spans.append(Span(start, start + count, STRAY))

    def begins_line(self, position: int, fillers: str) -> bool:
        position -= 1
        while position >= 0 and self.text[position] in fillers:
            position -= 1
        return position < 0 or self.text[position] == "\n"

    def bar(self, start: int, count: int) -> None:
        """`|}` at the head of a line closes a table; in `|}}` the braces belong to a template."""
        if self.waiting[TABLE] and (count & 1) and self.begins_line(start, " \t"):
            self.close(TABLE, start + 2)
            start, count = start + 1, count - 1
        if count >= 2:
            self.braces(start + 1, count)

    def magic_table(self, end: int, count: int) -> int:
        """`{{{!}}`, `{{(!}}` open and `{{!}}}`, `{{!)}}` close a table inside a template; 0 where it is none."""
        text, start = self.text, end - count
        if count == 3 and text.startswith("!}}", end) and self.begins_line(start, " \t:*#;"):
            self.push(TABLE, start, 6)
            return end + 3
        if count == 2 and text.startswith("(!}}", end):
            self.push(TABLE, start, 6)
            return end + 4
        if count == 2 and self.waiting[TABLE]:
            if text.startswith("!)}}", end):
                self.close(TABLE, end + 4)
                return end + 4
            if text.startswith("!}}}", end) and self.begins_line(start, " \t"):
                self.close(TABLE, end + 4)
                return end + 4
        return 0


def _next_heading(text: str, position: int) -> int:
    found = _HEADING.search(text, position)
    return found.start() if found else len(text)


def pair(text: str) -> list[Span]:
    """Every construct of a text from its first mark to past its last, in order of `start`; inner ones lie within.

    STRAY spans are marks without a partner: none is looked for past a heading. A closing mark takes the nearest opening
    one of its kind; opening marks between them count as never closed. Time and memory are linear in the text's length.
    """
    pairing = _Pairing(text)
    spans = pairing.spans
    skip = 0
    heading = _next_heading(text, 0)
    for mark in _MARK.finditer(text):
        start, end = mark.span()
        if start > heading:
            pairing.forget()
            heading = _next_heading(text, start)
        if start < skip:
            start = skip
            if end - start < 2:
                continue
        sign = text[start]
        top = pairing.stack[-1] if pairing.stack else None
        if top and end - start == top.count == 2 and sign == _CLOSES.get(top.kind):  # nearly all of them
            pairing.take()
            spans.append(Span(top.start, end, top.kind))
        elif sign == "[":
            pairing.push(LINK, end - 2)
        elif sign == "]":
            while end - start >= 2 and pairing.waiting[LINK]:
                pairing.close(LINK, start + 2)
                start += 2
            if end - start >= 2:
                spans.append(Span(start, end, STRAY))
        elif sign == "}":
            pairing.braces(start, end - start)
        elif sign == "|":
            pairing.bar(start, end - start - 1)
        elif text[start + 1] == "|":
            if pairing.begins_line(start, " \t:*#;"):
                pairing.push(TABLE, start)
        elif opened := pairing.magic_table(end, end - start):
            skip = opened
        else:
            pairing.push(TEMPLATE, start, end - start)
    pairing.forget()
    spans.sort()
    return spans
