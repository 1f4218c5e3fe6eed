"""A web page to the paragraphs of its main content; its tags: tags.py."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from jarvis_nano.corpus.documents import Document
from jarvis_nano.corpus.sources.source import Source
from jarvis_nano.corpus.sources.tags import Tag, tags_and_texts
from jarvis_nano.corpus.sources.text import bounded, documents_of

MAX_PAGE = 8 << 20  # bytes; a saved page has less than one, its pictures in it perhaps five
_MIN_MAIN = 200  # characters that <main> or <article> must hold to be taken for the whole
_CHARSET = re.compile(rb"<meta\b[^<>]{0,512}?\bcharset\s{0,8}=\s{0,8}[\"']?\s{0,8}([\w.:-]{1,40})", re.IGNORECASE)
_XML_ENCODING = re.compile(rb"<\?xml[^<>]{0,128}?\bencoding\s{0,8}=\s{0,8}[\"']([\w.:-]{1,40})", re.IGNORECASE)
_ENCODINGS = re.compile(
    r"utf-?8|utf-?16(?:-?[lb]e)?|(?:us-)?ascii|latin-?[1-9]|iso-?8859-?\d{1,2}|(?:windows|cp)-?125\d|macintosh"
)
_SPACES = re.compile("[\t\n\r\f\v ]+")  # not the no-break ones, which are the typographer's
_LONG_NUMBER = re.compile(r"&#(?:\d{8,}|[xX][0-9a-fA-F]{7,});?")

_LEFT_OUT = frozenset(
    ("head", "script", "style", "noscript", "template", "svg", "iframe", "object", "canvas", "audio", "video", "map")
    + ("select", "button", "textarea", "datalist", "nav", "aside", "dialog", "rp", "rt")
)
_IN_HEAD = frozenset(("title", "meta", "link", "script", "style", "base", "noscript", "template"))
_BLOCKS = frozenset(
    ("address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "dialog", "div", "dl")
    + ("dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr")
    + ("hgroup", "legend", "li", "main", "menu", "nav", "ol", "p", "pre", "section", "summary", "table", "tbody")
    + ("tfoot", "thead", "tr", "ul")
)
_ITEMS = frozenset(("li", "tr", "td", "th", "p", "dt", "dd"))  # their end may be left away before another of them
_VOID = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr")
)
_ROLES = frozenset(("navigation", "banner", "contentinfo", "search", "complementary", "menu", "alert", "dialog"))


def read_html(file: BinaryIO, source: Source) -> Iterator[Document]:
    """The text of a page's main content as one document: blocks parted by a blank line, items of a list by "- ".

    Left out: scripts, styles, navigation, asides, forms, header and footer of the page, hidden elements. <main> or
    <article> where they hold text, else the body without lone links. The encoding is that of the byte-order mark, of
    <meta> or the XML declaration, else UTF-8, else windows-1252. Damage, of the whole file: bytes that are not in the
    encoding, or more than MAX_PAGE of them. Memory: a few times the page; 450 MiB and 20 seconds for the worst
    (MAX_PAGE of "<p>a").
    """
    data = file.read(MAX_PAGE + 1)
    if len(data) > MAX_PAGE:
        source.damaged("", f"is an HTML page of more than {MAX_PAGE >> 20} MiB; cut it, or give its text as .txt")
        return
    text = _decoded(data, source)
    if text is not None:
        yield from documents_of(bounded(page_text(text.replace("\0", "\ufffd"))), source)


def page_text(page: str) -> str:
    """The main content of an HTML page."""
    reader = _Page()
    for item in tags_and_texts(page):
        if isinstance(item, Tag):
            reader.tag(item)
        else:
            reader.text(item)
    reader.close()
    return _joined(_chosen(reader.blocks))


def unescaped(text: str) -> str:
    """html.unescape, for numbers of any length too."""
    return html.unescape(_LONG_NUMBER.sub("\ufffd", text)) if "&" in text else text


def _decoded(data: bytes, source: Source) -> str | None:
    declared = _CHARSET.search(data, 0, 4096) or _XML_ENCODING.match(data.lstrip())
    marks = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
    marked = next((encoding for mark, encoding in marks.items() if data.startswith(mark)), None)
    label = marked or (declared[1].decode("ascii", "replace").lower() if declared else "")
    if not marked and not _ENCODINGS.fullmatch(label):
        if label:
            source.damaged("", f"is in the encoding {label[:40]}, which is not read; convert it to UTF-8 with iconv")
            return None
        label = "utf-8" if _is_utf8(data) else "cp1252"
    if re.fullmatch(r"us-ascii|ascii|latin-?1|iso-?8859-?1", label):
        label = "cp1252"  # as browsers do
    if label.startswith("utf-16") and not marked:
        label = "utf-8"  # <meta> could not have been read
    try:
        return data.decode({"macintosh": "mac-roman"}.get(label, label.replace("windows-", "cp")))
    except (UnicodeDecodeError, LookupError) as error:
        source.damaged("", f"is not in the encoding that it declares: {error}; convert it to UTF-8 with iconv")
        return None


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


@dataclass(slots=True)
class _Block:
    """A paragraph, heading, item, row or preformatted text; `frame` is "main", "banner", "form" or ""."""

    kind: str
    frame: str
    parts: list[str] = field(default_factory=list)
    n_linked: int = 0

    @property
    def text(self) -> str:
        text = "".join(self.parts)
        if self.kind == "pre":
            return text.strip("\n").rstrip()
        return "\n".join(line for part in text.split("\n") if (line := _SPACES.sub(" ", part).strip()))


class _Page:
    """Blocks from tags and texts, with the elements that are open; a closing tag closes what stands open within."""

    def __init__(self) -> None:
        self.blocks: list[_Block] = []
        self._open: list[str] = []
        self._counts: dict[str, int] = {}  # of the names in _open: a closing tag without its opening costs nothing
        self._n_hidden = 0  # depth in _open from which on nothing is text; 0 is none
        self._block = _Block("p", "")

    def tag(self, tag: Tag) -> None:
        if tag.name == "br" and not self._n_hidden:
            self._block.parts.append("\n")
        elif tag.is_closing:
            self._close(tag.name)
        else:
            if tag.name in _ITEMS and self._open[-1:] == [tag.name]:
                self._close(tag.name)
            elif self._counts.get("head") and tag.name not in _IN_HEAD:
                self._close("head")
            self._begin(tag)

    def text(self, text: str) -> None:
        if not self._n_hidden and text:
            text = unescaped(text)
            if self._counts.get("pre", 0) == 0:
                text = _SPACES.sub(" ", text)
            self._block.parts.append(text)
            if self._counts.get("a", 0):
                self._block.n_linked += len(text.strip())

    def close(self) -> None:
        if "".join(self._block.parts).strip():
            self.blocks.append(self._block)

    def _begin(self, tag: Tag) -> None:
        if tag.name in _BLOCKS:
            self._next_block(tag.name)
        elif tag.name in ("td", "th"):
            self._block.parts.append("\v" if self._block.parts else "")
        if tag.name in _VOID or tag.is_empty:
            return
        self._open.append(tag.name)
        self._counts[tag.name] = self._counts.get(tag.name, 0) + 1
        is_hidden = tag.name in _LEFT_OUT or "hidden" in tag.attributes or tag.attributes.get("aria-hidden") == "true"
        if not self._n_hidden and (is_hidden or tag.attributes.get("role") in _ROLES):
            self._n_hidden = len(self._open)
        if tag.name in _BLOCKS:
            self._block.frame = self._frame()

    def _close(self, name: str) -> None:
        if not self._counts.get(name):
            if name == "p":
                self._next_block("p")
            return
        while True:
            last = self._open.pop()
            self._counts[last] -= 1
            if last == name:
                break
        if len(self._open) < self._n_hidden:
            self._n_hidden = 0
        if name in _BLOCKS:
            self._next_block("p")

    def _next_block(self, name: str) -> None:
        if self._block.kind == "li" and name in ("p", "div") and not "".join(self._block.parts).strip():
            return  # an item that begins with a paragraph
        kind = name if name in ("li", "tr", "pre", "dd") else ("h" if name[0] == "h" and name[1:].isdigit() else "p")
        self.close()
        kind = "pre" if self._counts.get("pre", 0) else kind
        self._block = _Block(kind, self._frame())

    def _frame(self) -> str:
        """Where the block stands; header and footer of an <article> are its own."""
        if self._counts.get("main", 0) or self._counts.get("article", 0):
            return "main"
        if self._counts.get("header", 0) or self._counts.get("footer", 0):
            return "banner"
        return "form" if self._counts.get("form", 0) else ""


def _chosen(blocks: list[_Block]) -> list[_Block]:
    main = [block for block in blocks if block.frame == "main"]
    if sum(len(block.text) for block in main) >= _MIN_MAIN:
        return main
    body = [block for block in blocks if block.frame != "banner" and not _is_lone_link(block)]
    plain = [block for block in body if block.frame != "form"]
    # Some frameworks put the whole page in one form.
    n_plain, n_all = (sum(len(block.text) for block in some) for some in (plain, body))
    return plain if 2 * n_plain >= n_all else body


def _is_lone_link(block: _Block) -> bool:
    return block.n_linked > 0.8 * len("".join(block.parts).strip()) and block.n_linked < 200 and block.kind != "h"


def _joined(blocks: list[_Block]) -> str:
    parts: list[str] = []
    last = ""
    for block in blocks:
        text = block.text
        if block.kind == "tr":
            cells = (_SPACES.sub(" ", cell).strip() for cell in "".join(block.parts).split("\v"))
            text = "\t".join(cell for cell in cells if cell)
        if not text:
            continue
        is_row = block.kind in ("li", "tr") and last == block.kind
        parts += ["\n" if is_row else "\n\n", "- " if block.kind == "li" else "", text]
        last = block.kind
    return "".join(parts).strip("\n")
