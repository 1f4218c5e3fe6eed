"""Characters that are wrong in any text: lost, misread, invisible. Found and, where nothing is invented, mended.

Small on purpose: whole corpora are normalised elsewhere. Here a text is judged as it stands, and changed only by --fix.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from jarvis_nano.corpus.instructions.messages import Fault

_ODD = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufffd\U000e0000-\U000e007f]"
)
_ODD_ASCII = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u2028\u2029]")
_RETURN = re.compile("\r\n?")
_ALWAYS_INVISIBLE = "\xad\u180e\u200b\u2060-\u2064\ufeff"
# Joiners belong into emoji (👩‍🔬) and other scripts, tags into flags (🏴󠁧󠁢󠁳󠁣󠁴󠁿); beside Latin letters they are hidden text.
_ZERO_WIDTH = re.compile(
    f"[{_ALWAYS_INVISIBLE}]|(?:^|(?<=[\\s!-~\xa0-\u024f]))[\u200c\u200d]"
    "|(?:^|(?<=[^\U0001f3f4\U000e0020-\U000e007f]))[\U000e0000-\U000e007f]+"
)
_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")
_DIRECTION_MARK = re.compile("[\u061c\u200e\u200f]")
_RIGHT_TO_LEFT = re.compile("[\u0590-\u061b\u061d-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")

# The characters that the bytes 80 to bf become in Latin-1 and in Windows' cp1252.
_CP1252 = {byte: bytes([byte]).decode("cp1252", errors="replace") for byte in range(0x80, 0xA0)}
_BYTE_OF = {chr(byte): byte for byte in range(0x80, 0x100)} | {
    letter: byte for byte, letter in _CP1252.items() if letter != "\ufffd"
}
_TAIL = "[\x80-\xbf" + "".join(letter for letter in _CP1252.values() if letter != "\ufffd") + "]"
# Only the leads that French text yields: é è à are Ã…, « » Â…, œ Å…, ’ … — â€…, emoji ðŸ…. «LIBERTÉ» is right: its É»
# would be a character too, but É leads none that French has.
# Behind a capital the tails that are quotes and dashes are taken for what they are: « la GRÂ» ».
_MOJIBAKE = re.compile(
    f"ð{_TAIL}{{3}}|[âï]{_TAIL}{{2}}|(?<![A-ZÀ-Ý])[ÂÃÅ]{_TAIL}|[ÂÃÅ][\x80-\x9f\xa1-\xaa\xac-\xba‰€‡ŠŽŒœž]"
)
_MOJIBAKE_HINT = re.compile("[ÂÃÅð√\x80-\x9f]|[âï][\x80-\xbf€„‚]")
_LOST_SPACE = re.compile("(?<![A-ZÀ-Ý])Ã {1,2}(?=[a-zà-ÿ])")  # à whose second half, a no-break space, became a space
_MAC = {"√©": "é", "√®": "è", "√†": "à", "√ß": "ç", "√™": "ê", "√¥": "ô", "√ª": "û", "√¢": "â", "√Æ": "î", "√Ø": "ï"}
_MAC_MOJIBAKE = re.compile("|".join(_MAC))
_C1 = re.compile("[\x80-\x9f]")


def character_faults(text: str, number: int) -> Iterator[Fault]:
    """What is wrong with the characters of message `number`: a fault a kind, at its first place, with how many."""
    if text.isascii():
        if _ODD_ASCII.search(text):
            yield from _odd_faults(text, number)
        return
    if _ODD.search(text):
        yield from _odd_faults(text, number)
    if _MOJIBAKE_HINT.search(text) and (mended := mend_mojibake(text)) != text:
        at = next(n for n, (one, other) in enumerate(zip(text + "\0", mended + "\0")) if one != other)
        found = f"message {number} has {text[at : at + 12]!r}; expected {mended[at : at + 10]!r}"
        yield Fault("mojibake", found, number, text, at)


_ODD_KINDS = (
    ("replacement-character", re.compile("\ufffd"), "U+FFFD, a character that was lost"),
    ("control-character", _CONTROL, "a control character"),
    ("crlf", _RETURN, "a carriage return"),
    ("zero-width", _ZERO_WIDTH, "a character without width"),
    ("bidi", _BIDI, "a character that turns the direction of writing"),
)


def _odd_faults(text: str, number: int) -> Iterator[Fault]:
    for code, pattern, what in _ODD_KINDS:
        yield from _counted(code, pattern, what, text, number)
    if not _RIGHT_TO_LEFT.search(text):
        yield from _counted("bidi", _DIRECTION_MARK, "a mark of the direction of writing", text, number)


def _counted(code: str, pattern: re.Pattern[str], what: str, text: str, number: int) -> Iterator[Fault]:
    first = pattern.search(text)
    if first:
        n = sum(1 for _ in pattern.finditer(text))
        times = f", {n} times" if n > 1 else ""
        where = f"U+{ord(first[0][0]):04X} at character {first.start() + 1}{times}"
        yield Fault(code, f"message {number} has {what} ({where})", number, text, first.start())


def mend_mojibake(text: str) -> str:
    """Text whose UTF-8 was read as Latin-1, cp1252 or Mac Roman, put right, twice over if need be; else the text."""
    for _ in range(3):  # read wrongly twice, now and then three times
        before = text
        text = _MOJIBAKE.sub(_mend, text)
        text = _LOST_SPACE.sub("à ", text)
        text = _MAC_MOJIBAKE.sub(lambda found: _MAC[found[0]], text)
        if text == before:
            break
    return _C1.sub(lambda found: _CP1252[ord(found[0])].replace("\ufffd", found[0]), text)


def _mend(found: re.Match[str]) -> str:
    try:
        return bytes(_BYTE_OF[letter] for letter in found[0]).decode()
    except UnicodeDecodeError:
        return found[0]


def mend_characters(text: str) -> str:
    """The text without what character_faults finds, U+FFFD apart: nobody knows what it was."""
    if not text.isascii() and _MOJIBAKE_HINT.search(text):
        text = mend_mojibake(text)
    if not _ODD.search(text):
        return text
    text = _RETURN.sub("\n", text)
    text = _CONTROL.sub(lambda found: "\n" if found[0] in "\x0b\x0c\u2028\u2029" else "", text)
    text = _BIDI.sub("", _ZERO_WIDTH.sub("", text))
    # Removing one may leave another beside a letter: a joiner behind a zero-width space.
    while (again := _ZERO_WIDTH.sub("", text)) != text:
        text = again
    return text if _RIGHT_TO_LEFT.search(text) else _DIRECTION_MARK.sub("", text)
