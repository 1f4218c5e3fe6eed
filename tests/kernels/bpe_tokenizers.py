"""Small tokenizers of every kind met in real files, trained on the spot: one tokenizer.json by name, for property
tests, the fuzzer and the sanitizers. bpe_texts.py has the texts; real files are not needed anywhere.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable

import tokenizers
from bpe_texts import SPECIAL, corpus
from tokenizers import AddedToken, Regex, decoders, models, normalizers, trainers
from tokenizers import pre_tokenizers as cuts

from jarvis_nano.corpus import stories
from jarvis_nano.kernels.bpe.patterns import PATTERNS

O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CJK = "[一-龥\u3040-ゟ゠-ヿ]+"
WORDS_ONLY = r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|\s+"


def split(pattern: str, behavior: str = "isolated") -> cuts.PreTokenizer:
    return cuts.Split(Regex(pattern), behavior=behavior)


def plain_bytes() -> cuts.PreTokenizer:
    return cuts.ByteLevel(add_prefix_space=False, use_regex=False)


@functools.cache
def training_texts() -> list[str]:
    """Stories, French with every kind of apostrophe, hostile pieces, and long runs, so that merges hold those too."""
    return [*stories.generate(150, seed=0), *corpus()]


def trained(
    pre_tokenizer: cuts.PreTokenizer | None,
    *,
    normalizer: normalizers.Normalizer | None = None,
    vocab_size: int = 1500,
    change: Callable[[dict], None] = lambda data: None,
) -> bytes:
    """A byte-level tokenizer.json under a pre-tokenizer, edited by `change`."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[AddedToken(text, special=True, normalized=False) for text in SPECIAL],
        initial_alphabet=cuts.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(training_texts(), trainer)
    return edited(tokenizer.to_str(), change)


def edited(raw: str | bytes, change: Callable[[dict], None]) -> bytes:
    data = json.loads(raw)
    change(data)
    return json.dumps(data, ensure_ascii=False).encode()


def on_characters(
    pre_tokenizer: cuts.PreTokenizer,
    *,
    normalizer: normalizers.Normalizer | None = None,
    decoder: decoders.Decoder | None = None,
    byte_tokens: bool = False,
    change: Callable[[dict], None] = lambda data: None,
) -> bytes:
    """A tokenizer.json on characters with `<unk>`, its alphabet cut short so that unknown characters are common."""
    byte_names = [f"<0x{byte:02X}>" for byte in range(256)] if byte_tokens else []
    tokenizer = tokenizers.Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    if decoder is not None:
        tokenizer.decoder = decoder
    trainer = trainers.BpeTrainer(
        vocab_size=1500, special_tokens=["<unk>", "<s>", "</s>", *byte_names], limit_alphabet=90, show_progress=False
    )
    tokenizer.train_from_iterator(training_texts(), trainer)

    def finish(data: dict) -> None:
        data["added_tokens"] = [entry for entry in data["added_tokens"] if entry["content"] not in byte_names]
        change(data)

    return edited(tokenizer.to_str(), finish)


def llama2(data: dict) -> None:
    """As Llama-2's file: no pre-tokenizer, the spaces are in the normalizer; merges cross words."""
    data["pre_tokenizer"] = None
    data["normalizer"] = {
        "type": "Sequence",
        "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        ],
    }
    data["model"].update(byte_fallback=True, fuse_unk=True)


def add_tokens(data: dict) -> None:
    """Added tokens with every flag, some inside others, beside white space and inside words."""
    flags = [("[mot]", {}), ("[m", {}), ("<mask>", {"lstrip": True, "special": True}), ("été", {"rstrip": True})]
    flags += [("<n>", {"normalized": True}), ("<n>>", {}), ("--", {"lstrip": True, "rstrip": True})]
    add(data, flags)


def add_single_words(data: dict) -> None:
    add(data, [("mot", {"single_word": True}), ("Été", {"normalized": True, "single_word": True}), ("[x]", {})])


def add(data: dict, flags: list[tuple[str, dict]]) -> None:
    vocab = data["model"]["vocab"]
    new = iter(range(len(vocab), len(vocab) + len(flags)))
    for content, changes in flags:
        index = vocab[content] if content in vocab else next(new)
        data["added_tokens"].append(dict(data["added_tokens"][0], content=content, id=index, special=False) | changes)


def wide_ids(data: dict) -> None:
    """Ids past 65,535: the merges' tokens move up, fillers take their places."""
    vocab = data["model"]["vocab"]
    for text in list(vocab)[len(SPECIAL) :]:
        vocab[text] += 70_000
    vocab.update({f"<filler {n}>": n for n in range(len(SPECIAL), 70_000 + len(SPECIAL))})


def whole_words(data: dict) -> None:
    """ignore_merges, with most merges gone: the words of the vocabulary are reached whole or not at all."""
    data["model"]["ignore_merges"] = True
    data["model"]["merges"] = data["model"]["merges"][:150]


def string_merges(data: dict) -> None:
    data["model"]["merges"] = ["#version: 0.2", *(" ".join(pair) for pair in data["model"]["merges"])]


def byte_level(name: str) -> cuts.PreTokenizer:
    return cuts.Sequence([split(PATTERNS[name]), plain_bytes()])


def deepseek() -> cuts.PreTokenizer:
    return cuts.Sequence([split(r"\p{N}{1,3}"), split(CJK), split(WORDS_ONLY), plain_bytes()])


def starcoder() -> cuts.PreTokenizer:
    return cuts.Sequence([cuts.Digits(individual_digits=True), cuts.ByteLevel(add_prefix_space=False)])


def falcon() -> cuts.PreTokenizer:
    three_digits = split(r"[0-9][0-9][0-9]")
    return cuts.Sequence([cuts.Punctuation("contiguous"), cuts.ByteLevel(add_prefix_space=False), three_digits])


def metaspace() -> bytes:
    decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    change = lambda data: data["model"].update(byte_fallback=True, fuse_unk=True)  # noqa: E731
    return on_characters(cuts.Metaspace(), decoder=decoder, byte_tokens=True, change=change)


def llama2_file() -> bytes:
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    return on_characters(cuts.Metaspace(), decoder=decoders.Sequence(parts), byte_tokens=True, change=llama2)


def unknown_fused() -> bytes:
    fuse = lambda data: data["model"].update(fuse_unk=True)  # noqa: E731
    return on_characters(cuts.WhitespaceSplit(), normalizer=normalizers.Lowercase(), change=fuse)


BUILDERS: dict[str, Callable[[], bytes]] = {
    "french": lambda: trained(byte_level("french"), change=add_tokens),
    "gpt2": lambda: trained(cuts.ByteLevel(add_prefix_space=False)),
    "llama3": lambda: trained(byte_level("llama3")),
    "llama3, whole words first": lambda: trained(byte_level("llama3"), change=whole_words),
    "qwen2, NFC": lambda: trained(byte_level("qwen2"), normalizer=normalizers.NFC(), change=add_tokens),
    "bloom": lambda: trained(byte_level("bloom"), change=string_merges),
    "o200k": lambda: trained(cuts.Sequence([split(O200K), plain_bytes()])),
    "neox": lambda: trained(cuts.ByteLevel(add_prefix_space=False), normalizer=normalizers.NFC(), change=add_tokens),
    "roberta": lambda: trained(cuts.ByteLevel(add_prefix_space=True)),
    "single words, lowercase": lambda: trained(
        byte_level("gpt2"), normalizer=normalizers.Lowercase(), change=add_single_words
    ),
    "ids past 65,535": lambda: trained(byte_level("french"), change=wide_ids),
    "few merges": lambda: trained(byte_level("french"), vocab_size=300),
    "many merges": lambda: trained(byte_level("llama3"), vocab_size=6000),
    "starcoder": lambda: trained(starcoder()),
    "falcon": lambda: trained(falcon()),
    "deepseek": lambda: trained(deepseek()),
    "the original's: NFKC, Whitespace, <unk>": lambda: on_characters(cuts.Whitespace(), normalizer=normalizers.NFKC()),
    "lowercase, unknown characters fused": unknown_fused,
    "metaspace, byte fallback": metaspace,
    "llama2": llama2_file,
}


@functools.cache
def tokenizer_of(kind: str) -> bytes:
    """The tokenizer.json of a kind of BUILDERS."""
    return BUILDERS[kind]()
