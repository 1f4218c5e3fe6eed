"""Reads a tiktoken rank file: a token in base64 and its id on each line. Merges are not written down there.

Any two neighbours that make a token together may merge; the lower its id the earlier. A word that is a token stays
whole. So every way to cut a token in two is a merge, of the rank of the token.
"""

from __future__ import annotations

import base64
import binascii
import json
import os

import numpy as np

from .patterns import PATTERNS, SCANNERS, byte_alphabet
from .steps import Step
from .template import Template
from .tokenizer_file import AddedToken, BpeFile, BpeFileError, read
from .vocabulary import check_density

MAGIC = b"tiktoken ranks with pattern and special tokens, version 1\n"

# The patterns of tiktoken's own encodings. They differ from those of patterns.py in what ends a run of white space.
_WORDS = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
TIKTOKEN_PATTERNS = {
    "r50k_base": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s",
    "cl100k_base": _WORDS + r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
    "o200k_base": PATTERNS["o200k"],
}
TIKTOKEN_PATTERNS |= {"gpt2": TIKTOKEN_PATTERNS["r50k_base"], "p50k_base": TIKTOKEN_PATTERNS["r50k_base"]}


def packed(path: str | os.PathLike[str], pattern: str, special_tokens: dict[str, int]) -> bytes:
    """A rank file with what it does not say itself, as bytes that `parse_ranks` reads."""
    names = TIKTOKEN_PATTERNS | {name: text for name, text in PATTERNS.items() if name not in TIKTOKEN_PATTERNS}
    header = {"pattern": names.get(pattern, pattern), "special_tokens": dict(special_tokens)}
    return MAGIC + json.dumps(header).encode() + b"\n" + read(path)


def parse_ranks(raw: bytes) -> BpeFile:
    """BpeFile of the bytes that `packed` made. BpeFileError on a damaged rank file."""
    line, _, text = raw.removeprefix(MAGIC).partition(b"\n")
    header = json.loads(line)
    ranks = _ranks(text)
    alphabet = byte_alphabet()
    to_character = dict(enumerate(alphabet))
    vocab = {token.decode("latin-1").translate(to_character): rank for token, rank in ranks.items()}
    added = _special(header["special_tokens"], ranks)
    pattern = header["pattern"]
    step: Step = {"kind": "regex", "text": pattern, "behavior": "Removed", "invert": True, "tiktoken": True}
    if SCANNERS.get(pattern, "bloom") != "bloom":  # bloom's leaves something between its matches
        step = {"kind": "pattern", "name": SCANNERS[pattern]}
    return BpeFile(
        vocab=vocab,
        added=added,
        merges=_merges(ranks),
        base=np.array([ranks[bytes([byte])] for byte in range(256)], dtype=np.uint32),
        ignore_merges=True,
        byte_level_decoder=True,
        why_not="",
        normalizer=[],
        cuts=[step],
        in_bytes=True,
        unknown=None,
        fuse_unknown=False,
        template=Template(),
        sections={"normalizer": None, "pre_tokenizer": None},
        ranked_by_joined=True,
    )


def _ranks(text: bytes) -> dict[bytes, int]:
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line:
            continue
        try:
            token, rank = line.split()
            word, index = base64.b64decode(token, validate=True), int(rank)
        except (ValueError, binascii.Error) as error:
            raise BpeFileError(f"line {number} is {line[:60]!r}; expected a token in base64 and its rank") from error
        if index < 0 or not word or word in ranks:
            raise BpeFileError(f"line {number}: token {word!r} of rank {index} is empty, negative or there already")
        ranks[word] = index
    missing = [byte for byte in range(256) if bytes([byte]) not in ranks]
    if missing:
        raise BpeFileError(f"{len(missing)} of the 256 bytes have no rank, 0x{missing[0]:02x} the first")
    if len(set(ranks.values())) != len(ranks):
        raise BpeFileError("a rank belongs to two tokens; the file is damaged")
    check_density(max(ranks.values()), len(ranks))
    return ranks


def _special(tokens: dict[str, int], ranks: dict[bytes, int]) -> list[AddedToken]:
    taken = set(ranks.values())
    for text, index in tokens.items():
        if not text or type(index) is not int or index < 0 or index in taken:
            raise BpeFileError(f"special token {text!r} has the id {index!r}; expected a text and an id of its own")
        taken.add(index)
    check_density(max(taken), len(taken))
    return [AddedToken(text, index, True, False, False, False) for text, index in tokens.items()]


def _merges(ranks: dict[bytes, int]) -> np.ndarray:
    """Every (left, right, joined) where all three are tokens, by the rank of the joined."""
    find = ranks.get
    rows = [
        (left, right, joined)
        for token, joined in sorted(ranks.items(), key=lambda item: item[1])
        for cut in range(1, len(token))
        if (left := find(token[:cut])) is not None and (right := find(token[cut:])) is not None
    ]
    return np.array(rows, dtype=np.uint32).reshape(-1, 3)
