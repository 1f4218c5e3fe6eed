r"""Writes csrc/unicode_tables.h: which characters are \p{L}, \p{M}, \p{N}, \s to the tokenizers library's regex engine.

The engine knows another Unicode version than Python does (17,144 fewer letters than the `regex` module, 2026), and
ids must equal the library's; so the library itself is asked about every code point.

python csrc/make_unicode_tables.py            write the header
python csrc/make_unicode_tables.py --check    exit 1 if the installed library sees other classes than the header
"""

from __future__ import annotations

import sys
from pathlib import Path

import tokenizers
from tokenizers import Regex, pre_tokenizers

HEADER = Path(__file__).with_name("unicode_tables.h")
CLASSES = {"kLetter": r"\p{L}+", "kMark": r"\p{M}+", "kNumber": r"\p{N}+", "kSpace": r"\s+"}
BLOCK = 4096  # code points asked about at once; a single text of all of them takes four times as long
SURROGATES = range(0xD800, 0xE000)

PROLOGUE = """\
// The classes of all characters as the tokenizers library's regex engine sees them: {n} ranges, the rest is kOther.
// Written by csrc/make_unicode_tables.py from tokenizers {version}. Do not edit.
#pragma once

#include <cstdint>

namespace jarvis::bpe {{

enum CharacterClass : std::uint8_t {{ kOther = 0, kLetter = 1, kMark = 2, kNumber = 4, kSpace = 8 }};

struct CharacterRange {{
  std::uint32_t first, last;
  CharacterClass kind;
}};

inline constexpr CharacterRange kCharacterRanges[] = {{
"""
EPILOGUE = """\
};

}  // namespace jarvis::bpe
"""


def classes() -> list[str | None]:
    """The class of each code point, None where it has none of ours. AssertionError if one has two."""
    found: list[str | None] = [None] * 0x110000
    for name, pattern in CLASSES.items():
        matches = pre_tokenizers.Split(Regex(pattern), behavior="removed", invert=True)
        for start in range(0, 0x110000, BLOCK):
            block = "".join(chr(code) for code in range(start, start + BLOCK) if code not in SURROGATES)
            for run, _ in matches.pre_tokenize_str(block):
                for code in map(ord, run):
                    assert found[code] is None, f"{code:04X} is {found[code]} and {name}"
                    found[code] = name
    return found


def header() -> str:
    """The header's text."""
    found = classes()
    ranges: list[str] = []
    first = 0
    for code in range(1, 0x110001):
        if code == 0x110000 or found[code] != found[first]:
            if found[first]:
                ranges.append(f"{{0x{first:X}, 0x{code - 1:X}, {found[first]}}},")
            first = code
    lines = [" ".join(ranges[i : i + 4]) for i in range(0, len(ranges), 4)]
    prologue = PROLOGUE.format(n=len(ranges), version=tokenizers.__version__)
    return prologue + "".join(f"    {line}\n" for line in lines) + EPILOGUE


def ranges_of(text: str) -> list[str]:
    """The table alone, without the version in the prologue."""
    return [line for line in text.splitlines() if line.startswith("    {")]


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        same = ranges_of(header()) == ranges_of(HEADER.read_text(encoding="utf-8"))
        print("equal" if same else f"tokenizers {tokenizers.__version__} sees other classes: run {sys.argv[0]}")
        sys.exit(not same)
    HEADER.write_text(header(), encoding="utf-8")
