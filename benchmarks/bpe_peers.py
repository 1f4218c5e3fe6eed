"""The tokenizers that bench_bpe.py races, each by its fastest route for each case. A case that a peer lacks is None.

Installed or not is asked by name; every peer loads the same tokenizer.json. `fresh` is what a call may consume: a str
keeps the UTF-8 that somebody asked of it, so every round gets new objects, made outside the clock.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from jarvis_nano.kernels import BpeEncoder
from jarvis_nano.kernels.bpe.patterns import PATTERNS
from jarvis_nano.kernels.bpe.tokenizer_file import parse

Call = Callable[[Any], Any]
Peer = dict[str, Call]
NAMES = ("ours", "gigatoken", "fastokens", "tiktoken", "tokenizers")
# Which patterns each peer can run; a peer not named runs all.
RUNS = {"gigatoken": ("gpt2", "llama3"), "fastokens": ("gpt2", "llama3")}
# tokenizers slows down with the length of one text (a second a megabyte): it gets the first tenth.
PART = {"tokenizers": 10}


def installed(pattern: str) -> list[str]:
    """The peers that are here and know the pattern, ours first."""
    return [name for name in NAMES if (name == "ours" or find_spec(name)) and pattern in RUNS.get(name, (pattern,))]


def versions() -> dict[str, str]:
    return {name: version(name) for name in NAMES[1:] if find_spec(name)}


def train(texts: list[str], pattern: str, vocab_size: int) -> bytes:
    """A tokenizer.json by the tokenizers library. GPT-2's pattern as its files write it: gigatoken knows no other."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    if pattern == "gpt2":
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    else:
        split = pre_tokenizers.Split(tokenizers.Regex(PATTERNS[pattern]), behavior="isolated")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer.to_str().encode()


def load(name: str, path: Path, pattern: str, threads: int) -> Peer:
    """The calls of one peer: case -> function of what `fresh` made for that case."""
    return {"ours": ours, "gigatoken": gigatoken, "fastokens": fastokens, "tiktoken": tiktoken, "tokenizers": library}[
        name
    ](path, pattern, threads)


def ours(path: Path, pattern: str, threads: int) -> Peer:
    encoder = BpeEncoder(path, n_threads=threads)
    assert encoder.native, f"no native path for {path}: {encoder.why_not}"
    return {
        "bytes": encoder.encode,
        "first pass": lambda pair: pair[0].encode(pair[1]),
        "fresh encoder": lambda _: BpeEncoder(path, n_threads=threads),
        "str": encoder.encode,
        "flat": encoder.encode_batch,
        "lists": lambda texts: encoder.encode_batch(texts, as_lists=True),
        "numpy": encoder.encode,
        "list": encoder.encode_list,
        "decode bytes": encoder.decode_bytes,
        "decode str": encoder.decode,
        "load": lambda _: BpeEncoder(path),
        "count": encoder.count,
    }


def gigatoken(path: Path, pattern: str, threads: int) -> Peer:
    from gigatoken import Tokenizer

    tokenizer, many = Tokenizer(path), threads > 1
    return {
        "bytes": tokenizer.encode,
        "first pass": lambda pair: pair[0].encode(pair[1]),
        "fresh encoder": lambda _: Tokenizer(path),
        "str": tokenizer.encode,
        "flat": lambda texts: tokenizer.encode_batch(texts, parallel=many),
        "lists": lambda texts: tokenizer.encode_batch_list(texts, parallel=many),
        "numpy": tokenizer.encode,
        "list": lambda text: tokenizer.encode(text).tolist(),
        "decode bytes": tokenizer.decode,
        "decode str": lambda ids: tokenizer.decode(ids).decode("utf-8", "replace"),
        "load": lambda _: Tokenizer(path),
    }


def fastokens(path: Path, pattern: str, threads: int) -> Peer:
    from fastokens import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    return {
        "str": lambda text: _flat(*tokenizer.encode_batch_flat([text]))[0],
        "flat": lambda texts: _flat(*tokenizer.encode_batch_flat(texts)),
        "lists": lambda texts: [row.ids for row in tokenizer.encode_batch(texts)],
        "list": lambda text: tokenizer.encode_ordinary(text).ids,
        "decode str": tokenizer.decode,
        "load": lambda _: Tokenizer.from_file(str(path)),
    }


def _flat(ids: bytes, offsets: bytes) -> tuple[np.ndarray, np.ndarray]:
    return np.frombuffer(ids, np.uint32), np.frombuffer(offsets, np.uint64)


def tiktoken(path: Path, pattern: str, threads: int) -> Peer:
    import tiktoken

    # Without an added token the ids of a trained vocabulary are ranks: the alphabet, then the merges in their order.
    ranks = {word: index for index, word in enumerate(parse(path.read_bytes()).token_bytes())}
    encoding = tiktoken.Encoding(name=pattern, pat_str=PATTERNS[pattern], mergeable_ranks=ranks, special_tokens={})

    def batch(texts: list[str]) -> list[list[int]]:
        if threads == 1:  # its batches go through a pool of threads even where one is asked for
            return [encoding.encode_ordinary(text) for text in texts]
        return encoding.encode_ordinary_batch(texts, num_threads=threads)

    return {
        "str": lambda text: encoding.encode_to_numpy(text, disallowed_special=()),
        "lists": batch,
        "numpy": lambda text: encoding.encode_to_numpy(text, disallowed_special=()),
        "list": encoding.encode_ordinary,
        "decode bytes": lambda ids: encoding.decode_bytes(ids),
        "decode str": lambda ids: encoding.decode(ids),
    }


def library(path: Path, pattern: str, threads: int) -> Peer:
    tokenizer = tokenizers.Tokenizer.from_file(str(path))
    return {
        "str": lambda text: tokenizer.encode(text).ids,
        "lists": lambda texts: [row.ids for row in tokenizer.encode_batch_fast(texts)],
        "list": lambda text: tokenizer.encode(text).ids,
        "decode str": tokenizer.decode,
        "load": lambda _: tokenizers.Tokenizer.from_file(str(path)),
    }


def as_list(result: Any) -> list[int]:
    """The ids of any peer's result, whatever its shape, one after the other."""
    if isinstance(result, tuple):
        return np.asarray(result[0]).tolist()
    if isinstance(result, np.ndarray):
        return result.tolist()
    if isinstance(result, list):
        return [index for row in result for index in row] if result and isinstance(result[0], list) else result
    import awkward

    return awkward.flatten(result).to_list()
