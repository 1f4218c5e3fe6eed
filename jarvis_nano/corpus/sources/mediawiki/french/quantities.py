"""Numbers, units, hours, fractions, formulas: {{unité|3,5e6|m|2}} -> « 3,5 × 10⁶ m² »."""

from __future__ import annotations

import re

from jarvis_nano.corpus.sources.mediawiki.entities import lowered, raised
from jarvis_nano.corpus.sources.mediawiki.parameters import Arguments, first

_NUMBER = re.compile(r"(?<![\d.,])(\d+(?:[ \xa0\u202f]\d{3})*+)(?:[.,](\d+))?+(?:[eE]([-+−]?\d{1,4})(?!\w))?")
_POWER = re.compile(r"[eE]([-+−]?\d{1,4})")
_MINUS = re.compile(r"(?<![\w)\d])-(?=\d)")
_NOT_DIGIT = re.compile(r"[ \xa0\u202f]")
_EXPONENT = re.compile(r"[-+−]?\d+|n")
_INDEX = re.compile(r"\d*[nx]?(?:[+−-]\d+)?")
_CHARGE = re.compile(r"\d*[+−-]")
# An exponent typed after its unit: km2, m/s2, s-1. Only after units, so that CO2 stays.
_GLUED = re.compile(r"(?<![^\W\d_])((?:[kcdmhµn]|da)?[ms]|kg|K|Hz)([-−]?[1-4])(?!\w)")
_TIGHT = ("/", "°", "′", "″", "'", '"', "’")  # « 5° », « 10 m/s »; but « 20 °C »
_ORDINALS = ("e", "er", "re", "es")  # {{nombre|3|e}}
_BETWEEN = (("à", " à "), ("et", " et "), ("ou", " ou "), ("/", "/"), ("//", " / "), ("x", " × "), ("×", " × "),
            ("xx", " × "), ("par", " × "), ("±", " ± "))  # fmt: skip
_ROMAN = ((1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL"),
          (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"))  # fmt: skip


def _grouped(digits: str) -> str:
    return f"{int(digits):,}".replace(",", " ") if len(digits) < 4000 and digits[0] != "0" else digits


def _french(number: re.Match[str]) -> str:
    whole, decimals, power = number.groups()
    text = _grouped(_NOT_DIGIT.sub("", whole))
    if decimals:
        text += "," + " ".join(decimals[i : i + 3] for i in range(0, len(decimals), 3))
    return f"{text} × 10{raised(power)}" if power else text


def numbers(text: str) -> str:
    """Each number of a text as French writes it: 1958157.5 -> 1 958 157,5; -4 -> −4; 3e6 -> 3 × 10⁶."""
    if power := _POWER.fullmatch(text):
        return "10" + raised(power[1])
    return _NUMBER.sub(_french, _MINUS.sub("−", text))


def formatnum(text: str, how: str = "") -> str:
    """The parser function {{formatnum:}}; with R it takes the groups out again."""
    if how.strip().upper() == "R":
        return _NOT_DIGIT.sub("", text).replace(",", ".")
    whole, point, decimals = text.strip().partition(".")
    if not whole.lstrip("-−").isascii() or not whole.lstrip("-−").isdigit():
        return text
    return ("−" if whole[0] in "-−" else "") + _grouped(whole.lstrip("-−")) + point.replace(".", ",") + decimals


def _units(arguments: Arguments, index: int) -> str:
    text = ""
    while str(index) in arguments:
        unit = arguments[str(index)]
        exponent = arguments.get(str(index + 1), "")
        if not exponent or _EXPONENT.fullmatch(exponent):
            unit, index = unit + raised(exponent), index + 2
        else:
            index += 1
        text += ("" if not text or unit.startswith("/") else " ") + unit
    return text


def _with_unit(value: str, unit: str) -> str:
    tight = unit in _ORDINALS or (unit.startswith(_TIGHT) and not unit.startswith(("°C", "°F", "°K")))
    return f"{value}{'' if tight or not unit or not value else ' '}{unit}"


def unit(arguments: Arguments) -> str:
    """{{unité|number|unit|exponent|unit|exponent…|e=|à=|et=|ou=|±=}}, {{nombre}}, {{nb}}."""
    value = arguments.get("1", "")
    text = numbers(value)
    for name, between in _BETWEEN:
        if other := arguments.get(name):
            text += between + numbers(other)
    if power := first(arguments, "e", "E"):
        text += f" × 10{raised(power)}"
    return _GLUED.sub(lambda found: found[1] + raised(found[2]), _with_unit(text, _units(arguments, 2)))


def dimensions(count: int):
    """{{Dunité|2|3|cm}} and {{Tunité|2|3|4|cm}}: « 2 × 3 cm »."""

    def render(arguments: Arguments) -> str:
        values = (numbers(arguments.get(str(i + 1), "")) for i in range(count))
        return _with_unit(" × ".join(filter(None, values)), _units(arguments, count + 1))

    return render


def money(sign: str):
    """{{euro|280}} -> « 280 € »; {{euro}} -> « € »."""

    def render(arguments: Arguments) -> str:
        return f"{numbers(arguments.get('1', ''))} {sign}".strip()

    return render


def temperature(arguments: Arguments) -> str:
    return _with_unit(numbers(arguments.get("1", "")), arguments.get("2") or "°C")


def hour(arguments: Arguments) -> str:
    """{{heure|20|50}} -> « 20 h 50 »; {{heure||1|8}} -> « 1 min 8 s »; {{heure|||2|64}} -> « 2 s 64 »."""
    hours, minutes, seconds, rest = (arguments.get(str(i), "") for i in (1, 2, 3, 4))
    pieces = []
    if hours:
        pieces.append(f"{hours} h")
    if minutes:
        pieces.append(minutes if hours and not seconds else f"{minutes} min")
    if seconds:
        pieces.append(f"{seconds} s")
    if rest:
        pieces.append(rest)
    return " ".join(pieces)


def fraction(arguments: Arguments) -> str:
    """{{frac|1|2}} -> 1/2; {{frac|3|1|2}} -> 3 1/2; {{frac|2}} -> 1/2."""
    given = [arguments[key] for key in ("1", "2", "3") if arguments.get(key)]
    if len(given) == 3:
        return f"{given[0]} {given[1]}/{given[2]}"
    return "/".join(given if len(given) == 2 else ["1", *given])


def root(arguments: Arguments) -> str:
    """{{racine|2}} -> √2; {{racine|x+1}} -> √(x+1); {{racine|2|3}} -> ∛2."""
    under, degree = arguments.get("1", ""), arguments.get("2", "")
    sign = {"": "√", "2": "√", "3": "∛", "4": "∜"}.get(degree) or f"{raised(degree)}√"
    return sign + (under if len(under) == 1 or under.replace(",", "").isalnum() else f"({under})")


def chemical(arguments: Arguments) -> str:
    """{{fchim|C|2|H|8|N|2}} -> C₂H₈N₂, {{fchim|SO|4|2-}} -> SO₄²⁻: an index follows text, a charge an index."""
    text, after_text = "", False
    for index in range(1, len(arguments) + 1):
        value = arguments.get(str(index), "")
        if after_text and _INDEX.fullmatch(value):
            text, after_text = text + lowered(value), False
        elif text and _CHARGE.fullmatch(value):
            text, after_text = text + raised(value), False
        else:
            text, after_text = text + value, True
    return text


def roman(arguments: Arguments) -> str:
    """{{nombre en romain|19}} -> XIX."""
    text = arguments.get("1", "")
    if not text.isascii() or not text.isdigit() or not 0 < int(text[:8]) < 4000:
        return text
    value, out = int(text), ""
    for worth, letters in _ROMAN:
        times, value = divmod(value, worth)
        out += letters * times
    return out
