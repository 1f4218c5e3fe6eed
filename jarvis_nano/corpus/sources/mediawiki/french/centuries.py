"""Centuries, millennia and ordinals: {{-s-|V}} -> « Ve siècle av. J.-C. », {{sp-|XI|au|XII}}, {{2e|régiment}}."""

from __future__ import annotations

import re
from collections.abc import Callable

from jarvis_nano.corpus.sources.mediawiki.entities import lowered
from jarvis_nano.corpus.sources.mediawiki.parameters import Arguments

BEFORE, AFTER = " av. J.-C.", " apr. J.-C."
_NUMERAL = re.compile(r"[IVXLCDM]+|\d{1,2}", re.IGNORECASE)
_SUFFIXES = frozenset(("e", "er", "re", "ème", "ᵉ", "ier"))
_ORDINAL = re.compile(r"\d+(?:er|ers|re|res|e|es|ème|èmes|nd|nde|nds|o)|[IVXLCDM]+(?:er|re|e|es|ème)")
_CENTURY = re.compile(r"(-?)([IVXLC]+)(?:er|e|ème)? (s|siècle|millénaire)( av\.? J\.?-?C\.?)?( apr\.? J\.?-?C\.?)?")
_ROMAN = re.compile(r"[IVXLCDM]+")
_FORMULA = re.compile(r"(?:[A-Z][a-z]?\d*){1,8}")
_DIGITS = re.compile(r"\d+")


def ordinal(numeral: str, suffix: str = "") -> str:
    """« Ier », « XIXe »: the numeral with its suffix, `er` after I or 1."""
    if not numeral:
        return ""
    numeral = numeral.upper() if not numeral.isdigit() else numeral
    if numeral in ("I", "1"):  # {{sp-|I|e|-|II|e|s}} is met, and means Ier
        return numeral + ("re" if suffix == "re" else "er")
    return numeral + "e"


def century(tail: str = "", *, word: str = " siècle") -> Callable[[Arguments], str]:
    """{{s|XIX|e}}: one century; `tail` its era, `word` empty for {{s mini}}."""

    def render(arguments: Arguments) -> str:
        numeral, suffix = arguments.get("1", ""), arguments.get("2", "")
        if not _NUMERAL.fullmatch(numeral):
            return f"{numeral}{suffix if suffix in _SUFFIXES else ''}{word}{tail}" if numeral else ""
        return ordinal(numeral, suffix) + word + tail

    return render


def centuries(tail: str = "", *, word: str = " siècle", joiner: str = "") -> Callable[[Arguments], str]:
    """{{sp|XI|au|XII}}, {{sp-|I|e|-|II|e|s}}, and with `joiner` {{s2|XVI|XVII}}: a range or a pair of centuries."""

    def render(arguments: Arguments) -> str:
        given = [arguments[str(i)] for i in range(1, 8) if str(i) in arguments]
        text, plural, count = "", bool(joiner), 0
        for i, value in enumerate(given):
            if _NUMERAL.fullmatch(value):
                suffix = given[i + 1] if i + 1 < len(given) and given[i + 1] in _SUFFIXES else ""
                text += (joiner if count and joiner else "") + ordinal(value, suffix)
                count += 1
            elif value == "s":
                plural = True
            elif value and value not in _SUFFIXES and not joiner:
                plural = plural or value in ("et", "ou")
                text += value if value in ("-", "–", "/") else f" {value} "
        return text + word + ("s" if plural and word else "") + tail

    return render


def by_name(name: str) -> Callable[[Arguments], str] | None:
    """The rule that a name tells by itself: {{2e}}, {{XIXe}}, {{XIXe siècle}}, {{-IIe siècle}}, {{VII}}, {{CO2}}."""
    if _ORDINAL.fullmatch(name):
        text = name.replace("ème", "e")
        return lambda arguments: f"{text} {arguments.get('1', '')}".rstrip()
    if found := _CENTURY.fullmatch(name):
        era = BEFORE if found[1] or found[4] else AFTER if found[5] else ""
        text = f"{ordinal(found[2])} {'siècle' if found[3] == 's' else found[3]}{era}"
        return lambda arguments: text
    if _ROMAN.fullmatch(name) or (name.isascii() and name.isdigit() and len(name) > 1):
        return lambda arguments: f"{name} {arguments.get('1', '')}".rstrip()
    if _FORMULA.fullmatch(name) and _DIGITS.search(name):
        text = _DIGITS.sub(lambda digits: lowered(digits[0]), name)
        return lambda arguments: text
    return None
