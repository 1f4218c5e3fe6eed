"""Typography for display: what people should see on a screen, from normalised text, and back without a loss.

Not for training text, which has plain spaces, ' and "...": see typography.py for that side.
"""

from __future__ import annotations

import re
from collections.abc import Callable

NO_BREAK = "\u00a0"
NARROW = "\u202f"

# What is left alone: `code`, fenced blocks (to their end, or the text's), URLs and addresses.
_VERBATIM = re.compile(
    r"```(?:[^`]|`(?!``))*(?:```|\Z)|`[^`\n]*`|(?:[a-z]{2,9}://|www\.)[^\s«»]*|[\w.+-]{1,64}@[\w.-]+"
)

_NARROW_MARK = re.compile(r" (?=[;!?]+(?:[\s»)\]\"'’”.…,]|$))")
_COLON = re.compile(r" :(?=[\s«]|$)(?<!\d :(?= \d))")
_DIGIT_GROUPS = re.compile(r"(?<![\d.,])(?<!\d )(\d{1,3}(?: \d{3})+)(?![\d.])(?! \d)")
_STRAIGHT = re.compile(r"(?<=[^\W\d_])'(?=[^\W_])")
_CURLY = re.compile(r"(?<=[^\W\d_])’(?=[^\W_])")


def typeset(text: str) -> str:
    """`text` as French printers set it: U+202F before ; ! ? and between groups of digits, U+00A0 before : and inside
    « », ’ for ' between letters, … for three full stops. Code in backticks, URLs and addresses stay as they are.

    untypeset(typeset(x)) == x for every x that the normaliser, as it is by default, returns.
    """
    return _outside_verbatim(_typeset, text)


def untypeset(text: str) -> str:
    """Typeset text with plain spaces, ' and "..." again, whoever set it."""
    return _outside_verbatim(_untypeset, text)


def _outside_verbatim(change: Callable[[str], str], text: str) -> str:
    done, at = [], 0
    for match in _VERBATIM.finditer(text):
        done += [change(text[at : match.start()]), match.group()]
        at = match.end()
    return "".join([*done, change(text[at:])])


def _typeset(text: str) -> str:
    text = text.replace("...", "…").replace("« ", "«" + NO_BREAK).replace(" »", NO_BREAK + "»")
    text = _NARROW_MARK.sub(NARROW, text)
    text = _COLON.sub(NO_BREAK + ":", text)
    text = _DIGIT_GROUPS.sub(lambda match: match.group().replace(" ", NARROW), text)
    return _STRAIGHT.sub("’", text)


def _untypeset(text: str) -> str:
    return _CURLY.sub("'", text.replace("…", "...").replace(NO_BREAK, " ").replace(NARROW, " "))
