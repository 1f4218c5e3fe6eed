"""HTML entities, and characters raised or lowered (<sup>, <sub>), as plain text."""

from __future__ import annotations

import re
from html.entities import html5

_ENTITY = re.compile(r"&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|([A-Za-z][A-Za-z0-9]{1,31}));")
_WINDOWS = {code: bytes([code]).decode("cp1252", "replace") for code in range(0x80, 0xA0)}  # as browsers read them
_SPACES = {"\xa0": " ", "\u2002": " ", "\u2003": " ", "\u2009": " ", "\u202f": " ", "\xad": "", "\u200b": ""}

_RAISED = str.maketrans("0123456789+-−=()ni", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿⁱ")
_LOWERED = str.maketrans("0123456789+-−=()nixmk", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎ₙᵢₓₘₖ")
_CAN_RAISE = re.compile(r"[0-9+\-−=()ni]+")
_CAN_LOWER = re.compile(r"[0-9+\-−=()n]+|[nixmk]")
_ABBREVIATION = re.compile(r"[eoardsthᵉè]|[^\W\d_]{2,}\.?|[®©™*†]")


def decode(text: str) -> str:
    """Entities to characters, spaces that do not break to plain ones. Unknown names stay; no code gives half a pair."""
    return _ENTITY.sub(_character, text)


def _character(entity: re.Match[str]) -> str:
    decimal, hexadecimal, name = entity.groups()
    if name:
        found = html5.get(name + ";", entity[0])
        return _SPACES.get(found, found)
    code = int(decimal) if decimal else int(hexadecimal, 16)
    if code in _WINDOWS:
        return _WINDOWS[code]
    if code > 0x10FFFF or 0xD800 <= code < 0xE000 or (code < 32 and code not in (9, 10)):
        return ""
    return _SPACES.get(chr(code), chr(code)).replace("\n", " ")


def raised(text: str) -> str:
    """The plain form of <sup>text</sup>: m² and 10⁻³, XIXe and Mgr as they stand, x^y and x^(y+1) for the rest."""
    text = text.replace("''", "").strip()
    if _CAN_RAISE.fullmatch(text):
        return text.translate(_RAISED)
    if not text or _ABBREVIATION.fullmatch(text):
        return text
    return f"^{text}" if len(text) == 1 else f"^({text})"


def lowered(text: str) -> str:
    """The plain form of <sub>text</sub>: H₂O, xₙ; letters that Unicode has no small form of as in v_max."""
    text = text.replace("''", "").strip()
    if _CAN_LOWER.fullmatch(text):
        return text.translate(_LOWERED)
    return f"_{text}" if text else ""
