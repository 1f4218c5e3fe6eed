r"""Writes csrc/normalization_tables.h and csrc/category_tables.h: how the tokenizers library sees each character.

Decompositions, compositions, combining classes and lower case, as its normalizers have them; general categories, as
its regex engine has them; words, numbers and punctuation, as its pre-tokenizers have them. The library itself is asked
about every code point, for its tables are older than Python's; combining classes, of which it says nothing, come from
unicodedata and are checked by asking it to order pairs of marks.

python csrc/make_normalization_tables.py            write the headers (half a minute)
python csrc/make_normalization_tables.py --check    exit 1 if the installed library sees other characters
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path

import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

FOLDER = Path(__file__).parent
BLOCK = 4096  # code points asked about at once
CODES = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]
HANGUL = range(0xAC00, 0xAC00 + 11172)  # computed, not tabled
NAMES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co"
CATEGORIES = NAMES.split(" ")
# Bits above the category: \w of the regex engine, \w of Rust's regex crate, numbers and punctuation as Rust has them.
FLAGS = {"engine_word": 32, "rust_word": 64, "rust_number": 128, "rust_punctuation": 256}

PROLOGUE = """\
// {what}
// Written by csrc/make_normalization_tables.py from tokenizers {version}. Do not edit.
#pragma once

#include <cstdint>

namespace jarvis::bpe {{

"""
EPILOGUE = """\
}  // namespace jarvis::bpe
"""


def blocks() -> Iterable[list[int]]:
    for start in range(0, len(CODES), BLOCK):
        yield CODES[start : start + BLOCK]


def mapped(normalizer: normalizers.Normalizer) -> dict[int, str]:
    """What each character that the normalizer changes becomes on its own."""
    changed = {}
    for block in blocks():
        codes = [code for code in block if code != 10]  # the separator, which no normalizer here touches
        after = normalizer.normalize_str("\n".join(map(chr, codes))).split("\n")
        assert len(after) == len(codes)
        changed.update({code: text for code, text in zip(codes, after, strict=True) if text != chr(code)})
    return changed


def matches(pattern: str) -> set[int]:
    """The code points that a class of the regex engine holds."""
    split = pre_tokenizers.Split(Regex(pattern + "+"), behavior="removed", invert=True)
    found: set[int] = set()
    for block in blocks():
        for run, _ in split.pre_tokenize_str("".join(map(chr, block))):
            found.update(map(ord, run))
    return found


def isolated(cut: Callable[[str], list]) -> set[int]:
    """The code points that a pre-tokenizer keeps apart from the letters on both sides."""
    found: set[int] = set()
    for block in blocks():
        pieces = cut("".join(f"a{chr(code)}a\n" for code in block))
        found.update(ord(piece) for piece, _ in pieces if len(piece) == 1 and piece != "a")
    return found


def rust_words() -> set[int]:
    found: set[int] = set()
    for block in blocks():
        pieces = pre_tokenizers.Whitespace().pre_tokenize_str("".join(f"a{chr(code)}a\n" for code in block))
        found.update(ord(piece[1]) for piece, _ in pieces if len(piece) == 3)
    return found


def combining_classes(nfd: dict[int, str]) -> dict[int, int]:
    """The classes other than 0. AssertionError where the library orders marks otherwise."""
    plain = normalizers.NFD().normalize_str
    lowest = "\u0334"  # class 1
    classes = {}
    for code in CODES:
        if code in nfd or code in HANGUL:
            continue
        moves = plain("\n" + chr(code) + lowest) != "\n" + chr(code) + lowest
        known = unicodedata.combining(chr(code))
        if moves or (known == 1 and plain(f"\n\u0300{chr(code)}") != f"\n\u0300{chr(code)}"):
            assert known, f"{code:04X} is reordered, and unicodedata knows no class of it"
            classes[code] = known
    examples = {kind: chr(code) for code, kind in sorted(classes.items(), reverse=True)}
    for code, kind in classes.items():
        for other, example in examples.items():
            pair = "\n" + example + chr(code)
            assert (plain(pair) != pair) == (other > kind), f"class of {code:04X} is not {kind}"
    return classes


def compositions(nfd: dict[int, str]) -> list[tuple[int, int, int]]:
    """(first, second, composed): the pairs that NFC makes one. Hangul is computed."""
    compose = normalizers.NFC().normalize_str
    pairs = set()
    for code, text in nfd.items():
        if code in HANGUL or len(text) < 2:
            continue
        canonical = unicodedata.decomposition(chr(code))
        by_unicode = "".join(chr(int(part, 16)) for part in canonical.split()) if canonical[:1] != "<" else ""
        for parts in (by_unicode, compose(text[:-1]) + text[-1]):
            if len(parts) == 2 and compose(parts) == chr(code):
                pairs.add((ord(parts[0]), ord(parts[1]), code))
    return sorted(pairs)


def ranges(values: dict[int, int]) -> list[tuple[int, int, int]]:
    """(first, last, value) for runs of equal values."""
    out: list[tuple[int, int, int]] = []
    for code in sorted(values):
        if out and out[-1][1] == code - 1 and out[-1][2] == values[code]:
            out[-1] = (out[-1][0], code, values[code])
        else:
            out.append((code, code, values[code]))
    return out


def table(declaration: str, entries: Iterable[Iterable[int]]) -> str:
    """A C++ array of structs, wrapped."""
    cells = ["{" + ", ".join(f"0x{part:X}" for part in entry) + "}," for entry in entries]
    return wrapped(declaration, cells)


def wrapped(declaration: str, cells: list[str]) -> str:
    lines, line = [], "   "
    for cell in cells:
        if len(line) + 1 + len(cell) > 118:
            lines.append(line)
            line = "   "
        line += " " + cell
    return f"inline constexpr {declaration}[] = {{\n" + "\n".join([*lines, line]) + "\n};\n\n"


class Texts:
    """The replacements, one after the other, each stored once."""

    def __init__(self) -> None:
        self.flat = ""

    def place(self, text: str) -> int:
        at = self.flat.find(text)
        if at < 0:
            at = len(self.flat)
            self.flat += text
        return at

    def entries(self, changed: dict[int, str]) -> list[tuple[int, int, int]]:
        return [(code, self.place(text), len(text)) for code, text in sorted(changed.items()) if code not in HANGUL]


def normalization_header() -> str:
    nfd, nfkd = mapped(normalizers.NFD()), mapped(normalizers.NFKD())
    lower, bare = mapped(normalizers.Lowercase()), mapped(normalizers.StripAccents())
    assert all(text == "" for text in bare.values())
    texts = Texts()
    compatible = {code: text for code, text in nfkd.items() if nfd.get(code) != text}
    body = table("Replacement kCanonical", texts.entries(nfd))
    body += table("Replacement kCompatible", texts.entries(compatible))
    body += table("Replacement kLower", texts.entries(lower))
    body += wrapped("char32_t kReplaced", [f"0x{ord(character):X}," for character in texts.flat])
    body += table("ClassRange kCombining", ranges(combining_classes(nfd)))
    body += table("ClassRange kAccents", ranges(dict.fromkeys(bare, 1)))
    body += table("Composition kCompositions", compositions(nfd))
    prologue = PROLOGUE.format(
        what="Decompositions, compositions, combining classes, lower case and accents of all characters.",
        version=tokenizers.__version__,
    )
    structs = (
        "// The characters at kReplaced[at], `size` of them, stand for `code`.\n"
        "struct Replacement {\n  std::uint32_t code;\n  std::uint16_t at;\n  std::uint8_t size;\n};\n"
        "struct ClassRange {\n  std::uint32_t first, last;\n  std::uint8_t value;\n};\n"
        "struct Composition {\n  std::uint32_t first, second, composed;\n};\n\n"
    )
    return prologue + structs + body + EPILOGUE


def category_header() -> str:
    values = {}
    for number, category in enumerate(CATEGORIES, start=1):
        values.update(dict.fromkeys(matches(rf"\p{{{category}}}"), number))
    flags = {
        "engine_word": matches(r"\w"),
        "rust_word": rust_words(),
        "rust_number": isolated(pre_tokenizers.Digits(individual_digits=True).pre_tokenize_str),
        "rust_punctuation": isolated(pre_tokenizers.Punctuation(behavior="isolated").pre_tokenize_str),
    }
    for name, codes in flags.items():
        for code in codes:
            values[code] = values.get(code, 0) | FLAGS[name]
    lines: dict[str, str] = {}
    for number, category in enumerate(CATEGORIES, start=1):
        lines[category[0]] = lines.get(category[0], " ") + f" k{category} = {number},"
    structs = (
        "// General categories; 0: none of these.\nenum Category : std::uint16_t {\n"
        + "\n".join(lines.values())
        + "\n};\n"
    )
    structs += "".join(
        f"inline constexpr std::uint16_t k{''.join(part.title() for part in name.split('_'))} = {bit};\n"
        for name, bit in FLAGS.items()
    )
    structs += (
        "struct CategoryRange {\n  std::uint32_t first, last;\n  std::uint16_t value;  // category | flags\n};\n\n"
    )
    prologue = PROLOGUE.format(
        what="General categories, words, numbers and punctuation.", version=tokenizers.__version__
    )
    return prologue + structs + table("CategoryRange kCategories", ranges(values)) + EPILOGUE


def without_version(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.startswith("// Written by"))


if __name__ == "__main__":
    headers = {"normalization_tables.h": normalization_header(), "category_tables.h": category_header()}
    if "--check" in sys.argv[1:]:
        stale = [
            name
            for name, text in headers.items()
            if without_version(text) != without_version((FOLDER / name).read_text(encoding="utf-8"))
        ]
        print(f"tokenizers {tokenizers.__version__} sees other characters than {stale}" if stale else "equal")
        sys.exit(bool(stale))
    for name, text in headers.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
