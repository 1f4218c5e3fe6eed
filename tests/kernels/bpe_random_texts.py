"""Random texts that look for the edges of a scanner: word lengths around a cache's keys, borders of 64-byte blocks,
every plane of Unicode weighted to what patterns treat specially, runs, fragments of special tokens. Pure functions of a
random.Random.
"""

from __future__ import annotations

import functools
import random
import sys
import unicodedata
from collections.abc import Callable

from bpe_texts import FRENCH, PIECES, SPECIAL

from jarvis_nano.corpus import stories

FRENCH_LETTERS = "aaeeiinorstuldcmpéèàùçêôîœÉÀÇæÿŒâûüïëABCDEQJ"
APOSTROPHES = "''’’ʼ`´ˈ＇"
SPACES = [" ", " ", " ", "\n", "\r\n", "\r", "\t", "\xa0", "\u202f", "\u2009", "\u3000", "\x0b", "\x0c", "\x85", "\x1c"]
SPACES += ["\u1680", "\u2028", "\u2029", "\u205f", "\u200b", "\ufeff", "\x1f", "\u180e"]
QUOTES = [
    "« ",
    " »",
    "«\xa0",
    "\u202f»",
    "“",
    "”",
    "…",
    "—",
    "–",
    "-",
    "-t-",
    " - ",
    ",",
    ";",
    " !",
    "\xa0?",
    ".",
    "(",
    ")",
]
EMOJI = ["😀", "👨‍👩‍👧", "🇫🇷", "❤️", "👍🏽", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "©️", "\ufe0f", "\u200d", "\U0001f3fd"]
CONTRACTIONS = [
    "'s",
    "'S",
    "'ſ",
    "’s",
    "'t",
    "'re",
    "'RE",
    "'rE",
    "'ve",
    "'ll",
    "'lL",
    "'Ll",
    "'d",
    "'m",
    "'l",
    "'r",
    "'v",
]
ELISIONS = [
    "l'",
    "L’",
    "d'",
    "qu'",
    "jusqu’",
    "aujourd'hui",
    "Aujourd’hui",
    "aujourd'huis",
    "AUJOURD'HUI",
    "-ujourd'hui",
]
FOLDS = list("ſKİıßẞﬁﬆΩσςǅǲʰªºⅧⅷ½²٣۳߀०０一")
# Lengths in bytes where a key, an inline entry, a vector or a block ends.
LENGTHS = [
    1,
    2,
    3,
    6,
    7,
    8,
    13,
    14,
    15,
    16,
    17,
    30,
    31,
    32,
    33,
    39,
    40,
    41,
    47,
    48,
    62,
    63,
    64,
    65,
    66,
    127,
    128,
    129,
    255,
    256,
]
ALL_PIECES = [*PIECES, *SPACES, *QUOTES, *EMOJI, *CONTRACTIONS, *ELISIONS, *FOLDS]


@functools.cache
def by_category() -> dict[str, list[str]]:
    """Every code point but the surrogates, by its general category."""
    found: dict[str, list[str]] = {}
    for code in range(sys.maxunicode + 1):
        category = unicodedata.category(chr(code))
        if category != "Cs":
            found.setdefault(category, []).append(chr(code))
    return found


@functools.cache
def story_text() -> str:
    return "\n".join(stories.generate(40, seed=1))


def one_word(rng: random.Random) -> str:
    letters = rng.choice([FRENCH_LETTERS, "abcdefghij", "éèàç", "аб", "中文", "aé’", "𝒜𝒷"])
    target = rng.choice(LENGTHS) + rng.choice([-1, 0, 0, 1])
    word, size = [], 0
    while size < target:
        word.append(rng.choice(letters))
        size += len(word[-1].encode())
    return rng.choice(["", " ", " ", "-", "'", "\n"]) + "".join(word)


def french_words(rng: random.Random) -> str:
    words = []
    for _ in range(rng.randint(1, 30)):
        word = "".join(rng.choices(FRENCH_LETTERS, k=rng.randint(1, 12)))
        words.append(rng.choice(["", "", "", *ELISIONS]) + word + rng.choice(["", "", "", "", *QUOTES]))
    return rng.choice(SPACES[:4]).join(words)


def sentence(rng: random.Random) -> str:
    text = rng.choice([story_text(), FRENCH])
    start = rng.randrange(len(text))
    return text[start : start + rng.choice([20, 80, 400, 2000])]


def code_points(rng: random.Random) -> str:
    category = rng.choice(list(by_category()))
    return "".join(rng.choices(by_category()[category], k=rng.randint(1, 20)))


def any_code_points(rng: random.Random) -> str:
    codes = (rng.randint(*rng.choice([(0, 127), (128, 0x7FF), (0x800, 0xD7FF), (0xE000, 0xFFFF), (0x10000, 0x10FFFF)]))
             for _ in range(rng.randint(1, 30)))  # fmt: skip
    return "".join(map(chr, codes))


def pieces(rng: random.Random) -> str:
    return "".join(rng.choices(ALL_PIECES, k=rng.randint(1, 25)))


def white_space(rng: random.Random) -> str:
    few = rng.choices(SPACES, k=rng.randint(1, 3))
    return "".join(rng.choices(few, k=rng.choice([1, 2, 3, 5, 30, 63, 64, 65, 200])))


def repeated(rng: random.Random) -> str:
    return rng.choice([*ALL_PIECES, "a", "é", "la", "1"]) * rng.choice([2, 3, 7, 8, 15, 16, 17, 31, 32, 64, 65, 300])


def long_run(rng: random.Random) -> str:
    return rng.choice([*ALL_PIECES, "a", "é", "la", "1"]) * rng.choice([1000, 2500])


def special_fragment(rng: random.Random) -> str:
    token = rng.choice([*SPECIAL, "[mot]", "[m", "<mask>", "<n>", "<n>>", "--", "été", "mot", "Été", "[x]", "<s>"])
    cut = rng.randint(0, len(token))
    return rng.choice(
        [token, token[:cut], token[cut:], token[:cut] + token, token + " ", " " + token, "a" + token + "b"]
    )


def digits(rng: random.Random) -> str:
    script = rng.choice([*by_category()["Nd"][::10][:60], *["0"] * 30])
    return "".join(chr(ord(script) + rng.randint(0, 9)) for _ in range(rng.choice([1, 2, 3, 4, 5, 6, 7, 20, 64])))


def with_marks(rng: random.Random) -> str:
    marks = rng.choices([*by_category()["Mn"], *by_category()["Mc"], *["\u0301"] * 500], k=4)
    letters = rng.choice([FRENCH_LETTERS, "अकन", "ㅎㅏㄴ한", "e", " ", "1'"])
    return "".join(
        rng.choice(letters) + "".join(rng.choices(marks, k=rng.randint(0, 3))) for _ in range(rng.randint(1, 8))
    )


def to_block_border(rng: random.Random, size: int) -> str:
    """ASCII that ends a few bytes from the next multiple of 64."""
    room = -size % 64 + rng.choice([-3, -2, -1, 0, 0, 1, 2])
    return "".join(rng.choices("aeiou lst,'", k=max(0, room)))


PARTS: list[Callable[[random.Random], str]] = [
    one_word, one_word, french_words, french_words, sentence, code_points, any_code_points, pieces, pieces, white_space,
    repeated, special_fragment, digits, with_marks,
]  # fmt: skip


def random_text(rng: random.Random, most_bytes: int = 100_000) -> str:
    """A text of parts; most are short, some reach `most_bytes`."""
    target = min(most_bytes, int(rng.choice([20, 60, 150, 300, 700, 2000, 9000]) * rng.random() * 2))
    if rng.random() < 0.01:
        target = rng.randint(0, most_bytes)
    parts: list[str] = []
    size = 0
    while size < target:
        draw = rng.random()
        if draw < 0.12:
            part = to_block_border(rng, size)
        elif draw < 0.17 and parts:
            part = rng.choice(parts[-40:])  # again: a word cache finds it
        elif draw < 0.172:
            part = long_run(rng)
        else:
            part = rng.choice(PARTS)(rng)
        parts.append(part)
        size += len(part.encode()) or 1
    return mutated("".join(parts), rng) if rng.random() < 0.2 else "".join(parts)


def mutated(text: str, rng: random.Random) -> str:
    """The text with a few characters taken out, put in, or changed."""
    characters = list(text)
    for _ in range(rng.randint(1, 5)):
        at = rng.randint(0, len(characters))
        characters[at : at + rng.randint(0, 2)] = rng.choice(ALL_PIECES)[: rng.randint(0, 3)]
    return "".join(characters)


def random_bytes(rng: random.Random) -> bytes:
    """Bytes that are often nearly UTF-8: a text with bytes changed, cut or swapped, or one bad sequence put in."""
    bad = [
        b"\xc0\x80",
        b"\xe0\x80\x80",
        b"\xf0\x80\x80\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xe2\x82",
        b"\xff",
    ]
    bad += [b"\x80", b"\xc3", b"\xf0\x9f\x98", b"\xc1\xbf", b"\xed\xbf\xbf", b"\xf5\x80\x80\x80", b"\xef\xbf"]
    data = bytearray(random_text(rng, 3000).encode())
    for _ in range(rng.choice([0, 1, 1, 1, 3])):
        at = rng.randint(0, len(data))
        way = rng.randrange(4)
        if way == 0:
            data[at:at] = rng.choice(bad)
        elif way == 1 and data:
            data[at % len(data)] = rng.randrange(256)
        elif way == 2:
            del data[at : at + 1]
        else:
            del data[at:]  # in the middle of a character, often
    return bytes(data)
