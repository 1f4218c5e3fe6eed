"""Dates, births and deaths, the Republican calendar, durations: {{date|1|1|-44}} -> « 1er janvier 44 av. J.-C. »."""

from __future__ import annotations

import datetime
import re

from jarvis_nano.corpus.sources.mediawiki.marks import HOLE
from jarvis_nano.corpus.sources.mediawiki.parameters import Arguments, first

MONTHS = ("janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre", "novembre",
          "décembre")  # fmt: skip
_REPUBLICAN = ("vendémiaire", "brumaire", "frimaire", "nivôse", "pluviôse", "ventôse", "germinal", "floréal",
               "prairial", "messidor", "thermidor", "fructidor")  # fmt: skip
_WEEKDAYS = frozenset(["lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche"])
_NUMBERS = {name: i + 1 for i, name in enumerate(MONTHS)} | {
    "fevrier": 2, "aout": 8, "decembre": 12, "janv.": 1, "févr.": 2, "juil.": 7, "sept.": 9, "oct.": 10, "nov.": 11,
    "déc.": 12}  # fmt: skip
_YEARS = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII", "XIII", "XIV")
_ISO = re.compile(r"(-?\d{1,4})-(\d\d?)-(\d\d?)")


def _month(text: str) -> int:
    """1 to 12, of a name or a number; 0 where it is none."""
    if text.isascii() and text.isdigit():
        return int(text) if 0 < int(text[:9]) < 13 else 0
    return _NUMBERS.get(text.lower(), 0)


def _day(text: str) -> str:
    number = text.lstrip("0")
    return "1er" if number == "1" else number or text


def _year(text: str) -> str:
    text = text.strip()
    if text[:1] in ("-", "−") and text[1:].isdigit():
        return f"{text[1:].lstrip('0')} av. J.-C."
    return text


def _split(text: str) -> list[str]:
    """« 18 février 1968 », « février 1968 », « 1968-02-18 » -> [day, month, year], missing ones empty."""
    if iso := _ISO.fullmatch(text):
        return [iso[3], iso[2], iso[1]]
    words = text.split()
    if words and words[0].lower() in _WEEKDAYS:
        rest = _split(" ".join(words[1:]))
        return [f"{words[0]} {_day(rest[0])}", *rest[1:]]
    for i, word in enumerate(words[:2]):
        if _month(word) and not word.isdigit():
            return [" ".join(words[:i]), word, " ".join(words[i + 1 :])]
    return ["", "", text]


def _republican(day: str, month: str, year: str) -> str:
    """« 19 brumaire an VIII (10 novembre 1799) », or "" where it is no date of that calendar."""
    numeral = year.lower().removeprefix("an").strip().upper()
    if month.lower() not in _REPUBLICAN or numeral not in _YEARS:
        return ""
    text = f"{_day(day)} {month} an {numeral}".strip()
    if not day.isdigit() or not 1 <= int(day) <= 30:
        return text
    years = _YEARS.index(numeral)
    leaps = (years + 1) // 4 if numeral not in ("XII", "XIII", "XIV") else 3  # III, VII and XI had 366 days
    days = years * 365 + leaps + _REPUBLICAN.index(month.lower()) * 30 + int(day) - 1
    on = datetime.date(1792, 9, 22) + datetime.timedelta(days)
    return f"{text} ({_day(str(on.day))} {MONTHS[on.month - 1]} {on.year})"


def _written(day: str, month: str, year: str) -> str:
    if text := _republican(day, month, year):
        return text
    number = _month(month)
    return " ".join(filter(None, (_day(day) if day else "", MONTHS[number - 1] if number else month, _year(year))))


def date(arguments: Arguments) -> str:
    """{{date|18|février|1968|en sport}}, {{date-|18 février 1968}}, {{date|samedi|1|1|2000}}, {{date|jour=…}}."""
    one = arguments.get("1", "")
    if one.lower() in _WEEKDAYS:
        return f"{one} {_written(*(arguments.get(key, '') for key in ('2', '3', '4')))}"
    if "2" not in arguments and "mois" not in arguments and "année" not in arguments:
        return _written(*_split(one.rstrip("-+").strip()))
    day, month, year = first(arguments, "jour", "1"), first(arguments, "mois", "2"), first(arguments, "année", "3")
    if not _month(month) and month.lower() not in _REPUBLICAN and _month(day):  # {{date|février|1968}}
        return _written("", day, month)
    text = _written(day.rstrip("-+"), month, year.rstrip("+-") if year != "-" else "")
    era = arguments.get("4", "").lower()
    return f"{text} av. J.-C." if era.startswith(("av", "-")) and "J.-C." not in text else text


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 5 else 0


def _between(a: list[str], b: list[str]) -> tuple[int, int, int] | None:
    """Whole years, months and days from one [day, month, year] to another; None where either is no date."""
    (d1, m1, y1), (d2, m2, y2) = ((_number(x[0]), _month(x[1]), _number(x[2])) for x in (a, b))
    if not (y1 and y2 and m1 and m2 and d1 and d2):
        return None
    months = (y2 - y1) * 12 + m2 - m1 - (d2 < d1)
    return months // 12, months % 12, (d2 - d1) % 30


def _six(arguments: Arguments) -> tuple[list[str], list[str]]:
    given = [arguments.get(str(i), "") for i in range(1, 7)]
    return given[:3], given[3:]


def birth(arguments: Arguments) -> str:
    """{{date de naissance|8|mars|1951|âge=oui}} -> « 8 mars 1951 »: an age of today would be wrong tomorrow."""
    return date({key: value for key, value in arguments.items() if key in ("1", "2", "3", "jour", "mois", "année")})


def death(arguments: Arguments) -> str:
    """{{date de décès|14|novembre|1716|1|juillet|1646}} -> « 14 novembre 1716 (à 70 ans) »."""
    text = birth(arguments)
    died, born = _six(arguments)
    span = _between(born, died)
    return f"{text} (à {span[0]} ans)" if span and 0 <= span[0] < 130 else text


def duration(arguments: Arguments) -> str:
    """{{durée|19|6|2002|19|6|2007}} -> « 5 ans »; {{durée|1|30}} -> « 1 h 30 »; up to today: not known here."""
    start, end = _six(arguments)
    if span := _between(start, end):
        years, months, days = span
        if years:
            tail = f" et {months} mois" if months else ""
            return f"{years} an{'s' if years > 1 else ''}{tail}"
        return f"{months} mois" if months else f"{days} jour{'s' if days > 1 else ''}"
    if len(start[2]) == 4:
        return HOLE
    hours, minutes, seconds = start
    pieces = (f"{hours} h" if hours else "", f"{minutes} min" if minutes else "", f"{seconds} s" if seconds else "")
    return " ".join(filter(None, pieces))


def republican(arguments: Arguments) -> str:
    """{{date républicaine|9|thermidor|an II}} -> « 9 thermidor an II (27 juillet 1794) »."""
    given = [arguments.get(key, "") for key in ("1", "2", "3")]
    return _republican(*given) or " ".join(filter(None, given))
