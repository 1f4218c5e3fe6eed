"""A MediaWiki dump (export-0.10, -0.11; pages-articles) to the plain texts of its pages. The wikitext: wikitext.py.

The pages are found by the bytes <page> and </page>, which cannot stand in a page's text (there "<" is "&lt;"), and
each is parsed by itself: one broken page costs one page, and an entity declared at the head is unknown in all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO
from xml.parsers import expat

from jarvis_nano.corpus.documents import Document
from jarvis_nano.corpus.sources.mediawiki.site import Site, read_site
from jarvis_nano.corpus.sources.opening import HEAD
from jarvis_nano.corpus.sources.source import Source
from jarvis_nano.corpus.sources.text import refuse_other_encodings

if TYPE_CHECKING:
    from jarvis_nano.corpus.sources.mediawiki.wikitext import Wikitext

MAX_PAGE = 32 << 20  # bytes of XML; Wikipedia's own limit is 2 MiB of wikitext
_MAX_HEAD = 1 << 20  # bytes before the first page; frwiki's <siteinfo> has 4 KiB
_MAX_DEPTH = 32  # a page has 5; each level costs expat 200 bytes, and 32 MiB of "<a>" have 11 million
_CHUNK = 1 << 20
_OPEN, _CLOSE, _END = b"<page>", b"</page>", b"</mediawiki>"
_NAMESPACE = re.compile(rb"<ns>\s*(-?\d{1,9})\s*</ns>")
_LANGUAGE = re.compile(rb"<mediawiki\b[^<>]{0,4096}?\bxml:lang\s*=\s*[\"']([\w-]{1,32})[\"']")


def read_dump(file: BinaryIO, source: Source, site: Site | None = None) -> Iterator[Document]:
    """The articles of a dump after the mark: id `name:page id`, text the title, a blank line and the plain text.

    `site` None: read from the head of the file, whose end must then be there too; a Site: the bytes are any part of a
    dump and may begin and end between pages. Only pages of `options.namespaces` whose last revision is wikitext;
    redirects, deleted and empty texts count in `source.passed_over`. Damage: a page that is no XML, is beyond
    MAX_PAGE, or has no title, id or text element. Memory: 2 × MAX_PAGE and a chunk, whatever the size of the dump.
    """
    held = b""
    is_whole = site is None
    if site is None:
        site, held = _read_head(file, source)
    wikitext = _wikitext(site, source)
    pages = _Pages(file, held, source)
    for number, page in pages:
        if number <= source.mark.at or page is None:
            continue
        document = _document(page, number, wikitext, source)
        if wikitext.unknown:
            source.unknown_templates.update(wikitext.unknown)
            wikitext.unknown.clear()
        if document is not None:
            source.mark.at = number
            source.mark.documents += 1
            yield document
    if is_whole and not pages.has_end:
        source.damaged("", f"ends after page {pages.number} without </mediawiki>: it was cut short; fetch it again")
    elif is_whole and source.mark.documents == 0:
        source.damaged("", f"holds no article ({pages.number} pages, none of wikitext in the namespaces asked for)")


def _wikitext(site: Site, source: Source) -> Wikitext:
    from jarvis_nano.corpus.sources.mediawiki.wikitext import Wikitext

    return Wikitext(site, rules=source.options.template_rules)


def read_site_of(file: BinaryIO, place: str) -> Site:
    """The site that the head of a dump tells of. UserError where its <siteinfo> cannot be read."""
    return _read_head(file, Source("", place))[0]


def _read_head(file: BinaryIO, source: Source) -> tuple[Site, bytes]:
    """The site, and the bytes from the first page on. UserError where the file is in UTF-16 or another encoding."""
    head = b""
    while (begin := _first_page(head)) < 0 and len(head) < _MAX_HEAD and (chunk := file.read(_CHUNK)):
        head += chunk
    refuse_other_encodings(head[:HEAD], source.place)
    held = head[max(begin, 0) :]
    envelope = _without_comments(head[:begin] if begin >= 0 else head[:_MAX_HEAD])
    found = _LANGUAGE.search(envelope)
    language = found[1].decode() if found else "fr"
    begin, end = envelope.find(b"<siteinfo"), envelope.find(b"</siteinfo>")
    if begin < 0 or end < begin:
        return Site(language), held
    try:
        return read_site(envelope[begin:end] + b"</siteinfo>", language, source.place), held
    except ValueError as error:  # a UserError, or a key that is no number
        source.damaged("", f"has a <siteinfo> that cannot be read ({error}); fetch the dump again")
        return Site(language), held


def _first_page(head: bytes) -> int:
    """Where the first <page> begins that is not in a comment; -1 where there is none."""
    page, comment = head.find(_OPEN), head.find(b"<!--")
    while 0 <= comment < page:
        after = head.find(b"-->", comment)
        if after < 0:
            return -1
        page, comment = head.find(_OPEN, after), head.find(b"<!--", after)
    return page


def _without_comments(xml: bytes) -> bytes:
    kept, begin = [], 0
    while (comment := xml.find(b"<!--", begin)) >= 0:
        kept.append(xml[begin:comment])
        end = xml.find(b"-->", comment)
        begin = end + 3 if end >= 0 else len(xml)
    return b"".join([*kept, xml[begin:]])


class _Pages(Iterator[tuple[int, bytes | None]]):
    """(number from 1, bytes from <page> to </page>) of each page; None instead where it is cut short or too long."""

    def __init__(self, file: BinaryIO, held: bytes, source: Source) -> None:
        self.number = 0
        self.has_end = False
        self._file, self._held, self._source = file, held, source
        self._at = 0  # what lies before is done with

    def __next__(self) -> tuple[int, bytes | None]:
        begin = self._find_opening()
        self.number += 1
        end = self._find(_CLOSE, begin)
        begin = self._at
        if end < 0:
            if len(self._held) - begin > MAX_PAGE:
                self._report(f"is longer than {MAX_PAGE >> 20} MiB")
                self._skip_past_close()
            else:
                self._report("is cut short: the file ends within it")
                self._at = len(self._held)
            return self.number, None
        self._at = end + len(_CLOSE)
        inner = self._held.rfind(_OPEN, begin + 1, end)
        if inner >= 0:  # the closing tag of the page before is lost
            self._report("has no </page>")
            self._at = inner
            return self.number, None
        return self.number, self._held[begin : self._at]

    def _report(self, why: str) -> None:
        if self.number > self._source.mark.at:
            self._source.damaged(f"page {self.number}", why)

    def _find_opening(self) -> int:
        while (begin := self._held.find(_OPEN, self._at)) < 0:
            self.has_end = self.has_end or self._held.find(_END, self._at) >= 0
            self._at = max(self._at, len(self._held) - len(_END))
            if not self._more():
                raise StopIteration
        self._at = begin
        return begin

    def _find(self, tag: bytes, begin: int) -> int:
        """Where `tag` stands, -1 at the end of the file or beyond MAX_PAGE; self._at stays at the page's beginning."""
        looked = 0
        while (end := self._held.find(tag, self._at + looked)) < 0:
            looked = max(0, len(self._held) - self._at - len(tag))
            if looked > MAX_PAGE or not self._more():
                return -1
        return end if end - self._at <= MAX_PAGE else -1

    def _skip_past_close(self) -> None:
        while (end := self._held.find(_CLOSE, self._at)) < 0:
            self._at = max(self._at, len(self._held) - len(_CLOSE))
            if not self._more():
                self._at = len(self._held)
                return
        self._at = end + len(_CLOSE)

    def _more(self) -> bool:
        chunk = self._file.read(_CHUNK)
        self._held = self._held[self._at :] + chunk
        self._at = 0
        return bool(chunk)


@dataclass
class _Page:
    """What of a page's XML is wanted; of several revisions the last one."""

    title: str = ""
    id: str = ""
    model: str = "wikitext"
    text: str | None = None
    is_deleted: bool = False
    is_redirect: bool = False
    _path: list[str] = field(default_factory=list)
    _found: list[str] = field(default_factory=list)

    def parse(self, xml: bytes) -> None:
        """expat.ExpatError where it is not well-formed."""
        parser = expat.ParserCreate("UTF-8")
        parser.buffer_text = True
        parser.buffer_size = 1 << 16
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._found.append
        parser.Parse(xml, True)

    def _start(self, name: str, attributes: dict[str, Any]) -> None:
        if len(self._path) >= _MAX_DEPTH:
            raise expat.ExpatError(f"elements nested deeper than {_MAX_DEPTH}")
        self._path.append(name)
        self._found.clear()
        if len(self._path) == 2:
            if name == "revision":
                self.model, self.text, self.is_deleted = "wikitext", None, False
            elif name == "redirect":
                self.is_redirect = True
        elif self._path == ["page", "revision", "text"]:
            self.is_deleted = "deleted" in attributes

    def _end(self, name: str) -> None:
        depth = len(self._path)
        if depth == 2 and name in ("title", "id"):
            setattr(self, name, "".join(self._found).strip())
        elif depth == 3 and name in ("model", "text") and self._path[1] == "revision":
            setattr(self, name, "".join(self._found))
        self._found.clear()
        self._path.pop()


def _document(xml: bytes, number: int, wikitext: Wikitext, source: Source) -> Document | None:
    """None where the page is passed over or damaged, and counted so."""
    envelope = xml[: xml.find(b"<revision")]
    namespace = _NAMESPACE.search(envelope)
    if namespace and int(namespace[1]) not in source.options.namespaces:
        source.passed_over["namespace"] += 1
        return None
    page = _Page()
    try:
        page.parse(xml)
    except expat.ExpatError as error:
        source.damaged(f"page {number}", f"is broken XML: {error}")
        return None
    if not page.title or not page.id or (page.text is None and b"<text" not in xml and b"<revision" in xml):
        source.damaged(f"page {number}", "has no title, no id or no text; it is no page of a dump")
        return None
    reason = _reason_to_pass_over(page, wikitext)
    text = "" if reason else wikitext.text(page.text or "", title=page.title).strip()
    if not text:
        source.passed_over[reason or "no text"] += 1
        return None
    return Document(f"{source.name}:{page.id}", f"{page.title}\n\n{text}", source.name)


def _reason_to_pass_over(page: _Page, wikitext: Wikitext) -> str:
    if page.is_redirect or (page.text and wikitext.redirect(page.text) is not None):
        return "redirect"
    if page.model.strip() not in ("wikitext", ""):
        return "model"
    return "deleted" if page.is_deleted else ""
