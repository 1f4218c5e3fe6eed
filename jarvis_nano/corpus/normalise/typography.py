"""French typography for training text: apostrophes, quotes, dashes and the spaces before ; : ! ? and inside « ».

Each function is one rule on a whole text; see rules.py. For text that is shown to people see typographer.py.
"""

from __future__ import annotations

import re

from jarvis_nano.corpus.function_words import leaning

APOSTROPHES = "’ʼ´′＇"
_CURLY = re.compile(f'[{APOSTROPHES}](?<=[^\\W\\d_].)(?=[^\\W_]|[“"&(]|[ \t]*«)')
_STRAIGHT = re.compile(r"'(?<=[^\W\d_].)(?=[^\W_]|[“\"&(]|[ \t]*«)")

HYPHENS = {"\u2010": "-", "\u2011": "-", "\u2043": "-", "\u2015": "—"}
_DOUBLE_HYPHEN = re.compile(r"--(?<![^\s«]--)(?=[ \t\n])")
_DIALOGUE = re.compile(r"^([ \t]*)[-–][ \t]+(?=[^\s\d])", re.MULTILINE)

_CURLY_QUOTES = re.compile(r"“([^“”„«»\n]*)”")
_LOW_QUOTES = re.compile(r"„([^“”„«»\n]*)[”“]")
_ANGLES = re.compile(r"<<([^<>«»\n]*)>>")
_STRAIGHT_QUOTES = re.compile(r'"([^"\n]*)"')

_CLOSING = "\\w.…»)\\]\"'’”%°€²³"
# A mark of ; : ! ? glued to what stands before it, with a space, an end or a closing mark after it. What follows keeps
# out URLs, 12:30, 16:9, C++'s :: and emoticons; `_spaced` keeps out the rest.
_INSIDE = "\\w(\\[“\"'’….—–-"  # what a quotation begins with, and the other way round what it ends with
_GLUED = re.compile(
    f"[;:!?](?<=[{_CLOSING}].)[;:!?]*(?=[\\s«»)\\]\"'”’.…,—–]|$)"
    f"|«(?:(?=[{_INSIDE}])|(?<=[\\w.…,;:!?)].))"
    "|»(?:(?<=[\\w.!?…;:)\\]”’'\"%°].)|(?=\\w))"
)
_CODE = re.compile(r"[{}<>=_|\\$#@~^]|//|::|\(\)")
_ENTITY_END = re.compile(r"&#?\w+$")
_COMMA = re.compile(r"(?<=\S)[ \t]+,(?!\d)")

_OE = re.compile(r"[oO][eE]")
_LETTERS_BEFORE = re.compile(r"[^\W\d_]{0,13}$")
_LETTERS_AFTER = re.compile(r"[^\W\d_]{0,16}")
_OE_WORD = re.compile(
    "(?:anti|hors|mal|auto)?(?:"
    "(?:accroche|arrache|belle|contre|crève|demi|é|haut|sacré|con|ran)?(?:coeur|soeur)|choeur|contrecoeur|"
    "(?:man|dés|chef)?oeuvr|boeuf|noeud|oeuf|voeu|moeurs|oeil|oersted|foet(?:us|al|aux|ale)|"
    "oecumén|oedèm|oedip|oenolog|oesophag|oestr|coeliaque|coelacanthe|coeliosc|coenobit)"
)


def straighten_apostrophes(text: str) -> str:
    return _CURLY.sub("'", text) if any(map(text.__contains__, APOSTROPHES)) else text


def curl_apostrophes(text: str) -> str:
    return _STRAIGHT.sub("’", _CURLY.sub("’", text))


def expand_ellipses(text: str) -> str:
    return text.replace("…", "...")


def contract_ellipses(text: str) -> str:
    return text.replace("...", "…")


def unify_hyphens(text: str) -> str:
    for character, plain in HYPHENS.items():
        text = text.replace(character, plain)
    return text


def join_double_hyphens(text: str) -> str:
    """-- that stands alone is a dash; -- that begins a word (--help) or lies within one is not."""
    return _DOUBLE_HYPHEN.sub("—", text) if "--" in text else text


def mark_dialogue(text: str) -> str:
    """A line that begins with a hyphen or a short dash is a speech: it begins with — and one space."""
    return _DIALOGUE.sub(r"\1— ", text)


def quote_in_french(text: str) -> str:
    """“…”, <<…>> and "…" in pairs on one line are « … »; a line with an odd number of " keeps them."""
    for pattern in (_LOW_QUOTES, _CURLY_QUOTES, _ANGLES):
        text = pattern.sub(_guillemets, text)
    if '"' in text:
        lines = text.split("\n")
        text = "\n".join(
            [_STRAIGHT_QUOTES.sub(_guillemets, line) if line.count('"') % 2 == 0 else line for line in lines]
        )
    return text


def _guillemets(match: re.Match[str]) -> str:
    inside = match.group(1).strip()
    return f"« {inside} »" if inside else match.group()


def space_punctuation(text: str) -> str:
    """One space before ; : ! ? and inside « » on lines that read as French.

    Where a line has no function word that tells, the last line with a glued mark that told decides (French at first);
    code, URLs, entities and :names: are left.
    """
    if not _GLUED.search(text):
        return text
    judge = _Lines(text)
    return _GLUED.sub(lambda match: _spaced(match, judge), text)


class _Lines:
    """Which lines of a text read as French, asked from the first to the last; each is looked at once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._end = -1  # where the line that was judged last ends
        self._french = self._last = True

    def french(self, at: int) -> bool:
        if at >= self._end:
            start = self._text.rfind("\n", 0, at) + 1
            end = self._text.find("\n", at)
            self._end = len(self._text) if end < 0 else end
            line = self._text[start : self._end]
            lean = leaning(line)
            if lean:
                self._last = lean > 0
            self._french = self._last and (lean > 3 or not _CODE.search(line))
        return self._french


def _spaced(match: re.Match[str], lines: _Lines) -> str:
    mark = match.group()
    if not lines.french(match.start()):
        return mark
    if mark in "«»":
        return _guillemet_spaced(match)
    # The word before, no further than URLs are long: whole lines without a space must not cost their square.
    before = match.string[max(0, match.start() - 400) : match.start()]
    before = before[max(map(before.rfind, " \n\t\u00a0\u202f«»")) + 1 :]
    if "://" in before or before.startswith(("www.", ":")) or (mark[0] == ";" and _ENTITY_END.search(before)):
        return mark
    return " " + mark


def _guillemet_spaced(match: re.Match[str]) -> str:
    """« and » with a space inside always, outside where a word or a mark stands next to them."""
    text = match.string
    before, after = text[match.start() - 1 : match.start()].strip(), text[match.end() : match.end() + 1].strip()
    if match.group() == "«":
        left, right = before not in "«([\"'’“-–—/", after != "»"
    else:
        left, right = before not in "«-–—", after not in "»)].,;:!?…\"'’”-–—/"
    return f"{' ' if before and left else ''}{match.group()}{' ' if after and right else ''}"


def close_commas(text: str) -> str:
    return _COMMA.sub(",", text)


def restore_oe(text: str) -> str:
    """coeur, soeur, oeuvre … with œ; only words of the list, so coexister, poète and moelle stay."""
    return _OE.sub(_ligature, text)


def _ligature(match: re.Match[str]) -> str:
    start, end = match.span()
    before = _LETTERS_BEFORE.search(match.string, max(0, start - 13), start)
    after = _LETTERS_AFTER.match(match.string, end)
    word = "".join(part.group() for part in (before, match, after) if part).lower()
    if not _OE_WORD.match(word):
        return match.group()
    return "Œ" if match.group()[0] == "O" else "œ"
