"""HTML as tags and the texts between them, in linear time whatever the input. What they mean: html.py."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

_NAME = re.compile(r"/?([A-Za-z][A-Za-z0-9:-]{0,63})")
_END_OR_QUOTE = re.compile(r">|=\s{0,20}[\"']")
_ATTRIBUTE = re.compile(
    r"""([a-z-]{1,20})(?:\s{0,20}=\s{0,20}(?:"([^"]*)(?:"|$)|'([^']*)(?:'|$)|([^\s"'>]{1,200})))?""", re.IGNORECASE
)
_WANTED = ("hidden", "aria-hidden", "role")
_RAW = frozenset(("script", "style", "textarea", "title", "xmp", "noembed", "noframes"))  # no tags within
_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Tag:
    """An opening or closing tag; name and attribute names in lower case, of the attributes `hidden` and `role` ones."""

    name: str
    is_closing: bool = False
    is_empty: bool = False
    """Whether it ends in "/>"."""
    attributes: Mapping[str, str] = field(default_factory=lambda: _NONE)


def tags_and_texts(page: str) -> Iterator[Tag | str]:
    """The tags and texts of a page in order, entities as they are; comments, declarations and raw texts left out.

    As browsers do (HTML standard, §13.2.5), what begins a tag or comment and never ends it is left out to the end.
    """
    at = 0
    while (opening := page.find("<", at)) >= 0:
        if opening > at:
            yield page[at:opening]
        name = _NAME.match(page, opening + 1)
        if name is None:
            at = _after_other(page, opening)
            if at == opening + 1:
                yield "<"
            continue
        at = _after_tag(page, name.end())
        if at < 0:
            return
        tag = _tag(page[opening:at], name[1].lower())
        yield tag
        if tag.name in _RAW and not tag.is_closing:
            at = _after_raw(page, tag.name, at)
    if at < len(page):
        yield page[at:]


def _after_other(page: str, opening: int) -> int:
    """The place after a comment, declaration or instruction; that after the "<" where it is text."""
    if page.startswith("<!--", opening):
        end = page.find("-->", opening + 2)
        return end + 3 if end >= 0 else len(page)
    if page.startswith("<![CDATA[", opening):
        end = page.find("]]>", opening)
        return end + 3 if end >= 0 else len(page)
    if page.startswith(("<!", "<?", "</"), opening):
        end = page.find(">", opening)
        return end + 1 if end >= 0 else len(page)
    return opening + 1


def _after_tag(page: str, at: int) -> int:
    """The place after the ">" that ends a tag, one within a quoted value is none; -1 where there is none."""
    while found := _END_OR_QUOTE.search(page, at):
        if found[0] == ">":
            return found.end()
        at = page.find(found[0][-1], found.end()) + 1
        if at == 0:
            return -1
    return -1


def _tag(text: str, name: str) -> Tag:
    attributes = _NONE
    lower = text[:4096].lower()
    if any(wanted in lower for wanted in _WANTED):
        found = {a[1].lower(): a[2] or a[3] or a[4] or "" for a in _ATTRIBUTE.finditer(lower, len(name) + 1)}
        attributes = {key: value for key, value in found.items() if key in _WANTED}
    return Tag(name, text.startswith("</"), text.endswith("/>"), attributes)


def _after_raw(page: str, name: str, at: int) -> int:
    """The place of the closing tag of a script and the like, the end where there is none."""
    found = re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE).search(page, at)
    return found.start() if found else len(page)
