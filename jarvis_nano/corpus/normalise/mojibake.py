"""Mojibake: UTF-8 that was read as Latin-1 or cp1252, once or several times. ftfy repairs; here is what it may touch.

ftfy takes six times as long as all other rules together, so it sees only lines with evidence, and of a long line only
the pieces with evidence.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from jarvis_nano.corpus.documents import pieces
from jarvis_nano.corpus.normalise.characters import CP1252
from jarvis_nano.errors import UserError

MAX_PIECE = 4000  # characters given to ftfy at once

_HIGH = "".join(CP1252.values())  # what cp1252 shows for the bytes 80–9F: € ‚ ƒ „ … † ‡ ˆ ‰ Š ‹ Œ Ž ‘ ’ “ ” • – — …
_MARKS = "‘’“”…–—"  # of these, what right text writes after any letter
_OTHERS = "".join(c for c in _HIGH if c not in _MARKS)
_LOW = "\u0080-\u009f¡-º¼-¿"  # U+0080–U+00BF but for the no-break space and », which right text writes after a capital

# Only pairs that begin with Ã, Â, Å or â count. Right French has these letters before letters (BÂTIR, pâte), alone
# («Â»), and Portuguese before closing marks («MANHû), so a pair that may be right counts only where a word goes on
# after it (goûter, CÅ“ur) or where the letter would stand alone (Â« oui Â»).
EVIDENCE = re.compile(
    "[ÃÂÅâ](?:"
    f"(?<=Ã)(?:[{_LOW}{_OTHERS}]|[»{_MARKS}](?=[^\\W\\d_])|(?<=[a-z]Ã)\u00a0|(?<![^\\s'’]Ã)(?:\u00a0| +(?=[a-z(«])))"
    f"|(?<=Â)(?:[{_LOW}{_OTHERS}]|(?<=[a-zé]Â)[{_MARKS}](?=[^\\W\\d_])|(?<![^\\s\u00a0]Â)[»\u00a0]"
    "|(?<=[a-zà-ÿ0-9.,;:!?«»)€%]Â)[ \u00a0\n])"
    f"|(?<=Å)(?:[\u0080-\u009f¸¡]|[{_MARKS}](?=[a-zA-Z]))"
    "|(?<=â)(?:€[\u0080-\u00bf" + _HIGH + "]|‚¬|†[’‘“”]|„¢|ˆ[’‘š]|[\u0080-\u009f]{2}))"
)
HINTS = frozenset("ÃÂÅ€‚†„ˆ") | frozenset(map(chr, range(0x80, 0xA0)))  # no evidence without one of these


# A no-break space (C2 A0) whose second half has become a plain space: "Bonjour !" reads "BonjourÂ !".
_HALF_NO_BREAK = re.compile(r"Â(?<=[a-zà-ÿ0-9.,;:!?«»)€%].)(?=[ \u00a0]|$)")


def has_evidence(text: str) -> bool:
    return EVIDENCE.search(text) is not None


def repair(text: str) -> str:
    """`text` with its suspect lines put through ftfy.fix_encoding, which takes off layer after layer.

    UserError where ftfy is missing; it is asked for only when a text has evidence.
    """
    if not has_evidence(text):
        return text
    fix = _ftfy()
    return "\n".join([_repair_line(line, fix) if has_evidence(line) else line for line in text.split("\n")])


def _repair_line(line: str, fix: Callable[[str], str]) -> str:
    if len(line) <= MAX_PIECE:
        return fix(line)
    return "".join([fix(piece) if has_evidence(piece) else piece for piece in pieces(line, MAX_PIECE)])


def _ftfy() -> Callable[[str], str]:
    try:
        import ftfy
    except ImportError as error:
        raise UserError(
            "a text holds mojibake (Ã© for é) and ftfy, which repairs it, is not installed; "
            'run pip install -e ".[corpus]" or switch the rule off: mojibake'
        ) from error
    return lambda line: _HALF_NO_BREAK.sub("", ftfy.fix_encoding(line))
