"""Files to documents, streaming: read_documents takes whatever a user calls a corpus. One module a format."""

from __future__ import annotations

import hashlib
import io
import json
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from jarvis_nano.corpus.documents import MANIFEST, Document
from jarvis_nano.corpus.sources.jsonl import read_jsonl
from jarvis_nano.corpus.sources.opening import COMPRESSED_SUFFIXES, STDIN, bytes_taken, open_bytes
from jarvis_nano.corpus.sources.prepared import is_prepared, read_manifest
from jarvis_nano.corpus.sources.source import Damage, Mark, Options, Reader, Source
from jarvis_nano.corpus.sources.text import read_text
from jarvis_nano.errors import UserError

__all__ = ["Damage", "Documents", "Mark", "Options", "Reader", "Source", "fingerprint", "read_documents"]

# The readers by the name without .gz, .bz2, .zst. Other names are judged by content, when given one by one.
_READERS: dict[str, Reader] = {".txt": read_text, ".jsonl": read_jsonl, ".ndjson": read_jsonl}
_FOREIGN = {  # first bytes of what would pass for text, or ends as noise in a vocabulary
    b"<mediawiki": "a MediaWiki dump",
    b"<?xml": "XML",
    b"<!DOCTYPE": "HTML",
    b"<html": "HTML",
    b"PK\x03\x04": "a zip or docx file",
    b"%PDF": "a PDF",
    b"PAR1": "Parquet",
    b"{\\rtf": "RTF",
}


@dataclass(frozen=True)
class _Input:
    """A file or a prepared corpus folder, and the name it bears in ids, whatever folder it lies in."""

    path: Path
    name: str
    is_corpus: bool = False

    @property
    def place(self) -> str:
        """What messages call it: something that can be pasted into a command."""
        return str(self.path) if self.path != STDIN else self.name


class Documents(Iterator[Document]):
    """The documents of files, one after the other, and the place that has been reached: what read_documents gives."""

    def __init__(
        self,
        inputs: list[_Input],
        *,
        options: Options = Options(),  # noqa: B008 (frozen)
        on_damage: Callable[[Damage], None] | None = None,
    ) -> None:
        self.mark = Mark()
        self.passed_over: Counter[str] = Counter()
        self.unknown_templates: Counter[str] = Counter()
        self._options, self._on_damage = options, on_damage
        self._files = [file for entry in inputs for file in _files(entry)]
        self._sizes = [_size(entry.path) for entry, _ in self._files]
        self._open: io.BufferedReader | None = None
        self._documents = self._read()

    def __iter__(self) -> Iterator[Document]:
        return self._documents  # the generator itself: a loop over it has no call of ours in between

    def __next__(self) -> Document:
        return next(self._documents)

    def start_at(self, mark: Mark) -> None:
        """Begin after what an earlier reader of the same files had read, before the first document is asked for."""
        self.mark = mark

    @property
    def identity(self) -> str | None:
        """The files' names, sizes and times of change; None where one cannot be read a second time (a pipe)."""
        found = []
        for entry, _ in self._files:
            status = None if entry.path == STDIN else entry.path.stat()
            if status is None or not stat.S_ISREG(status.st_mode):
                return None
            found.append([entry.name, status.st_size, status.st_mtime_ns])
        return json.dumps(found, ensure_ascii=False)

    @property
    def n_bytes(self) -> int:
        """The size of the files on the disk, packed as they are; 0 where a pipe is among them."""
        return sum(self._sizes) if all(self._sizes) else 0

    @property
    def n_bytes_read(self) -> int:
        """How much of that has been read."""
        return sum(self._sizes[: self.mark.file]) + (bytes_taken(self._open) if self._open else 0)

    def _read(self) -> Iterator[Document]:
        for entry, expected in self._files[self.mark.file :]:
            try:
                yield from self._read_file(entry, expected)
            except UserError as error:
                if self._on_damage is None:
                    raise
                why = str(error).removeprefix(entry.place).lstrip(" ,")
                self._on_damage(Damage(entry.place, "", why))
            finally:
                self._open = None
            self.mark = Mark(self.mark.file + 1)

    def _read_file(self, entry: _Input, expected: int | None) -> Iterator[Document]:
        source = Source(
            entry.name,
            entry.place,
            self.mark,
            self._options if expected is None else replace(self._options, text_column="text"),
            self._on_damage,
            self.passed_over,
            self.unknown_templates,
        )
        with open_bytes(entry.path, entry.place, self._on_damage) as file:
            self._open = file
            head = file.peek(64).lstrip(b"\xef\xbb\xbf \t\r\n")
            reader = _reader(entry, head) if expected is None else read_jsonl
            yield from reader(file, source)
        if expected not in (None, self.mark.documents):
            raise UserError(
                f"{entry.place} holds {self.mark.documents} documents, {MANIFEST} says {expected}; "
                "prepare the corpus again"
            )


def read_documents(
    paths: Iterable[Path | str] | Path | str,
    *,
    options: Options = Options(),  # noqa: B008 (frozen)
    on_damage: Callable[[Damage], None] | None = None,
) -> Documents:
    """The documents of files and folders, in the order given, folders sorted and with their sub-folders.

    A path is a .txt file (documents parted by two blank lines or more), a .jsonl file (objects with "text"), either
    packed as .gz, .bz2 or .zst, a folder of such files, a prepared corpus folder, or "-", the standard input. Memory
    stays flat: a document at most, and no document of a .txt is longer than text.MAX_DOCUMENT.
    UserError at once for what is missing, empty or unknown; while reading for what is not UTF-8, damaged or not JSON.
    """
    return Documents(_inputs(paths), options=options, on_damage=on_damage)


def fingerprint(paths: Iterable[Path | str] | Path | str) -> str:
    """SHA-256 over the inputs' names and contents: the same as long as read_documents would give the same texts."""
    digest = hashlib.sha256()
    for entry in _inputs(paths):
        if entry.path == STDIN:
            raise UserError("the standard input cannot be read twice; write it to a file first")
        path = entry.path / MANIFEST if entry.is_corpus else entry.path  # the manifest holds the files' hashes
        with path.open("rb") as file:
            digest.update(f"{entry.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


def _files(entry: _Input) -> list[tuple[_Input, int | None]]:
    """The file itself, or those of a prepared corpus, each with the number of documents that its manifest promises."""
    if not entry.is_corpus:
        return [(entry, None)]
    return [
        (_Input(entry.path / file["name"], f"{entry.name}/{file['name']}"), file["documents"])
        for file in read_manifest(entry.path)["files"]
    ]


def _size(path: Path) -> int:
    return path.stat().st_size if path != STDIN else 0


def _reader(entry: _Input, head: bytes) -> Reader:
    foreign = next((what for magic, what in _FOREIGN.items() if head.startswith(magic)), None)
    if foreign is not None:
        raise UserError(f"{entry.place} is {foreign}; expected plain text (.txt) or JSON lines (.jsonl)")
    known = _READERS.get(_bare_suffix(entry.path))
    if known is not None:
        return known
    return read_jsonl if head.startswith(b"{") else read_text


def _bare_suffix(path: Path) -> str:
    """The suffix without that of the packing: "a.txt.gz" -> ".txt"."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    while suffixes and suffixes[-1] in COMPRESSED_SUFFIXES:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _inputs(paths: Iterable[Path | str] | Path | str) -> list[_Input]:
    given = [paths] if isinstance(paths, (str, Path)) else list(paths)
    if not given:
        raise UserError("no input: give a .txt or .jsonl file, or a folder of them")
    found: list[_Input] = []
    for path in map(Path, given):
        if path == STDIN:
            found.append(_Input(path, "stdin"))
        elif path.is_dir():
            found.extend(_folder(path))
        else:
            found.append(_file(path, path.name))
    return found


def _file(path: Path, name: str) -> _Input:
    try:
        size = path.stat().st_size
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"no such file or folder: {path}; check the path") from error
    if size == 0 and path.is_file():  # a pipe has no size
        raise UserError(f"{path} is empty; expected text in UTF-8")
    return _Input(path, name)


def _folder(folder: Path) -> list[_Input]:
    """A prepared corpus, or the readable files below; empty ones are passed over here, for folders often have some."""
    name = folder.resolve().name
    if is_prepared(folder):
        read_manifest(folder)
        return [_Input(folder, name, is_corpus=True)]
    found = list(_walk(folder, name, ()))
    if not found:
        kinds = ", ".join(_READERS)
        raise UserError(f"{folder} holds no text: expected {kinds} files (also .gz, .bz2, .zst), or a prepared corpus")
    return found


def _walk(folder: Path, name: str, above: tuple[Path, ...]) -> Iterator[_Input]:
    here = folder.resolve()
    if here in above:  # a symbolic link to a folder above
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        label = f"{name}/{path.name}"
        if path.is_dir():
            if is_prepared(path):
                read_manifest(path)
                yield _Input(path, label, is_corpus=True)
            else:
                yield from _walk(path, label, (*above, here))
        elif _bare_suffix(path) in _READERS and not (path.is_file() and path.stat().st_size == 0):
            yield _file(path, label)  # a dangling link is an error, not a text less
