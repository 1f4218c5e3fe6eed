"""One tokenizer measured on texts: every figure of the comparison, as data. Showing them is table.py."""

from __future__ import annotations

import dataclasses
import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jarvis_nano.config import PRESETS
from jarvis_nano.errors import UserError
from jarvis_nano.tokenizer import Tokenizer
from jarvis_nano.tokenizer_lab.cuts import (
    ACCENTED,
    ELISIONS,
    NUMBERS,
    SIGNS,
    Cuts,
    capital_cost,
    count_cuts,
    number_shapes,
    shown,
    tokens_each,
    unknown_characters,
)
from jarvis_nano.tokenizer_lab.loading import load
from jarvis_nano.tokenizer_lab.losses import BitsPerByte, bits_per_byte, round_trips
from jarvis_nano.tokenizer_lab.settings import FileSettings
from jarvis_nano.tokenizer_lab.texts import Texts, halves

SPEED_BYTES = 1 << 20
COMMON = frozenset(
    ("le", "la", "les", "de", "du", "des", "un", "une", "et", "à", "que", "qui", "dans", "en", "il", "elle", "est")
    + ("pas", "ne", "se", "ce", "au", "je", "on")
)


@dataclass(frozen=True)
class Use:
    """How much of the vocabulary the texts need. Special tokens are not counted."""

    never: int
    once: int
    doubled: int  # tokens that are there with a space before them too


@dataclass(frozen=True)
class Cost:
    """What the vocabulary asks of a model of one preset of config.py."""

    embedding_parameters: int
    flops_per_byte: float  # of training: forward and backward
    steps_per_100_mb: float  # of the preset's batch


@dataclass(frozen=True)
class Comparison:
    """The figures of one tokenizer. Shares are of 1; nan where the texts hold nothing of the kind."""

    name: str
    path: str
    hash: str
    vocab_size: int
    pattern: str
    bytes_per_token: float
    characters_per_token: float
    unknown_share: float
    cuts: Cuts
    accents: float
    signs: float
    lost_characters: str
    capital: float
    upper: float
    elisions: dict[str, str]
    numbers: dict[str, str]
    number_shapes: list[tuple[str, str]]
    lines: int
    lines_lost: int
    examples: list[tuple[str, str]]
    use: Use
    megabytes_per_second: float
    bits: BitsPerByte
    costs: dict[str, Cost]

    def as_json(self) -> dict[str, Any]:
        """Plain values; null for nan."""
        values = dataclasses.asdict(self)
        values["cuts"] |= {"fertility": self.cuts.fertility, "kept_share": self.cuts.kept_share}
        values["bits"]["total"] = self.bits.total
        return without_nan(values)


def load_all(paths: Sequence[Path]) -> list[tuple[str, Tokenizer]]:
    """(a short name that no two share, the tokenizer) of each path. UserError on what cannot be loaded."""
    loaded = [(path, load(path).tokenizer) for path in paths]
    whole = [(path.parent if path.is_file() else path).absolute().parts for path, _ in loaded]
    for n_parts in range(1, 1 + max(map(len, whole), default=0)):
        names = ["/".join(parts[-n_parts:]) for parts in whole]
        if len(set(names)) == len(names):
            break
    else:  # the same folder twice, or two files in one
        names = [f"{parts[-1]} ({number})" for number, parts in enumerate(whole, start=1)]
    return [(name, tokenizer) for name, (_, tokenizer) in zip(names, loaded, strict=True)]


def compare(paths: Sequence[Path], texts: Texts, *, on_step: Callable[[str], object] | None = None) -> list[Comparison]:
    """Every tokenizer measured on the same texts. on_step is told the name of the one at work."""
    if not paths:
        raise UserError("nothing to compare: name tokenizer folders after --compare")
    found = []
    for path, (name, tokenizer) in zip(paths, load_all(paths), strict=True):
        if on_step is not None:
            on_step(name)
        found.append(measure(name, path, tokenizer, texts))
    return found


def measure(name: str, path: Path, tokenizer: Tokenizer, texts: Texts) -> Comparison:
    """All figures of one tokenizer."""
    measured = texts.measured
    ids = [tokenizer.encode(text) for text in measured]
    n_tokens = max(1, sum(map(len, ids)))
    unknown = FileSettings(tokenizer.encoder.raw).unknown
    unknown_id = None if unknown is None else _id_of(tokenizer, unknown)
    n_unknown = 0 if unknown_id is None else sum(int((row == unknown_id).sum()) for row in ids)
    lost, lines, examples = round_trips(tokenizer, measured)
    capital, upper = capital_cost(tokenizer, measured)
    bytes_per_token = texts.n_bytes / n_tokens
    return Comparison(
        name=name,
        path=str(path),
        hash=tokenizer.hash,
        vocab_size=tokenizer.vocab_size,
        pattern=tokenizer.encoder.scanner,
        bytes_per_token=bytes_per_token,
        characters_per_token=sum(map(len, measured)) / n_tokens,
        unknown_share=n_unknown / n_tokens,
        cuts=count_cuts(tokenizer, measured),
        accents=tokens_each(tokenizer, ACCENTED),
        signs=tokens_each(tokenizer, SIGNS),
        lost_characters=unknown_characters(tokenizer, ACCENTED + SIGNS),
        capital=capital,
        upper=upper,
        elisions={text: shown(tokenizer, text) for text in ELISIONS},
        numbers={text: shown(tokenizer, text) for text in NUMBERS},
        number_shapes=number_shapes(tokenizer),
        lines=lines,
        lines_lost=lost,
        examples=[(one.text, one.back) for one in examples],
        use=vocabulary_use(tokenizer, ids),
        megabytes_per_second=speed(tokenizer, measured),
        bits=bits_per_byte(tokenizer, *halves(texts)),
        costs={name: _cost(name, tokenizer.vocab_size, bytes_per_token) for name in PRESETS},
    )


def vocabulary_use(tokenizer: Tokenizer, ids: Sequence[np.ndarray]) -> Use:
    """Of the ids that have a token and are not special."""
    counts = np.zeros(tokenizer.vocab_size, dtype=np.int64)
    for row in ids:
        counts += np.bincount(row, minlength=len(counts))
    added = set(tokenizer.encoder.added_tokens.values())
    pieces = {tokenizer.piece(index): index for index in range(tokenizer.vocab_size) if index not in added}
    pieces.pop("", None)
    used = counts[list(pieces.values())]
    space = "▁" if FileSettings(tokenizer.encoder.raw).marks_spaces else " "
    doubled = sum(1 for piece in pieces if piece and not piece.startswith(space) and space + piece in pieces)
    return Use(never=int((used == 0).sum()), once=int((used == 1).sum()), doubled=doubled)


def speed(tokenizer: Tokenizer, texts: Sequence[str]) -> float:
    """MB of UTF-8 a second of one core's time, the best of three passes over at most 1 MiB."""
    chosen, n_bytes = [], 0
    for text in texts:
        chosen.append(text)
        n_bytes += len(text.encode())
        if n_bytes >= SPEED_BYTES:
            break
    best = math.inf
    for _ in range(3):
        started = time.process_time()
        tokenizer.encode_batch(chosen)
        best = min(best, time.process_time() - started)
    return n_bytes / 1e6 / max(best, 1e-9)


def french_share(texts: Sequence[str]) -> float:
    """The share of words that are among the commonest of French: about a third in French, under a tenth elsewhere."""
    n_words = n_common = 0
    for text in texts[:200]:
        words = re.findall(r"[^\W\d_]+", text.lower())
        n_words += len(words)
        n_common += sum(word in COMMON for word in words)
    return n_common / n_words if n_words else 0.0


def _cost(preset: str, vocab_size: int, bytes_per_token: float) -> Cost:
    model, train = PRESETS[preset].model, PRESETS[preset].train
    model = dataclasses.replace(model, vocab_size=vocab_size)
    n_matrices = 1 if model.tie_embeddings else 2
    return Cost(
        embedding_parameters=n_matrices * vocab_size * model.d_model,
        flops_per_byte=model.flops_per_token / bytes_per_token,
        steps_per_100_mb=1e8 / bytes_per_token / (train.batch_size * model.context),
    )


def _id_of(tokenizer: Tokenizer, token: str) -> int | None:
    vocab = FileSettings(tokenizer.encoder.raw).model["vocab"]
    return tokenizer.encoder.added_tokens.get(token, vocab.get(token))


def without_nan(value: Any) -> Any:
    """The same with null for nan, which JSON does not have."""
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, dict):
        return {key: without_nan(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(one) for one in value]
    return value
