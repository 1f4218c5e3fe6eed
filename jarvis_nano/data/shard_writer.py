"""Documents to a folder of shards (shards.py reads them): streaming, all or nothing, and resumable after a kill.

While it is written, the folder holds progress.json: what has to be known to go on from there, saved from time to time.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from jarvis_nano.corpus import holdout
from jarvis_nano.corpus.documents import MAX_NAMED_SOURCES, OTHER_SOURCES, Document, write_json
from jarvis_nano.corpus.sources import Documents, Mark
from jarvis_nano.corpus.writing import folder_beside
from jarvis_nano.data.shards import FORMAT, INDEX, VERSION
from jarvis_nano.errors import UserError
from jarvis_nano.kernels.bpe.files import HEADER, dtype_for, header

END = "</s>"
TOKENS_PER_SHARD = 100_000_000
PROGRESS = "progress.json"
_BATCH_BYTES = 4 << 20  # of text: enough to keep all threads of the encoder busy
_SAVE_EVERY = 128 << 20  # bytes of text, about a second's work: what a kill can cost


class Encoder(Protocol):
    """What is needed of a Tokenizer."""

    hash: str

    @property
    def vocab_size(self) -> int: ...

    def encode_batch(self, texts: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]: ...

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
    does not grow with the corpus. All or nothing: whatever happens, `out` is complete or not there. Where the
    documents come from read_documents (and from files, not from a pipe), the work of a process that was killed or
    interrupted is found beside `out` and gone on with, to the same bytes.
    UserError where `out` is taken or there is no text; whatever the documents' reader raises.
    """
    if tokens_per_shard < 1:
        raise UserError(f"{tokens_per_shard} tokens per shard; expected 1 or more")
    if not 0 <= validation_fraction < 1:
        raise UserError(f"the validation fraction is {validation_fraction}; expected 0 (none) or a part of 1, as 0.01")
    settings = {
        "validation": "given" if validation is not None else "by hash",
        "validation_fraction": validation_fraction if validation is None else 0.0,
        "validation_bytes": validation_bytes,
        "piece_characters": holdout.PIECE,
    }
    made_from = _made_from(documents, validation, tokenizer, [settings, tokens_per_shard])

    def can_go_on(folder: Path) -> bool:
        return made_from is not None and _read_progress(folder).get("made_from") == made_from

    with folder_beside(Path(out), can_go_on=can_go_on) as folder:
        work = _Work(folder, tokenizer, settings, tokens_per_shard)
        with _Meter(show_progress, documents if isinstance(documents, Documents) else None) as meter:
            if isinstance(documents, Documents) and work.go_on(_read_progress(folder)):
                documents.start_at(work.mark)
                meter.say(f"going on after {work.text_bytes / 1e6:,.0f} MB that are encoded already")
            try:
                work.encode(documents, meter, made_from)
                work.encode_rest(validation, meter)
            finally:
                splits = work.close()
        if not splits[holdout.TRAIN]["tokens"]:
            raise UserError(f"no text to write to {out}: every document is empty")
        index = {
            "format": FORMAT,
            "version": VERSION,
            "tokenizer": tokenizer.hash,
            "vocab_size": tokenizer.vocab_size,
            "end_id": tokenizer.special_id(END),
            "settings": settings,
            "splits": splits,
            **work.counts.as_json(),
        }
        write_json(folder / INDEX, index)
        (folder / PROGRESS).unlink(missing_ok=True)
    return index


def _made_from(
    documents: Iterable[Document], validation: Iterable[Document] | None, tokenizer: Encoder, settings: list
) -> str | None:
    """All that the shards depend on, as one string; None where the documents cannot be read a second time."""
    read = [given for given in (documents, validation) if given is not None]
    identities = [given.identity if isinstance(given, Documents) else None for given in read]
    if None in identities:
        return None
    return hashlib.sha256(json.dumps([identities, tokenizer.hash, settings]).encode()).hexdigest()


def _read_progress(folder: Path) -> dict[str, Any]:
    """What a process that went before has saved there; empty if there is nothing that can be read."""
    try:
        found = json.loads((folder / PROGRESS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and found.get("version") == VERSION else {}


class _Work:
    """The folder being written: the text that waits to be encoded, the files, and counts."""

    def __init__(self, folder: Path, tokenizer: Encoder, settings: dict[str, Any], tokens_per_shard: int) -> None:
        self._folder, self._tokenizer = folder, tokenizer
        self._end_id = tokenizer.special_id(END)
        self._splitter = holdout.Splitter(
            fraction=settings["validation_fraction"], max_bytes=settings["validation_bytes"]
        )
        self._writers = {split: _SplitWriter(folder, split, tokenizer, tokens_per_shard) for split in holdout.SPLITS}
        self._held: dict[str, list[bytes]] = {split: [] for split in holdout.SPLITS}
        self._sizes = dict.fromkeys(holdout.SPLITS, 0)
        self.counts = _Counts()
        self.mark = Mark()

    @property
    def text_bytes(self) -> int:
        return sum(writer.text_bytes for writer in self._writers.values())

    def encode(self, documents: Iterable[Document], meter: _Meter, made_from: str | None) -> None:
        """Encode what goes to training as it comes, and save how far it has come."""
        unsaved = 0
        for document in documents:
            text, utf8 = document.text, document.utf8
            self.counts.add(document.source, utf8)
            for part in self._splitter.add(text, utf8):
                self._hold(holdout.TRAIN, utf8 if part is text else part.encode(), meter)
            unsaved += len(utf8)
            if made_from is not None and unsaved >= _SAVE_EVERY:
                assert isinstance(documents, Documents)
                self._save(made_from, documents.mark, meter)
                unsaved = 0

    def encode_rest(self, validation: Iterable[Document] | None, meter: _Meter) -> None:
        """Encode what was held out, or the validation documents, and all that waits."""
        for split, text in self._splitter.finish():
            self._hold(split, text.encode(), meter)
        for document in validation or ():
            utf8 = document.utf8
            self.counts.add(document.source, utf8)
            if document.text.strip():
                self._hold(holdout.VALIDATION, utf8.strip(b"\n"), meter)
        self._encode_all_held(meter)

    def close(self) -> dict[str, dict[str, Any]]:
        """Close the files; what each split holds."""
        return {split: writer.close() for split, writer in self._writers.items()}

    def _hold(self, split: str, utf8: bytes, meter: _Meter) -> None:
        self._held[split].append(utf8)
        self._sizes[split] += len(utf8)
        if self._sizes[split] >= _BATCH_BYTES:
            self._encode_held(split, meter)

    def _encode_held(self, split: str, meter: _Meter) -> None:
        # Not on a thread beside the reading: hashing frees the interpreter lock at every document, and passing it to
        # and fro costs what is gained (measured on documents of 2 KB). The encoder has threads of its own.
        batch, n_bytes = self._held[split], self._sizes[split]
        self._held[split], self._sizes[split] = [], 0
        ids, offsets = self._tokenizer.encode_batch(batch)
        assert not (ids == self._end_id).any(), "the encoder made </s> of a corpus's text"
        ended = np.insert(ids, offsets[1:], self._end_id)
        self._writers[split].add(ended, n_documents=len(batch), text_bytes=n_bytes)
        meter.show(n_bytes)

    def _encode_all_held(self, meter: _Meter) -> None:
        for split in holdout.SPLITS:
            if self._held[split]:
                self._encode_held(split, meter)

    def _save(self, made_from: str, mark: Mark, meter: _Meter) -> None:
        """Write down, once all ids are on the disk, what go_on() needs."""
        self._encode_all_held(meter)
        progress = {
            "version": VERSION,
            "made_from": made_from,
            "mark": asdict(mark),
            "counts": self.counts.state(),
            "held_out": self._splitter.state(),
            "splits": {split: writer.state() for split, writer in self._writers.items()},
        }
        beside = self._folder / f".{PROGRESS}"
        with beside.open("w", encoding="utf-8") as file:
            json.dump(progress, file, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._folder / PROGRESS)

    def go_on(self, progress: dict[str, Any]) -> bool:
        """Take up saved progress: cut the files to what they held then. Whether there was any; if not, begin anew."""
        able = bool(progress) and all(
            writer.can_go_on(progress["splits"][split]) for split, writer in self._writers.items()
        )
        if able:
            for split, writer in self._writers.items():
                writer.go_on(progress["splits"][split])
        known = {PROGRESS, *(name for writer in self._writers.values() for name in writer.names())} if able else ()
        for path in self._folder.iterdir():
            if path.name not in known:  # a shard begun after the last saving
                path.unlink()
        if not able:
            return False
        self.counts.go_on(progress["counts"])
        self._splitter.go_on(progress["held_out"])
        self.mark = Mark(**progress["mark"])
        return True


class _Counts:
    """Documents, bytes and a hash of the texts per source, such that counting can stop and go on.

    The hash of a source is a chain, h = SHA-256(h before, then the text's bytes), from nothing: 32 bytes to keep.
    """

    def __init__(self) -> None:
        self._sources: dict[str, list[Any]] = {}

    def add(self, source: str, utf8: bytes) -> None:
        entry = self._sources.get(source)
        if entry is None:
            if len(self._sources) >= MAX_NAMED_SOURCES:
                source = OTHER_SOURCES
            entry = self._sources.setdefault(source, [0, 0, b""])
        entry[0] += 1
        entry[1] += len(utf8)
        chain = hashlib.sha256(entry[2])
        chain.update(utf8)
        entry[2] = chain.digest()

    def as_json(self) -> dict[str, Any]:
        sources = {
            name: {"documents": documents, "text_bytes": size, "chain_sha256": chain.hex()}
            for name, (documents, size, chain) in sorted(self._sources.items())
        }
        whole = hashlib.sha256("".join(entry["chain_sha256"] for entry in sources.values()).encode())
        return {"text_sha256": whole.hexdigest(), "sources": sources}

    def state(self) -> list[list[Any]]:
        return [[name, documents, size, chain.hex()] for name, (documents, size, chain) in self._sources.items()]

    def go_on(self, state: list[list[Any]]) -> None:
        self._sources = {name: [documents, size, bytes.fromhex(chain)] for name, documents, size, chain in state}


class _SplitWriter:
    """The shards of one split, one after the other; a header gets its count when its file is full."""

    def __init__(self, folder: Path, split: str, tokenizer: Encoder, tokens_per_shard: int) -> None:
        self._folder, self._split, self._limit = folder, split, tokens_per_shard
        self._dtype = dtype_for(tokenizer.vocab_size)
        self._tokenizer_hash = tokenizer.hash
        self._files: list[dict[str, Any]] = []
        self._documents = self._count = 0
        self._file: Any = None
        self.text_bytes = 0

    def add(self, ids: np.ndarray, *, n_documents: int, text_bytes: int) -> None:
        self._documents += n_documents
        self.text_bytes += text_bytes
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
        self._file = self._path.open("wb")
        self._file.write(bytes(HEADER.size))
        self._digest = hashlib.sha256()
        self._count = 0

    @property
    def _path(self) -> Path:
        return self._folder / f"{self._split}-{len(self._files):05d}.bin"

    def _finish(self) -> None:
        path = self._path
        with self._file:
            self._file.seek(0)
            self._file.write(header(self._dtype, self._count, self._tokenizer_hash))
            self._sync()
        self._files.append({"name": path.name, "tokens": self._count, "sha256": self._digest.hexdigest()})
        self._file, self._count = None, 0

    def close(self) -> dict[str, Any]:
        if self._file is not None:
            self._finish()
        return {
            "tokens": sum(entry["tokens"] for entry in self._files),
            "documents": self._documents,
            "text_bytes": self.text_bytes,
            "files": self._files,
        }

    def state(self) -> dict[str, Any]:
        """What go_on() needs, once the open file is on the disk."""
        if self._file is not None:
            self._sync()
        return {
            "files": self._files,
            "documents": self._documents,
            "text_bytes": self.text_bytes,
            "ids": self._count if self._file is not None else None,
        }

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())

    def can_go_on(self, state: dict[str, Any]) -> bool:
        """Whether the files hold what they held at the time of state()."""
        names = [*(entry["name"] for entry in state["files"]), f"{self._split}-{len(state['files']):05d}.bin"]
        counts = [*(entry["tokens"] for entry in state["files"]), state["ids"]]
        paths = [self._folder / name for name in names]
        return all(
            n_ids is None or (path.is_file() and path.stat().st_size >= HEADER.size + n_ids * self._dtype.itemsize)
            for path, n_ids in zip(paths, counts, strict=True)
        )

    def go_on(self, state: dict[str, Any]) -> None:
        """Go on from state(): what the open file got after it is cut off, and its digest taken again."""
        self._files, self._documents, self.text_bytes = state["files"], state["documents"], state["text_bytes"]
        if state["ids"] is None:
            return
        self._count = state["ids"]
        self._file = self._path.open("r+b")
        self._file.truncate(HEADER.size + self._count * self._dtype.itemsize)
        self._file.seek(HEADER.size)
        self._digest = hashlib.sha256()
        while chunk := self._file.read(1 << 20):
            self._digest.update(chunk)

    def names(self) -> list[str]:
        """The files that it has begun."""
        return [entry["name"] for entry in self._files] + ([self._path.name] if self._file is not None else [])


class _Meter:
    """Megabytes so far, and how much of the input, on stderr; nothing where stderr is no terminal."""

    def __init__(self, shown: bool, documents: Documents | None) -> None:
        self._documents, self._total = documents, documents.n_bytes if documents is not None else 0
        columns = (SpinnerColumn(), TextColumn("{task.description}"))
        rest = (BarColumn(), TimeRemainingColumn()) if self._total else (TimeElapsedColumn(),)
        console = Console(stderr=True)
        self._progress = Progress(
            *columns, *rest, console=console, transient=True, disable=not (shown and console.is_terminal)
        )
        self._bytes = 0

    def __enter__(self) -> _Meter:
        self._progress.start()
        self._task: TaskID = self._progress.add_task("encoding", total=self._total or None)
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        """A line that stays."""
        if not self._progress.disable:
            self._progress.console.print(text)

    def show(self, n_bytes: int) -> None:
        """That so much more text is being encoded."""
        self._bytes += n_bytes
        if self._progress.disable:
            return
        elapsed = self._progress.tasks[self._task].elapsed or 1e-9
        text = f"encoded {self._bytes / 1e6:,.1f} MB, {self._bytes / 1e6 / elapsed:.0f} MB/s"
        done = self._documents.n_bytes_read if self._documents is not None and self._total else None
        self._progress.update(self._task, description=text, completed=done)
