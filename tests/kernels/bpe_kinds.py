"""Small tokenizer.json files of the kinds met in practice: the settings are those of the models' own files, the
vocabulary is trained on the spot."""

from __future__ import annotations

import functools
import json

import tokenizers
from bpe_texts import corpus
from tokenizers import models, pre_tokenizers, trainers

from jarvis_nano.kernels.bpe.patterns import FRENCH, LLAMA3, O200K, QWEN2, TEKKEN

BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
BYTES_ONLY = BYTE_LEVEL | {"use_regex": False}
PREFIXED = BYTE_LEVEL | {"add_prefix_space": True}
NFC, NFKC = {"type": "NFC"}, {"type": "NFKC"}
BYTE_TOKENS = [f"<0x{byte:02X}>" for byte in range(256)]


def sequence(*steps: dict) -> dict:
    return {"type": "Sequence", "pretokenizers": list(steps)}


def normalizers(*steps: dict) -> dict:
    return {"type": "Sequence", "normalizers": list(steps)}


def split(pattern: str, behavior: str = "Isolated", *, kind: str = "Regex", invert: bool = False) -> dict:
    return {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert}


def metaspace(scheme: str, *, cut: bool = True) -> dict:
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": cut}


def replace(old: str, new: str) -> dict:
    return {"type": "Replace", "pattern": {"String": old}, "content": new}


def added(content: str, **flags: bool) -> dict:
    """An added token: special and not normalized, unless told otherwise. Its id is filled in by `tokenizer_of`."""
    return {
        "id": 0,
        "content": content,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": True,
    } | flags


SPACES = [added(" " * count, normalized=True, special=False) for count in range(2, 6)]
DEEPSEEK = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
DIGITS_ONE = {"type": "Digits", "individual_digits": True}
DIGITS = {"type": "Digits", "individual_digits": False}
PUNCTUATION = {"type": "Punctuation", "behavior": "Contiguous"}
SPECIALS = [added("<unk>"), added("<s>"), added("</s>"), added("<|user|>"), added("<|end|>"), added("<|end|>>")]
LLAMA2 = normalizers({"type": "Prepend", "prepend": "▁"}, replace(" ", "▁"))
FALLBACK = {"unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True}

# name -> (normalizer, pre_tokenizer, settings of the model, added tokens)
KINDS: dict[str, tuple] = {
    "gpt2": (None, BYTE_LEVEL, {}, SPECIALS),
    "llama3": (None, sequence(split(LLAMA3), BYTES_ONLY), {"ignore_merges": True}, SPECIALS),
    "o200k": (None, sequence(split(O200K, "Removed", invert=True), BYTES_ONLY), {}, SPECIALS),
    "tekken": (None, sequence(split(TEKKEN), BYTES_ONLY), {"ignore_merges": True}, SPECIALS),
    "qwen2": (NFC, sequence(split(QWEN2), BYTES_ONLY), {}, SPECIALS),
    "neox": (NFC, BYTE_LEVEL, {}, [*SPECIALS, *SPACES]),
    "french": (None, sequence(split(FRENCH), BYTES_ONLY), {}, SPECIALS),
    "original": (normalizers(NFKC), {"type": "Whitespace"}, {"unk_token": "<unk>"}, SPECIALS),
    "roberta": (None, PREFIXED, {}, [*SPECIALS, added("<mask>", lstrip=True)]),
    "phi": (None, PREFIXED | {"add_prefix_space": False}, {}, [*SPECIALS, added("\t\t", special=False)]),
    "starcoder": (None, sequence(DIGITS_ONE, BYTE_LEVEL), {}, SPECIALS),
    "falcon": (None, sequence(PUNCTUATION, BYTE_LEVEL, DIGITS, split("[0-9][0-9][0-9]")), {}, SPECIALS),
    "deepseek": (
        normalizers(),
        sequence(split(r"\p{N}{1,3}"), split("[一-龥぀-ゟ゠-ヿ]+"), split(DEEPSEEK), BYTES_ONLY),
        {},
        SPECIALS,
    ),
    "deepseek-llm": (
        normalizers(),
        sequence(
            split("[\r\n]"),
            split(r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓ]+"),
            split(r"\s?[!-/:-~！-／：-～‘-‟　-。]+"),
            split(r"\s+$"),
            split("[一-龥ࠀ-一가-퟿]+"),
            DIGITS_ONE,
            BYTES_ONLY,
        ),
        {},
        SPECIALS,
    ),
    "llama2": (LLAMA2, None, FALLBACK, SPECIALS),
    "llama2-old": (LLAMA2, None, FALLBACK, [token | {"normalized": True} for token in SPECIALS]),
    "gemma": (replace(" ", "▁"), split(" ", "MergedWithPrevious", kind="String"), FALLBACK, SPECIALS),
    "mistral": (None, metaspace("first", cut=False), FALLBACK, SPECIALS),
    "metaspace": (None, metaspace("always"), {"unk_token": "<unk>", "fuse_unk": True}, SPECIALS),
    "metaspace-first": (NFKC, metaspace("first"), {"unk_token": "<unk>"}, SPECIALS),
    "metaspace-never": (None, metaspace("never"), {}, SPECIALS),
    "codellama": (None, metaspace("first", cut=False), FALLBACK, [*SPECIALS, added("▁<PRE>"), added("▁<SUF>")]),
    "lowercase": (
        normalizers({"type": "NFD"}, {"type": "Lowercase"}, {"type": "StripAccents"}),
        sequence({"type": "WhitespaceSplit"}, {"type": "Punctuation", "behavior": "Isolated"}),
        {"unk_token": "<unk>"},
        [*SPECIALS, added("Mot", special=False, normalized=True), added("été", special=False, single_word=True)],
    ),
    "strip": (
        normalizers({"type": "Strip", "strip_left": True, "strip_right": True}, {"type": "NFKD"}, replace("''", '"')),
        sequence({"type": "CharDelimiterSplit", "delimiter": " "}, BYTES_ONLY),
        {},
        [*SPECIALS, added("l'", special=False, normalized=True, lstrip=True, rstrip=True, single_word=True)],
    ),
    "whole": (None, BYTES_ONLY, {}, SPECIALS),
    "affixes": (
        None,
        sequence(
            split("'", "MergedWithNext", kind="String"), split(r"\s+", "MergedWithPrevious"), PUNCTUATION, PREFIXED
        ),
        {},
        [*SPECIALS, added("  ", special=False, rstrip=True), added(" l", special=False, lstrip=True)],
    ),
}


@functools.cache
def tokenizer_of(kind: str, vocab_size: int = 1200) -> bytes:
    """The tokenizer.json of a kind, trained on `corpus`."""
    normalizer, pre_tokenizer, settings, tokens = KINDS[kind]
    in_bytes = "ByteLevel" in json.dumps(pre_tokenizer)
    empty = {
        "model": {"type": "BPE", "vocab": {}, "merges": []},
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
    }
    tokenizer = tokenizers.Tokenizer.from_str(json.dumps(empty))
    if pre_tokenizer is None or pre_tokenizer.get("split") is False or kind == "gemma":
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()  # to train: no merge is to hold whole sentences
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<unk>", "<s>", "</s>", *(BYTE_TOKENS if settings.get("byte_fallback") else [])],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if in_bytes else [],
        limit_alphabet=1000 if in_bytes else 70,  # so that some characters are unknown
        show_progress=False,
    )
    tokenizer.model = models.BPE()
    tokenizer.train_from_iterator(corpus(), trainer)
    data = json.loads(tokenizer.to_str())
    data |= {"normalizer": normalizer, "pre_tokenizer": pre_tokenizer}
    data["model"] |= settings
    data["decoder"] = BYTE_LEVEL if in_bytes else None
    vocab = data["model"]["vocab"]
    new = iter(range(len(vocab), len(vocab) + len(tokens)))
    data["added_tokens"] = [
        token | {"id": vocab[token["content"]] if token["content"] in vocab else next(new)} for token in tokens
    ]
    return json.dumps(data, ensure_ascii=False).encode()


def edited(kind: str, change) -> bytes:
    """tokenizer_of(kind) after change(data) has edited it in place."""
    data = json.loads(tokenizer_of(kind))
    change(data)
    return json.dumps(data, ensure_ascii=False).encode()
