"""Files to documents, streaming: read_documents takes whatever a user calls a corpus. One module a format."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from jarvis_nano.corpus.documents import MANIFEST, Document
from jarvis_nano.corpus.sources.jsonl import read_jsonl
from jarvis_nano.corpus.sources.opening import COMPRESSED_SUFFIXES, STDIN, open_bytes
from jarvis_nano.corpus.sources.prepared import is_prepared, read_manifest, read_prepared
from jarvis_nano.corpus.sources.text import read_text
from jarvis_nano.errors import UserError

Reader = Callable[[BinaryIO, str, str], Iterator[Document]]

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


def read_documents(paths: Iterable[Path | str] | Path | str) -> Iterator[Document]:
    """The documents of files and folders, in the order given, folders sorted and with their sub-folders.

    A path is a .txt file (documents parted by two blank lines or more), a .jsonl file (objects with "text"), either
    packed as .gz, .bz2 or .zst, a folder of such files, a prepared corpus folder, or "-", the standard input. Memory
    stays flat: a document at most, and no document of a .txt is longer than text.MAX_DOCUMENT.
    UserError at once for what is missing, empty or unknown; while reading for what is not UTF-8, damaged or not JSON.
    """
    return _read(_inputs(paths))


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


def _read(inputs: list[_Input]) -> Iterator[Document]:
    for entry in inputs:
        if entry.is_corpus:
            yield from read_prepared(entry.path, entry.name)
            continue
        with open_bytes(entry.path, entry.place) as file:
            yield from _reader(entry, file.peek(64).lstrip(b"\xef\xbb\xbf \t\r\n"))(file, entry.name, entry.place)


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
