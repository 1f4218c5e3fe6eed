"""Parser functions and magic words: {{#if:…}}, {{formatnum:…}}, {{PAGENAME}}. What depends on the day is a hole."""

from __future__ import annotations

from collections.abc import Callable

from jarvis_nano.corpus.sources.mediawiki.french.quantities import formatnum
from jarvis_nano.corpus.sources.mediawiki.marks import HOLE


def _at(values: list[str], index: int) -> str:
    return values[index].strip() if len(values) > index else ""


def _number(text: str) -> str | float:
    """Compared as numbers where both are, as in MediaWiki: 01 equals 1."""
    try:
        return float(text)
    except ValueError:
        return text


def _ifeq(values: list[str]) -> str:
    return _at(values, 2 if _number(_at(values, 0)) == _number(_at(values, 1)) else 3)


def _switch(values: list[str]) -> str:
    wanted, taken, default = _number(_at(values, 0)), False, ""
    for i, case in enumerate(values[1:], 1):
        name, equals, result = case.partition("=")
        name = name.strip()
        if not equals:
            if i == len(values) - 1:
                return name if not taken else ""
            taken = taken or _number(name) == wanted
        elif taken or _number(name) == wanted:
            return result.strip()
        elif name == "#default":
            default = result.strip()
    return default


def _plural(values: list[str]) -> str:
    many = _at(values, 0) not in ("0", "1", "-1")  # French: 0 and 1 are singular
    return _at(values, 2) or _at(values, 1) if many else _at(values, 1)


def _width(values: list[str]) -> int:
    """The second value as a width, at most 100: a page must not ask for a gigabyte of zeros."""
    text = _at(values, 1)
    return min(int(text), 100) if text.isascii() and text.isdigit() and len(text) < 9 else 0


FUNCTIONS: dict[str, Callable[[list[str]], str]] = {
    "#if": lambda v: _at(v, 1 if _at(v, 0) else 2),
    "#ifeq": _ifeq,
    "#ifexist": lambda v: _at(v, 1),
    "#iferror": lambda v: _at(v, 2) or _at(v, 0),
    "#ifexpr": lambda v: HOLE,
    "#switch": _switch,
    "#expr": lambda v: _at(v, 0) if isinstance(_number(_at(v, 0)), float) else HOLE,
    "#tag": lambda v: "" if _at(v, 0).lower() in ("ref", "references", "gallery") else _at(v, 1),
    "#invoke": lambda v: HOLE,
    "#time": lambda v: HOLE,
    "#timel": lambda v: HOLE,
    "#dateformat": lambda v: _at(v, 0),
    "#formatdate": lambda v: _at(v, 0),
    "#property": lambda v: HOLE,
    "#statements": lambda v: HOLE,
    "#language": lambda v: _at(v, 0),
    "#coordinates": lambda v: "",
    "formatnum": lambda v: formatnum(_at(v, 0), _at(v, 1)),
    "lc": lambda v: _at(v, 0).lower(),
    "uc": lambda v: _at(v, 0).upper(),
    "lcfirst": lambda v: _at(v, 0)[:1].lower() + _at(v, 0)[1:],
    "ucfirst": lambda v: _at(v, 0)[:1].upper() + _at(v, 0)[1:],
    "plural": _plural,
    "grammar": lambda v: _at(v, 1),
    "padleft": lambda v: _at(v, 0).rjust(_width(v), (_at(v, 2) or "0")[0]),
    "padright": lambda v: _at(v, 0).ljust(_width(v), (_at(v, 2) or "0")[0]),
    "nowrap": lambda v: _at(v, 0),
    "int": lambda v: "",
}  # fmt: skip

_SILENT_WORDS = (
    "defaultsort clédetri clef_de_tri displaytitle afficher_titre titre_affiché fullurl canonicalurl localurl "
    "urlencode anchorencode filepath ns nse #lst #lsth #section #related #widget #babel toc notoc"
)
# {{DEFAULTSORT:…}} and its kin, in English and French: they show nothing.
_SILENT = frozenset(_SILENT_WORDS.split())
_UNKNOWABLE_WORDS = (
    "CURRENTYEAR CURRENTMONTH CURRENTMONTHNAME CURRENTDAY CURRENTDAY2 CURRENTTIME CURRENTHOUR CURRENTWEEK "
    "CURRENTDOW CURRENTDAYNAME CURRENTTIMESTAMP LOCALYEAR LOCALMONTH LOCALMONTHNAME LOCALDAY LOCALTIME "
    "NUMBEROFARTICLES NUMBEROFUSERS NUMBEROFPAGES NUMBEROFFILES NUMBEROFEDITS NUMBEROFACTIVEUSERS "
    "NUMBEROFADMINS REVISIONYEAR REVISIONID REVISIONTIMESTAMP CURRENTMONTHABBREV CURRENTMONTHNAMEGEN "
    "ANNÉEACTUELLE MOISACTUEL JOURACTUEL NOMBREARTICLES"
)
# Their value changes by the day or by the wiki.
_UNKNOWABLE = frozenset(_UNKNOWABLE_WORDS.split())
_TITLE_WORDS = (
    "PAGENAME FULLPAGENAME BASEPAGENAME SUBPAGENAME ROOTPAGENAME ARTICLEPAGENAME SUBJECTPAGENAME NOMPAGE "
    "NOMPAGECOMPLET PAGENAMEE FULLPAGENAMEE SUBJECTSPACE"
)
_TITLES = frozenset(_TITLE_WORDS.split())  # fmt: skip


def silent(name: str) -> bool:
    return name.lower().replace(" ", "_") in _SILENT


def magic_word(name: str, title: str) -> str | None:
    """The value of {{PAGENAME}} and its kin; None where `name` is no magic word."""
    if name in _UNKNOWABLE:
        return HOLE
    if name in _TITLES:
        if name.startswith(("BASE", "ROOT")):
            return title.partition("/")[0]
        return title.rpartition("/")[2] if name == "SUBPAGENAME" else title
    return "" if name in ("NAMESPACE", "TALKSPACE", "NAMESPACENUMBER", "SITENAME") else None
