"""Characters: what is invisible, broken or coded twice. Each function is one rule on a whole text; see rules.py."""

from __future__ import annotations

import html
import re
import unicodedata
from html.entities import html5

SOFT_HYPHEN = "\u00ad"
# Zero-width and bidirectional marks, joiners, variation selectors' kin, the byte-order mark, interlinear marks, tags.
# U+200C/D join the letters of Persian and Hindi, and emoji: they are a rule of their own.
JOINERS = "\u200c\u200d"
INVISIBLE = (
    "\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2061\u2062\u2063"
    "\u2064\u2066\u2067\u2068\u2069\u206a\u206b\u206c\u206d\u206e\u206f\ufeff\ufff9\ufffa\ufffb"
)
CONTROLS = "".join(map(chr, [*range(0, 9), *range(0x0E, 0x20), *range(0x7F, 0xA0)])) + "\ufffe\uffff"
LINE_ENDS = "\r\v\f\u2028\u2029"
LIGATURES = {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st", "Ĳ": "IJ", "ĳ": "ij"}
# What cp1252 has at 0x80–0x9F; 81, 8D, 8F, 90 and 9D stand for nothing there and are left to the rule `controls`.
CP1252 = {
    chr(code): bytes([code]).decode("cp1252")
    for code in range(0x80, 0xA0)
    if code not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)
}
SURROGATES = re.compile("[\ud800-\udfff]")

_LATIN = "\\x00-\u024f\u1680\u2000-\u206f\u3000"  # with the spaces and marks of every script
_NEEDLESS_JOINER = re.compile(f"(?<![^{_LATIN}])[\u200c\u200d]+|[\u200c\u200d]+(?![^{_LATIN}])")
_ENTITY = re.compile(r"&(#\d{1,7};|#[xX][0-9a-fA-F]{1,6};|[a-zA-Z][a-zA-Z0-9]{1,31};)")
_NESTED = re.compile(r"&(?:(?:amp|AMP|#38|#[xX]26);)+")


def without(characters: str, text: str) -> str:
    """`text` with none of `characters`: str.replace per character found is ten times faster than str.translate."""
    for character in set(text).intersection(characters):
        text = text.replace(character, "")
    return text


def drop_soft_hyphens(text: str) -> str:
    return text.replace(SOFT_HYPHEN, "")


def drop_invisible(text: str) -> str:
    return without(INVISIBLE, text)


def drop_joiners(text: str) -> str:
    """U+200C and U+200D go between Latin letters, spaces and marks, and stay where a script or an emoji needs them."""
    return _NEEDLESS_JOINER.sub("", text)


def map_c1(text: str) -> str:
    """U+0080–U+009F are cp1252's characters read as Latin-1: œ is U+009C there, ’ U+0092, … U+0085."""
    for character in set(text).intersection(CP1252):
        text = text.replace(character, CP1252[character])
    return text


def drop_controls(text: str) -> str:
    """No control character but line feed and tab; halves of surrogate pairs, which no UTF-8 can hold, are U+FFFD."""
    return SURROGATES.sub("\ufffd", without(CONTROLS, text))


def compose(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def split_ligatures(text: str) -> str:
    for character in set(text).intersection(LIGATURES):
        text = text.replace(character, LIGATURES[character])
    return text


def unify_line_ends(text: str) -> str:
    text = text.replace("\r\n", "\n")
    for character in LINE_ENDS:
        text = text.replace(character, "\n")
    return text


def decode_entities(text: str) -> str:
    """&eacute; &#233; &amp;eacute; are é. Names that stand for no character stay."""
    return _ENTITY.sub(_decoded, _NESTED.sub("&", text))


def _decoded(match: re.Match[str]) -> str:
    known = match.group(1).startswith("#") or match.group(1) in html5
    return html.unescape(match.group()) if known else match.group()
