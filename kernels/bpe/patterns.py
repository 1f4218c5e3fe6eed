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

# By the name of their scanner in csrc/bpe_scan.h.
PATTERNS = {"french": FRENCH, "gpt2": GPT2, "llama3": LLAMA3, "qwen2": QWEN2, "bloom": BLOOM}

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
}


def byte_alphabet() -> list[str]:
    """The printable character that stands for each byte 0..255 in a byte-level vocabulary (GPT-2, 2019)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    spare = iter(range(0x100, 0x200))
    return [chr(byte) if byte in printable else chr(next(spare)) for byte in range(256)]


def scanner_of(pre_tokenizer: dict | None) -> tuple[str, str]:
    """The native scanner for a tokenizer.json's pre_tokenizer, and why there is none: one of the two is empty."""
    if pre_tokenizer is None:
        return "", "no pre_tokenizer: the text is not byte-level"
    steps = pre_tokenizer.get("pretokenizers", []) if pre_tokenizer.get("type") == "Sequence" else [pre_tokenizer]
    kinds = [step.get("type") for step in steps]
    if not kinds or kinds[-1] != "ByteLevel" or kinds[:-1] not in ([], ["Split"]):
        return "", f"pre_tokenizer {' + '.join(map(str, kinds)) or 'empty'}: not byte-level with one pattern"
    if steps[-1].get("add_prefix_space", True):
        return "", "pre_tokenizer ByteLevel with add_prefix_space"
    by_regex = steps[-1].get("use_regex", True)
    if len(steps) == 1:
        return ("gpt2", "") if by_regex else ("", "pre_tokenizer ByteLevel without a pattern")
    if by_regex:
        return "", "pre_tokenizer Split followed by ByteLevel's own pattern"
    return _scanner_of_split(steps[0])


def _scanner_of_split(split: dict) -> tuple[str, str]:
    pattern = split.get("pattern", {}).get("Regex")
    name = SCANNERS.get(pattern, "")
    if not name:
        return "", f"pre_tokenizer pattern {pattern!r} has no scanner"
    kept = (split.get("behavior"), split.get("invert", False))
    # A pattern that matches every character leaves nothing between its matches to isolate or remove.
    if kept == ("Isolated", False) or (kept == ("Removed", True) and name != "bloom"):
        return name, ""
    return "", f"pre_tokenizer Split with behavior {kept[0]}, invert {kept[1]}"
