"""The smallest tokenizer.json of each kind that the doctor answers for, spelt as in the files that people publish."""

from __future__ import annotations

import json
from typing import Any

from .patterns import FRENCH, LLAMA3, byte_alphabet

O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
GPT2_STEP = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
NFC, NFKC = {"type": "NFC"}, {"type": "NFKC"}
# Real ids of "l'été": enough merges to tell whether they are applied in order.
MERGES = [("t", "Ã"), ("Ã", "©"), ("Ġ", "l"), ("l", "e"), ("Ã©", "t"), ("Ã©t", "Ã©"), ("Ġ", "e"), ("Ġe", "n")]


def kinds() -> dict[str, bytes]:
    """A tokenizer.json by the name of its kind."""
    return {
        "GPT-2": _byte_level(GPT2_STEP),
        "Llama-3, cl100k": _byte_level(_split(LLAMA3), ignore_merges=True),
        "o200k": _byte_level(_split(O200K)),
        "Qwen": _byte_level(_split(QWEN), normalizer=NFC),
        "NeoX": _byte_level(GPT2_STEP, normalizer=NFC, added=("  ", "    ")),
        "french": _byte_level(_split(FRENCH)),
        "Llama-2, Mistral": _sentences(),
        "the original's": _characters(),
    }


def _split(pattern: str) -> dict[str, Any]:
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    plain = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {"type": "Sequence", "pretokenizers": [split, plain]}


def _byte_level(
    pre_tokenizer: dict[str, Any],
    *,
    normalizer: dict[str, Any] | None = None,
    added: tuple[str, ...] = (),
    ignore_merges: bool = False,
) -> bytes:
    tokens = ["<|end|>", *byte_alphabet(), *(left + right for left, right in MERGES)]
    entries = [_added(0, "<|end|>", special=True)]
    # NeoX has tokens for runs of spaces, looked for in normalized text.
    entries += [_added(len(tokens) + n, text, special=False) for n, text in enumerate(added)]
    return _file(
        tokens,
        MERGES,
        entries,
        normalizer=normalizer,
        pre_tokenizer=pre_tokenizer,
        decoder=GPT2_STEP,
        ignore_merges=ignore_merges,
    )


def _characters() -> bytes:
    """The original project's: NFKC, words and punctuation apart, characters, `<unk>` for those it never saw."""
    merges = [("l", "e"), ("t", "é"), ("é", "té")]
    tokens = ["<unk>", *"letén'adsirou,.", *(left + right for left, right in merges)]
    entries = [_added(0, "<unk>", special=True)]
    normalizer = {"type": "Sequence", "normalizers": [NFKC]}
    return _file(tokens, merges, entries, normalizer=normalizer, pre_tokenizer={"type": "Whitespace"}, unk="<unk>")


def _sentences() -> bytes:
    """SentencePiece's: ▁ for a space, one more in front, and the bytes of a character that it does not know."""
    merges = [("▁", "l"), ("t", "é"), ("é", "té"), ("e", "n")]
    spelt_bytes = [f"<0x{byte:02X}>" for byte in range(256)]
    tokens = ["<unk>", "<s>", *spelt_bytes, *"▁letén'adsirou,.", *(left + right for left, right in merges)]
    steps = [
        {"type": "Prepend", "prepend": "▁"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
    ]
    entries = [_added(0, "<unk>", special=True), _added(1, "<s>", special=True)]
    normalizer = {"type": "Sequence", "normalizers": steps}
    decoder = {
        "type": "Sequence",
        "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"},
            {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ],
    }
    return _file(
        tokens, merges, entries, normalizer=normalizer, decoder=decoder, unk="<unk>", fuse_unk=True, byte_fallback=True
    )


def _added(index: int, content: str, *, special: bool) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": not special, "special": special}
    return {"id": index, "content": content, **flags}


def _file(
    tokens: list[str],
    merges: list[tuple[str, str]],
    added: list[dict[str, Any]],
    *,
    normalizer: dict[str, Any] | None = None,
    pre_tokenizer: dict[str, Any] | None = None,
    decoder: dict[str, Any] | None = None,
    unk: str | None = None,
    fuse_unk: bool = False,
    byte_fallback: bool = False,
    ignore_merges: bool = False,
) -> bytes:
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": unk,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": fuse_unk,
        "byte_fallback": byte_fallback,
        "ignore_merges": ignore_merges,
        "vocab": {token: index for index, token in enumerate(tokens)},
        "merges": merges,
    }
    file = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": None,
        "decoder": decoder,
        "model": model,
    }
    return json.dumps(file, ensure_ascii=False).encode()
