"""The pre-tokenizer patterns: how text is cut into words before any merge. csrc/bpe_scan.h has their scanners."""

from __future__ import annotations

# Kept with a French word: a space or hyphen before it (" eau", "-il") and the apostrophe of an elision (l' · eau,
# qu' · il); aujourd'hui stays whole. Digits go one by one, so that a small model can learn to carry.
FRENCH = (
    r"[ \-]?(?:[Aa]ujourd['’]hui(?![\p{L}\p{M}])|[\p{L}\p{M}]+(?:['’](?=\p{L}))?)"
    r"|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+|\s*[\r\n]+|\s+(?!\S)|\s+"
)
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
BLOOM = r" ?[^(\s|[.,!?…。，、।۔،])]+"

_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
TEKKEN = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
O200K = (
    TEKKEN.replace(f"{_LOWER}+|", f"{_LOWER}+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|")
    .replace(f"{_LOWER}*|", f"{_LOWER}*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|")
    .replace(r"|\p{N}|", r"|\p{N}{1,3}|")
)

# By the name of their scanner in csrc/bpe_scan.h.
PATTERNS = {
    "french": FRENCH,
    "gpt2": GPT2,
    "llama3": LLAMA3,
    "qwen2": QWEN2,
    "bloom": BLOOM,
    "o200k": O200K,
    "tekken": TEKKEN,
}

# The patterns that scripts/train_tokenizer.py offers.
TRAINABLE = {name: PATTERNS[name] for name in ("french", "gpt2", "llama3", "bloom")}

# Every regular expression that the native scanner runs, by the scanner's name. The spellings differ between the
# files met in practice; those listed together cut every text alike.
SCANNERS = {
    FRENCH: "french",
    GPT2: "gpt2",
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+": "gpt2",
    LLAMA3: "llama3",
    LLAMA3.replace(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)", r"'(?i:[sdmt]|ll|ve|re)"): "llama3",
    QWEN2: "qwen2",
    BLOOM: "bloom",
    O200K: "o200k",
    TEKKEN: "tekken",
}


def byte_alphabet() -> list[str]:
    """The printable character that stands for each byte 0..255 in a byte-level vocabulary (GPT-2, 2019)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    spare = iter(range(0x100, 0x200))
    return [chr(byte) if byte in printable else chr(next(spare)) for byte in range(256)]
