"""A document, and the corpus format: documents-00000.jsonl.zst with manifest.json. Reading it: corpus/sources."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import zstandard

from jarvis_nano.corpus.writing import folder_beside
from jarvis_nano.errors import UserError

FORMAT = "jarvis_nano-corpus"
VERSION = 1
MANIFEST = "manifest.json"
MAX_NAMED_SOURCES = 1000  # the rest are counted together: a crawl has millions of sources, a manifest has not
OTHER_SOURCES = "(other sources)"
BYTES_PER_FILE = 256 << 20  # of uncompressed lines


@dataclass(frozen=True)
class Document:
    """One text: `id` names it within its corpus, `source` says where it comes from (a file, a site, a generator)."""

    id: str
    text: str
    source: str

    @cached_property
    def utf8(self) -> bytes:
        """The text in UTF-8, encoded once; UserError where it holds half of a surrogate pair, which no UTF-8 can."""
        try:
            return self.text.encode()
        except UnicodeEncodeError as error:
            raise UserError(
                f"document {self.id} of {self.source} holds half of a surrogate pair at character {error.start}; "
                "write that character whole, or remove it"
            ) from error


def pieces(text: str, size: int) -> Iterator[str]:
    """Cut `text` into pieces of at most `size` characters whose concatenation is the text.

    Each cut falls in the second half of a piece, after the last blank line there; failing that after a line, a
    sentence, a word; in a text without spaces after `size` characters.
    """
    start = 0
    while len(text) - start > size:
        end = _last_break(text, start + size // 2, start + size)
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:] if start else text


def _last_break(text: str, low: int, high: int) -> int:
    for mark in ("\n\n", "\n", ". ", " "):
        at = text.rfind(mark, low, high)
        if at > 0:
            return at + len(mark)
    return high


def documents_name(number: int) -> str:
    return f"documents-{number:05d}.jsonl.zst"


class SourceCounts:
    """Documents, bytes and a SHA-256 of the texts, per source and in all: what was something made from?"""

    def __init__(self) -> None:
        self.documents = 0
        self.text_bytes = 0
        self._all = hashlib.sha256()
        self._named: dict[str, list[Any]] = {}

    def add(self, document: Document, utf8: bytes) -> None:
        self.documents += 1
        self.text_bytes += len(utf8)
        name = document.source
        if name not in self._named and len(self._named) >= MAX_NAMED_SOURCES:
            name = OTHER_SOURCES
        entry = self._named.setdefault(name, [0, 0, hashlib.sha256()])
        entry[0] += 1
        entry[1] += len(utf8)
        entry[2].update(utf8)
        self._all.update(utf8)

    @property
    def sha256(self) -> str:
        return self._all.hexdigest()

    def as_json(self) -> dict[str, dict[str, Any]]:
        return {
            name: {"documents": documents, "text_bytes": size, "sha256": digest.hexdigest()}
            for name, (documents, size, digest) in sorted(self._named.items())
        }


class PackedLines:
    """A .jsonl.zst being written, one object a line; `bytes_in` is the uncompressed size so far."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines = self.bytes_in = 0
        self._file = path.open("wb")
        # The checksum lets a reader tell a damaged file; level 10 packs French text 3.3 times at 40 MB/s.
        self._zstd = zstandard.ZstdCompressor(level=10, write_checksum=True).stream_writer(self._file)

    def add(self, record: Mapping[str, Any]) -> None:
        self.add_line(json.dumps(record, ensure_ascii=False).encode() + b"\n")

    def add_line(self, line: bytes) -> None:
        """One that is written already, with its line end."""
        self._zstd.write(line)
        self.lines += 1
        self.bytes_in += len(line)

    def close(self) -> None:
        self._zstd.close()  # closes the file under it too


def as_record(document: Document) -> dict[str, str]:
    """What a line of a corpus file holds."""
    return {"id": document.id, "text": document.text, "source": document.source}


def file_entry(path: Path, documents: int, text_bytes: int) -> dict[str, Any]:
    """What the manifest says of a corpus file."""
    with path.open("rb") as written:
        digest = hashlib.file_digest(written, "sha256").hexdigest()
    return {
        "name": path.name,
        "documents": documents,
        "text_bytes": text_bytes,
        "bytes": path.stat().st_size,
        "sha256": digest,
    }


def write_corpus(
    documents: Iterable[Document],
    out: Path | str,
    *,
    licence: str = "",
    settings: Mapping[str, Any] | None = None,
    bytes_per_file: int = BYTES_PER_FILE,
) -> dict[str, Any]:
    """Write a corpus folder, all or nothing, and return its manifest.

    A file is closed when its uncompressed lines reach `bytes_per_file`. UserError where there is no document, where
    `out` is taken, or where a text cannot be held in UTF-8.
    """
    counts = SourceCounts()
    files: list[dict[str, Any]] = []
    with folder_beside(Path(out)) as folder:
        current: PackedLines | None = None
        before = 0  # bytes of text in the files that are closed
        try:
            for document in documents:
                utf8 = document.utf8
                current = current or PackedLines(folder / documents_name(len(files)))
                current.add(as_record(document))
                counts.add(document, utf8)
                if current.bytes_in >= bytes_per_file:
                    current.close()
                    files.append(file_entry(current.path, current.lines, counts.text_bytes - before))
                    current, before = None, counts.text_bytes
        finally:
            if current is not None:
                current.close()
        if current is not None:
            files.append(file_entry(current.path, current.lines, counts.text_bytes - before))
        if not counts.documents:
            raise UserError(f"no document to write to {out}: the input holds no text")
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "documents": counts.documents,
            "text_bytes": counts.text_bytes,
            "sha256": counts.sha256,
            "licence": licence,
            "settings": dict(settings or {}),
            "sources": counts.as_json(),
            "files": files,
        }
        write_json(folder / MANIFEST, manifest)
    return manifest


def write_json(path: Path, value: object) -> None:
    with path.open("w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=False, indent=1)
        file.write("\n")
