"""Trains a byte-level BPE tokenizer and writes its folder. Reading corpora is corpus/sources, using it tokenizer.py."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, decoders, models, pre_tokenizers

from jarvis_nano.errors import UserError
from jarvis_nano.kernels import BpeTrainer
from jarvis_nano.kernels.bpe.patterns import TRAINABLE
from jarvis_nano.tokenizer import FILES, SPECIAL_TOKENS, Tokenizer, write_files

SMALLEST = 256 + len(SPECIAL_TOKENS)  # every byte has an id, so that every text has ids
SAMPLE_BYTES = 4 << 20  # of the corpus, kept to measure bytes per token

# The conversation of chat.py, for those who load the tokenizer with transformers.
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] not in ['system', 'user', 'assistant'] -%}"
    "{{- raise_exception('unknown role ' ~ message['role'] ~ '; expected system, user or assistant') -}}"
    "{%- endif -%}"
    "{{- '<|' ~ message['role'] ~ '|>' -}}{{- message['content'] -}}{{- '<|end|>' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- else -%}{{- '</s>' -}}{%- endif -%}"
)


@dataclass(frozen=True)
class TrainingReport:
    """What a training gave. bytes_per_token is of UTF-8, measured on the first 4 MiB of the corpus."""

    tokenizer: Tokenizer
    n_documents: int
    n_bytes: int
    bytes_per_token: float
    seconds: float


def train_tokenizer(
    texts: Iterable[str],
    out: Path | str,
    *,
    vocab_size: int,
    pattern: str = "french",
    on_read: Callable[[int], object] | None = None,
    on_merge: Callable[[int, int], object] | None = None,
) -> TrainingReport:
    """Train byte-level BPE on texts and write tokenizer.json and its two companions into the folder `out`.

    pattern: a name of kernels.bpe.patterns.TRAINABLE. The texts are read once, as they come; the same texts give the
    same files. Progress: on_read(bytes of UTF-8 so far), then on_merge(merges done, merges wanted). UserError on a
    pattern or size that cannot be, an empty corpus, or one too small for the vocabulary; nothing is written then.
    """
    started = time.perf_counter()
    _check(Path(out), vocab_size, pattern)
    reading = _Reading(texts)
    trainer = BpeTrainer(vocab_size=vocab_size, pattern=pattern, special_tokens=SPECIAL_TOKENS)
    trainer.feed(reading, progress=on_read)
    if trainer.n_bytes == 0:
        raise UserError("the corpus holds no text; give files with text in them")
    merges, vocab = trainer.train(progress=on_merge, allow_fewer=True)
    if len(vocab) < vocab_size:
        raise UserError(
            f"the corpus of {trainer.n_bytes} bytes reaches only {len(vocab)} of {vocab_size} tokens; "
            f"pass --vocab-size {len(vocab)} or less, or give more text"
        )
    library = _library(pattern, merges, vocab)
    files = {FILES[0]: library.to_str(pretty=True).encode(), FILES[1]: _config(), FILES[2]: _special_tokens_map()}
    tokenizer = Tokenizer(files)
    n_tokens = sum(len(tokenizer.encode(text)) for text in reading.sample)
    write_files(Path(out), files)
    bytes_per_token = sum(len(text.encode()) for text in reading.sample) / n_tokens
    seconds = time.perf_counter() - started
    return TrainingReport(tokenizer, trainer.n_texts, trainer.n_bytes, bytes_per_token, seconds)


def _check(out: Path, vocab_size: int, pattern: str) -> None:
    if pattern not in TRAINABLE:
        raise UserError(f"no pattern {pattern!r}; choose one of {', '.join(TRAINABLE)}")
    if vocab_size < SMALLEST:
        raise UserError(
            f"a vocabulary of {vocab_size} is too small: 256 bytes and {len(SPECIAL_TOKENS)} special tokens need "
            f"{SMALLEST}; pass --vocab-size {SMALLEST} or more"
        )
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file; pass a folder as --out")
    _check_writable(out)


def _check_writable(out: Path) -> None:
    # Before the training, which takes minutes; the probe is the nearest folder that is already there.
    folder = next(parent for parent in [out, *out.absolute().parents] if parent.exists())
    if not folder.is_dir():
        raise UserError(f"{folder} is a file; {out} cannot be made inside it")
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UserError(f"cannot write in {folder} ({error.strerror}); choose a folder you may write to") from error


class _Reading:
    """Passes texts to the trainer, keeping the first few to measure with."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = texts
        self.sample: list[str] = []

    def __iter__(self) -> Iterator[str]:
        n_bytes = 0
        for text in self._texts:
            if n_bytes < SAMPLE_BYTES and text:
                self.sample.append(text[:SAMPLE_BYTES])
                n_bytes += len(text.encode("utf-8", "replace"))  # the trainer refuses what is not UTF-8
            yield text


def _library(pattern: str, merges: list[tuple[str, str]], vocab: dict[str, int]) -> tokenizers.Tokenizer:
    """What tokenizer.json is written from: the library knows its own format."""
    tokenizer = tokenizers.Tokenizer(models.BPE(vocab=vocab, merges=merges))
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pattern == "gpt2")
    split = pre_tokenizers.Split(tokenizers.Regex(TRAINABLE[pattern]), behavior="isolated")
    tokenizer.pre_tokenizer = byte_level if pattern == "gpt2" else pre_tokenizers.Sequence([split, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIAL_TOKENS])
    return tokenizer


def _special_tokens_map() -> bytes:
    return _json({"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"})


def _config() -> bytes:
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    return _json(
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "added_tokens_decoder": {str(i): {"content": text, **flags} for i, text in enumerate(SPECIAL_TOKENS)},
            "bos_token": "<s>",
            "eos_token": "</s>",
            "pad_token": "<pad>",
            "unk_token": "<unk>",
            "chat_template": CHAT_TEMPLATE,
            "clean_up_tokenization_spaces": False,
            "model_max_length": 10**30,  # transformers' own sign for "no limit": the model knows its context
        }
    )


def _json(value: dict) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode()
