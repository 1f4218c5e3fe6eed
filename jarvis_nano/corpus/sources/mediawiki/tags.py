"""Comments, <ref>, <math>, <nowiki> and the other tags, taken out or rendered before anything else is read."""

from __future__ import annotations

import re

from jarvis_nano.corpus.sources.mediawiki.entities import decode, lowered, raised
from jarvis_nano.corpus.sources.mediawiki.marks import BREAK, Pieces

_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)\b([^<>]*)>")
_SCRIPT = re.compile(r"([^<>{}\[\]\n]{0,60})</su[bp]\s*>", re.IGNORECASE)
_SPACE = re.compile(r"\s+")

_DROPPED_TAGS = (
    "ref references gallery timeline score imagemap graph chart templatestyles style script mapframe maplink "
    "inputbox categorytree dynamicpagelist indicator includeonly hiero rp table templatedata charinsert rss "
    "phonos"
)
# Tags whose content goes with them.
_DROPPED = frozenset(_DROPPED_TAGS.split())
_FORMULAS = {"math": "${}$", "chem": "$\\ce{{{}}}$", "ce": "$\\ce{{{}}}$"}
_CODE = frozenset(("syntaxhighlight", "source"))
_BREAKS = {"br": BREAK, "hr": "\n\n", "p": "\n\n", "div": "\n", "blockquote": "\n\n", "center": "\n", "ul": "\n",
           "ol": "\n", "dl": "\n", "dd": "\n", "dt": "\n", "section": "", "h1": "\n", "h2": "\n", "h3": "\n",
           "h4": "\n"}  # fmt: skip
_BARE_TAGS = (
    "span small big b i u s em strong del ins strike tt code kbd samp var abbr cite font q dfn bdi bdo mark "
    "ruby rb sup sub noinclude onlyinclude nowiki poem pre li rt caption tr td th thead tbody data time wbr "
    "translate languages tvar a img input label col colgroup figure figcaption"
)
# Tags that go and leave their content. Any other <word> is text.
_BARE = frozenset(_BARE_TAGS.split())
_VERBATIM = frozenset(("nowiki", "pre", *_CODE))
_CONTAINERS = _DROPPED | _CODE | frozenset(("nowiki", "pre", "poem", *_FORMULAS))

_OPENING_REF = re.compile(r"<ref\b([^<>]*)>", re.IGNORECASE)
_HTML_TABLE = re.compile(r"<(/?)table\b[^<>]*>", re.IGNORECASE)
_CLOSING = {name: re.compile(rf"</{name}\s*>", re.IGNORECASE) for name in sorted(_CONTAINERS | _BARE)}


def without_comments(text: str) -> str:
    """The text without <!-- … -->; alone on its line it takes the line along, never closed it takes its paragraph."""
    if "<!--" not in text:
        return text
    pieces, position, last = [], 0, text.rfind("-->")
    while (start := text.find("<!--", position)) >= 0:
        end = text.find("-->", start + 4) + 3 if start + 4 <= last else _paragraph_end(text, start)
        line = text.rfind("\n", position, start) + 1 or position
        if (line == 0 or text[line - 1] == "\n") and not text[line:start].strip() and text[end : end + 1] == "\n":
            start, end = line, end + 1
        pieces.append(text[position:start])
        position = end
    pieces.append(text[position:])
    return "".join(pieces)


def _paragraph_end(text: str, start: int) -> int:
    end = text.find("\n\n", start)
    return len(text) if end < 0 else end


class _Tags:
    """One pass over the tags of a text."""

    def __init__(self, text: str, pieces: Pieces) -> None:
        self.text, self.pieces = text, pieces
        self._never: set[str] = set()  # tags that nothing closes from here on: not searched for again
        self._limits: dict[str, int] = {}  # where the next blank line, the next heading stands
        self._next: dict[str, re.Match[str]] = {}  # the closing tag found last, which may serve many opening ones

    def closing(self, name: str, position: int) -> re.Match[str] | None:
        if name in self._never:
            return None
        known = self._next.get(name)
        if known is not None and known.start() >= position:
            return known
        found = _CLOSING[name].search(self.text, position)
        if found is None:
            self._never.add(name)
        else:
            self._next[name] = found
        return found

    def crosses(self, limit: str, start: int, end: int) -> bool:
        """Whether a blank line or a heading stands between: no formula and no reference goes past one."""
        at = self._limits.get(limit, -1)
        if at < start:
            at = self.text.find(limit, start)
            self._limits[limit] = at = len(self.text) if at < 0 else at
        return at < end

    def container(self, name: str, end: int) -> tuple[str, int]:
        """What stands for <name …>…</name>, and where the text goes on; an open one leaves its content as text."""
        if name == "table":
            return "\n\n", self.past_table(end)
        found = self.closing(name, end)
        if found is None:
            return "", end
        if name not in _VERBATIM and self.crosses("\n\n" if name in _FORMULAS else "\n==", end, found.start()):
            return "", end
        if name == "ref":
            inner = _OPENING_REF.search(self.text, end, found.start())
            if inner and not inner[1].endswith("/"):
                return "", end  # this one was never closed: what follows is text again
        return self.rendered(name, self.text[end : found.start()]), found.end()

    def rendered(self, name: str, content: str) -> str:
        if name in _DROPPED:
            return ""
        if shape := _FORMULAS.get(name):
            formula = _SPACE.sub(" ", decode(content)).strip()
            return self.pieces.put(shape.format(formula)) if formula else ""
        if name == "poem":
            return BREAK.join(tags_rendered(content.strip("\n"), self.pieces).split("\n"))
        if name in _CODE:  # a listing is a box, a word of code is text
            return "\n\n" if "\n" in content else self.pieces.put(content.strip())
        text = decode(content)
        if name == "pre":
            return f"\n\n{self.pieces.put(text.strip(chr(10)))}\n\n" if text.strip() else "\n\n"
        return self.pieces.put(text) if text else ""

    def past_table(self, position: int) -> int:
        """The end of an HTML table with those inside it; `position` again where it is not closed."""
        if "table" in self._never:
            return position
        depth = 1
        for tag in _HTML_TABLE.finditer(self.text, position):
            depth += -1 if tag[1] else 1
            if not depth:
                return tag.end()
        self._never.add("table")
        return position

    def tag(self, found: re.Match[str]) -> tuple[str, int]:
        closes, name, attributes = found[1], found[2].lower(), found[3]
        end = found.end()
        if name in _CONTAINERS:
            if closes or attributes.endswith("/"):  # l'<nowiki/>''Iliade'': an apostrophe, then italics
                return self.pieces.put("") if name == "nowiki" and self.text.startswith("'", end) else "", end
            return self.container(name, end)
        if name in _BREAKS:
            return _BREAKS[name], end
        if name in ("sup", "sub") and not closes and (script := _SCRIPT.match(self.text, end)):
            return (raised if name == "sup" else lowered)(decode(script[1])), script.end()
        if name == "li":
            return "" if closes else "\n* ", end
        if name == "rt":
            return (")" if closes else " ("), end
        if name in _BARE:
            if "display:none" in attributes.replace(" ", "") and (hidden := self.closing(name, end)):
                return "", hidden.end()
            return "", end
        return found[0], end

    def run(self) -> str:
        out, position = [], 0
        while found := _TAG.search(self.text, position):
            start = found.start()
            rendered, end = self.tag(found)
            out.append(self.text[position:start])
            out.append(rendered)
            position = end
        out.append(self.text[position:])
        return "".join(out)


def tags_rendered(text: str, pieces: Pieces) -> str:
    """The text without tags: references and boxes gone, formulas as $…$ and <nowiki> kept in `pieces`, m² raised.

    A tag that nothing closes goes alone and its content stays. Linear in the length of the text.
    """
    return _Tags(text, pieces).run() if "<" in text else text
