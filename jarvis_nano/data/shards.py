"""Files of ids read through memory maps: shard_writer.py writes them, batches.py cuts them. No torch here.

A folder of shards: train-00000.bin …, val-00000.bin …, and shards.json, which lists them with their counts.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jarvis_nano.corpus import holdout
from jarvis_nano.errors import UserError
from jarvis_nano.kernels.bpe.files import HEADER, MAGIC, dtype_for
from jarvis_nano.kernels.bpe.files import VERSION as SHARD_VERSION

FORMAT = "jarvis_nano-shards"
INDEX = "shards.json"
VERSION = 2
_READABLE = (1, 2)  # in 1, the hashes of the sources were of their texts joined


@dataclass(frozen=True)
class Shards:
    """One split of a folder of shards, as one long array of ids: `doc </s> doc </s> …`."""

    folder: Path
    split: str
    parts: tuple[np.ndarray, ...]
    starts: np.ndarray
    """(parts + 1,) int64: where each part begins in the whole; the last entry is the number of ids."""
    index: dict[str, Any]

    @classmethod
    def open(cls, folder: Path | str, split: str = holdout.TRAIN, *, tokenizer_hash: str | None = None) -> Shards:
        """Map the files of a split, having checked names, magic, version, sizes and tokenizer. UserError on a misfit.

        A split without text (a corpus of one document holds nothing out) opens as an empty one.
        """
        folder = Path(folder)
        index = _read_index(folder)
        if tokenizer_hash is not None and tokenizer_hash != index["tokenizer"]:
            raise UserError(
                f"{folder} was encoded with the tokenizer {index['tokenizer'][:12]}, the one given is "
                f"{tokenizer_hash[:12]}; give that one, or encode the corpus again into another folder"
            )
        if split not in index["splits"]:
            raise UserError(f"{folder} has no split {split!r}; it has {', '.join(index['splits'])}")
        dtype = dtype_for(index["vocab_size"])
        files = index["splits"][split]["files"]
        parts = tuple(_map(folder / entry["name"], entry["tokens"], dtype, index["tokenizer"]) for entry in files)
        starts = np.cumsum([0, *(len(part) for part in parts)], dtype=np.int64)
        return cls(folder, split, parts, starts, index)

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def text_bytes(self) -> int:
        """UTF-8 bytes of the text that these ids stand for; the `</s>` count for nothing."""
        return int(self.index["splits"][self.split]["text_bytes"])

    @property
    def n_documents(self) -> int:
        return int(self.index["splits"][self.split]["documents"])

    @property
    def end_id(self) -> int:
        """The id of `</s>`."""
        return int(self.index["end_id"])

    @property
    def vocab_size(self) -> int:
        return int(self.index["vocab_size"])

    def read(self, start: int, length: int) -> np.ndarray:
        """The ids [start, start + length) as int64, going round: the first id follows the last."""
        out = np.empty(length, dtype=np.int64)
        done = 0
        while done < length:
            at = (start + done) % len(self)
            part = int(np.searchsorted(self.starts, at, side="right")) - 1
            offset = at - int(self.starts[part])
            ids = self.parts[part][offset : offset + length - done]
            out[done : done + len(ids)] = ids
            done += len(ids)
        return out

    def verify(self) -> None:
        """Compare every id with the SHA-256 written beside it (1 GB/s); UserError names the file that changed."""
        for part, entry in zip(self.parts, self.index["splits"][self.split]["files"], strict=True):
            if hashlib.sha256(part.data).hexdigest() != entry["sha256"]:
                raise UserError(f"{self.folder / entry['name']} has changed since it was written; encode it again")


def _read_index(folder: Path) -> dict[str, Any]:
    path = folder / INDEX
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"{folder} is no folder of shards: it has no {INDEX}; encode a corpus into it first") from error
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}); encode the corpus again") from error
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        raise UserError(f"{path} does not describe shards; expected the format {FORMAT}")
    if index.get("version") not in _READABLE:
        raise UserError(f"{path} has version {index.get('version')}, this program reads {VERSION}; encode it again")
    return index


def _map(path: Path, tokens: int, dtype: np.dtype[Any], tokenizer_hash: str) -> np.ndarray:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(HEADER.size)
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing, though {INDEX} lists it; encode the corpus again") from error
    if len(head) < HEADER.size or not head.startswith(MAGIC):
        raise UserError(f"{path} is no shard: it begins with {head[:8]!r}, expected {MAGIC!r}; encode the corpus again")
    _, version, itemsize, count, tokenizer = HEADER.unpack(head)
    if version != SHARD_VERSION:
        raise UserError(f"{path} has version {version}, this program reads {SHARD_VERSION}; encode the corpus again")
    if itemsize != dtype.itemsize or count != tokens or tokenizer.hex() != tokenizer_hash:
        raise UserError(
            f"{path} holds {count:,} ids of {itemsize} bytes from the tokenizer {tokenizer.hex()[:12]}, but {INDEX} "
            f"lists {tokens:,} of {dtype.itemsize} from {tokenizer_hash[:12]}; encode the corpus again"
        )
    expected = HEADER.size + count * itemsize
    if size != expected:
        raise UserError(f"{path} has {size:,} bytes, expected {expected:,}: it was cut short; encode the corpus again")
    # As a plain array: slicing a memmap object costs 5 times as much.
    return np.asarray(np.memmap(path, dtype=dtype, mode="r", offset=HEADER.size, shape=(count,)))
