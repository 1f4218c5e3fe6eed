"""Before the first step: from texts (the built-in ones or the user's) to a tokenizer and shards, kept under data/.

Rank 0 prepares; each part is written beside and renamed, and found again by a hash of what it is made from.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import get_args

from jarvis_nano.corpus import holdout
from jarvis_nano.corpus.builtin import MAX_VOCABULARY, Builtin
from jarvis_nano.corpus.documents import write_corpus
from jarvis_nano.corpus.sources import fingerprint, read_documents
from jarvis_nano.corpus.split import Split
from jarvis_nano.corpus.writing import folder_beside
from jarvis_nano.data.shard_writer import write_shards
from jarvis_nano.errors import UserError
from jarvis_nano.tokenizer import Tokenizer
from jarvis_nano.tokenizer_training import train_tokenizer

DATA = Path("data")


@dataclass(frozen=True)
class Prepared:
    """Where the pieces lie."""

    tokenizer: Path
    shards: Path


def builtin_folder(builtin: Builtin, vocab_size: int) -> Path:
    """data/builtin-<hash>, written if it is not there: the corpus, the instructions and a tokenizer for both."""
    vocab_size = min(vocab_size, MAX_VOCABULARY)
    folder = DATA / f"builtin-{_hash(builtin.fingerprint(), vocab_size)}"
    with _unless_there(folder) as missing:
        if missing:
            with folder_beside(folder) as beside:
                write_corpus(builtin.documents(), beside / "corpus", licence="MIT", settings={"seed": builtin.seed})
                for split in get_args(Split):
                    builtin.write_instructions(beside / f"instructions-{split}.jsonl", split)
                texts = chain(_training_texts([beside / "corpus"]), builtin.instruction_texts())
                train_tokenizer(texts, beside / "tokenizer", vocab_size=vocab_size)
    return folder


@contextlib.contextmanager
def _unless_there(folder: Path) -> Iterator[bool]:
    """Whether the folder has to be written; where another run writes the same one meanwhile, its folder serves."""
    missing = not folder.exists()
    try:
        yield missing
    except UserError:
        if not (missing and folder.exists()):
            raise


def prepare(data: Sequence[str], tokenizer: str, vocab_size: int) -> Prepared:
    """Shards of the given corpora (none: the built-in one), with the given tokenizer (none: one trained on them)."""
    if data:
        inputs, source = [Path(name) for name in data], source_folder(data)
        trained = source / f"tokenizer-{vocab_size}"
    else:
        source = builtin_folder(Builtin(), vocab_size)
        inputs, trained = [source / "corpus"], source / "tokenizer"
    place = Path(tokenizer) if tokenizer else trained
    if not tokenizer and not (place / "tokenizer.json").exists():
        train_tokenizer(_training_texts(inputs), place, vocab_size=vocab_size)
    loaded = Tokenizer.load(place)
    shards = source / f"shards-{loaded.hash[:12]}"
    with _unless_there(shards) as missing:
        if missing:
            write_shards(read_documents(inputs), loaded, shards)
    return Prepared(place, shards)


def source_folder(data: Sequence[str]) -> Path:
    """Where what is made of the user's texts lies: the same folder as long as the texts are the same."""
    return DATA / f"{Path(data[0]).stem or 'corpus'}-{fingerprint(data)[:12]}"


def _training_texts(inputs: Sequence[Path]) -> Iterator[str]:
    """What is not held out: the tokenizer, too, must not have seen the validation text."""
    return (text for split, text in holdout.split(read_documents(inputs)) if split == holdout.TRAIN)


def _hash(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
