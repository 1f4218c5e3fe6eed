"""Documents to files of ids, and those files read back through memory maps. No torch here; batches.py cuts them.

A folder of shards: train-00000.bin …, val-00000.bin …, and shards.json, which lists them with their counts.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from jarvis_nano.corpus import holdout
from jarvis_nano.corpus.documents import Document, SourceCounts, encoded, write_json
from jarvis_nano.corpus.writing import folder_beside
from jarvis_nano.errors import UserError

FORMAT = "jarvis_nano-shards"
INDEX = "shards.json"
MAGIC = b"JNSHARD\0"
VERSION = 1
# magic, version, bytes an id, number of ids, SHA-256 of tokenizer.json, 8 bytes for later: 64, so that ids are aligned
HEADER = struct.Struct("<8sIIQ32s8x")
END = "</s>"
TOKENS_PER_SHARD = 100_000_000
_BATCH_CHARACTERS = 4 << 20


class Encoder(Protocol):
    """What is needed of a Tokenizer."""

    hash: str

    @property
    def vocab_size(self) -> int: ...

    def encode_batch(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]: ...

    def special_id(self, text: str) -> int: ...


def write_shards(
    documents: Iterable[Document],
    tokenizer: Encoder,
    out: Path | str,
    *,
    validation: Iterable[Document] | None = None,
    validation_fraction: float = holdout.FRACTION,
    validation_bytes: int = holdout.MAX_BYTES,
    tokens_per_shard: int = TOKENS_PER_SHARD,
    show_progress: bool = True,
) -> dict[str, Any]:
    """Encode the documents, each followed by `</s>`, into the folder `out`; return what shards.json holds.

    A part is held out as corpus/holdout.py says, or, with `validation`, exactly those documents. Streaming: memory
    does not grow with the corpus. All or nothing: whatever happens, `out` is complete or not there.
    UserError where `out` is taken or there is no text; whatever the documents' reader raises.
    """
    if not 0 <= validation_fraction < 1:
        raise UserError(f"the validation fraction is {validation_fraction}; expected 0 (none) or a part of 1, as 0.01")
    counts = SourceCounts()
    fraction = validation_fraction if validation is None else 0.0
    texts = holdout.split(_counted(documents, counts), fraction=fraction, max_bytes=validation_bytes)
    if validation is not None:
        texts = _followed_by(texts, _counted(validation, counts))
    with folder_beside(Path(out)) as folder:
        writers = {split: _SplitWriter(folder, split, tokenizer, tokens_per_shard) for split in holdout.SPLITS}
        try:
            _encode_all(texts, tokenizer, writers, show_progress)
        finally:
            splits = {split: writer.close() for split, writer in writers.items()}
        if not splits[holdout.TRAIN]["tokens"]:
            raise UserError(f"no text to write to {out}: every document is empty")
        index = {
            "format": FORMAT,
            "version": VERSION,
            "tokenizer": tokenizer.hash,
            "vocab_size": tokenizer.vocab_size,
            "end_id": tokenizer.special_id(END),
            "settings": {
                "validation": "given" if validation is not None else "by hash",
                "validation_fraction": fraction,
                "validation_bytes": validation_bytes,
                "piece_characters": holdout.PIECE,
            },
            "splits": splits,
            "text_sha256": counts.sha256,
            "sources": counts.as_json(),
        }
        write_json(folder / INDEX, index)
    return index


def _counted(documents: Iterable[Document], counts: SourceCounts) -> Iterator[Document]:
    for document in documents:
        counts.add(document, encoded(document))
        yield document


def _followed_by(texts: Iterator[tuple[str, str]], validation: Iterable[Document]) -> Iterator[tuple[str, str]]:
    yield from texts
    for document in validation:
        if document.text.strip():
            yield holdout.VALIDATION, document.text.strip("\n")


def _encode_all(
    texts: Iterable[tuple[str, str]], tokenizer: Encoder, writers: dict[str, _SplitWriter], show_progress: bool
) -> None:
    """Encode in batches of 4 million characters: enough to keep all threads of the encoder busy."""
    end_id = tokenizer.special_id(END)
    with _Meter(show_progress) as meter:
        for split, batch in _batches(texts):
            ids, offsets = tokenizer.encode_batch(batch)
            assert not (ids == end_id).any(), "the encoder made </s> of a corpus's text"
            n_bytes = sum(len(text.encode()) for text in batch)
            writers[split].add(np.insert(ids, offsets[1:], end_id), n_documents=len(batch), text_bytes=n_bytes)
            meter.add(n_bytes, len(ids) + len(batch))


def _batches(texts: Iterable[tuple[str, str]]) -> Iterator[tuple[str, list[str]]]:
    held: dict[str, list[str]] = {split: [] for split in holdout.SPLITS}
    sizes = dict.fromkeys(holdout.SPLITS, 0)
    for split, text in texts:
        held[split].append(text)
        sizes[split] += len(text)
        if sizes[split] >= _BATCH_CHARACTERS:
            yield split, held[split]
            held[split], sizes[split] = [], 0
    for split, batch in held.items():
        if batch:
            yield split, batch


class _SplitWriter:
    """The shards of one split, one after the other; a header gets its count when its file is full."""

    def __init__(self, folder: Path, split: str, tokenizer: Encoder, tokens_per_shard: int) -> None:
        self._folder, self._split, self._limit = folder, split, tokens_per_shard
        self._dtype = dtype_for(tokenizer.vocab_size)
        self._tokenizer_hash = bytes.fromhex(tokenizer.hash)
        self._files: list[dict[str, Any]] = []
        self._documents = self._text_bytes = self._count = 0
        self._file: Any = None

    def add(self, ids: np.ndarray, *, n_documents: int, text_bytes: int) -> None:
        self._documents += n_documents
        self._text_bytes += text_bytes
        ids = np.ascontiguousarray(ids, dtype=self._dtype)
        while len(ids):
            if self._file is None:
                self._open()
            part = ids[: self._limit - self._count]
            self._file.write(part)
            self._digest.update(part.data)
            self._count += len(part)
            ids = ids[len(part) :]
            if self._count == self._limit:
                self._finish()

    def _open(self) -> None:
        self._name = f"{self._split}-{len(self._files):05d}.bin"
        self._file = (self._folder / self._name).open("wb")
        self._file.write(bytes(HEADER.size))
        self._digest = hashlib.sha256()
        self._count = 0

    def _finish(self) -> None:
        header = HEADER.pack(MAGIC, VERSION, self._dtype.itemsize, self._count, self._tokenizer_hash)
        with self._file:
            self._file.seek(0)
            self._file.write(header)
        self._files.append({"name": self._name, "tokens": self._count, "sha256": self._digest.hexdigest()})
        self._file, self._count = None, 0

    def close(self) -> dict[str, Any]:
        if self._file is not None:
            self._finish()
        return {
            "tokens": sum(entry["tokens"] for entry in self._files),
            "documents": self._documents,
            "text_bytes": self._text_bytes,
            "files": self._files,
        }


class _Meter:
    """Megabytes and tokens so far, on stderr; nothing where stderr is no terminal."""

    def __init__(self, shown: bool) -> None:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        console = Console(stderr=True)
        self._progress = Progress(
            *columns, console=console, transient=True, disable=not (shown and console.is_terminal)
        )
        self._bytes = self._tokens = 0

    def __enter__(self) -> _Meter:
        self._progress.start()
        self._task: TaskID = self._progress.add_task("encoding")
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def add(self, n_bytes: int, n_tokens: int) -> None:
        self._bytes += n_bytes
        self._tokens += n_tokens
        elapsed = self._progress.tasks[self._task].elapsed or 1e-9
        text = f"encoded {self._bytes / 1e6:,.1f} MB into {self._tokens:,} ids, {self._bytes / 1e6 / elapsed:.1f} MB/s"
        self._progress.update(self._task, description=text)


def dtype_for(vocab_size: int) -> np.dtype[Any]:
    """uint16 where every id fits, uint32 past 65,536 ids; little-endian on every machine."""
    return np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")


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
    if index.get("version") != VERSION:
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
    if version != VERSION:
        raise UserError(f"{path} has version {version}, this program reads {VERSION}; encode the corpus again")
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
