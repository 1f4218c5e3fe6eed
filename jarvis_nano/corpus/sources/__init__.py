"""Files to documents, streaming: read_documents takes whatever a user calls a corpus. One module a format.

What a file is: formats.py. What a reader is told, and where damage goes: source.py.
"""

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
from jarvis_nano.corpus.sources.formats import FORMATS, KINDS, SUFFIXES, bare_suffix, choose_format, is_taken
from jarvis_nano.corpus.sources.opening import HEAD, STDIN, bytes_taken, open_bytes
from jarvis_nano.corpus.sources.prepared import is_prepared, read_manifest
from jarvis_nano.corpus.sources.source import Damage, Mark, Options, Reader, Source, printable
from jarvis_nano.errors import UserError

__all__ = [
    "Damage",
    "Documents",
    "Input",
    "Mark",
    "Options",
    "Reader",
    "Source",
    "fingerprint",
    "list_files",
    "read_documents",
    "recognise",
]


@dataclass(frozen=True)
class Input:
    """A file or a prepared corpus folder, and the name it bears in ids, whatever folder it lies in."""

    path: Path
    name: str
    is_corpus: bool = False
    documents: int | None = None
    """Of a file of a prepared corpus: how many its manifest promises."""
    licence: str = ""
    """Of a file of a prepared corpus: as its manifest has it."""

    @property
    def place(self) -> str:
        """What messages call it: something that can be pasted into a command."""
        return printable(str(self.path)) if self.path != STDIN else self.name


class Documents(Iterator[Document]):
    """The documents of files, one after the other, and the place that has been reached: what read_documents gives."""

    def __init__(
        self,
        inputs: Iterable[Input],
        *,
        options: Options = Options(),  # noqa: B008 (frozen)
        on_damage: Callable[[Damage], None] | None = None,
    ) -> None:
        self.mark = Mark()
        self.not_taken: Counter[str] = Counter()
        """Files of the folders that are of no kind that is read, by suffix."""
        self.passed_over: Counter[str] = Counter()
        """Records that are no text and no damage either, by kind, over all files so far: "redirect", "namespace"…"""
        self.unknown_templates: Counter[str] = Counter()
        """Uses of wiki templates that no rule renders, by name, over all files so far."""
        self._options, self._on_damage = options, on_damage
        self.format = ""
        """Of the file that is being read: a key of formats.FORMATS."""
        self._files = [file for entry in inputs for file in _files(entry)]
        self._sizes = [_size(entry.path) for entry in self._files]
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
        for entry in self._files:
            status = None if entry.path == STDIN or not entry.path.exists() else entry.path.stat()
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
        for entry in self._files[self.mark.file :]:
            try:
                yield from self._read_file(entry)
            except UserError as error:
                if self._on_damage is None:
                    raise
                why = str(error).removeprefix(entry.place).lstrip(" ,")
                self._on_damage(Damage(entry.place, "", why))
            finally:
                self._open = None
            self.mark = Mark(self.mark.file + 1)

    def _read_file(self, entry: Input) -> Iterator[Document]:
        source = Source(
            entry.name,
            entry.place,
            self.mark,
            self._options if entry.documents is None else replace(self._options, text_column="text"),
            self._on_damage,
            self.passed_over,
            self.unknown_templates,
        )
        with open_bytes(entry.path, entry.place, self._on_damage) as file:
            self._open = file
            self.format = recognise(file, entry, self._options)
            yield from FORMATS[self.format](file, source)
        if entry.documents not in (None, self.mark.documents):
            raise UserError(
                f"{entry.place} holds {self.mark.documents} documents, {MANIFEST} says {entry.documents}; "
                "prepare the corpus again"
            )


def recognise(file: io.BufferedReader, entry: Input, options: Options) -> str:
    """The format of an open file, a key of formats.FORMATS. UserError where it is of none."""
    if entry.documents is not None:
        return "jsonl"
    return choose_format(file.peek(HEAD)[:HEAD], entry.path, entry.place, options)


def list_files(paths: Iterable[Path | str] | Path | str) -> list[Input]:
    """The files that read_documents would read, in its order. UserError as there."""
    return [file for entry in _inputs(paths, Counter()) for file in _files(entry)]


def read_documents(
    paths: Iterable[Path | str] | Path | str,
    *,
    options: Options = Options(),  # noqa: B008 (frozen)
    on_damage: Callable[[Damage], None] | None = None,
) -> Documents:
    """The documents of files and folders, in the order given, folders sorted and with their sub-folders.

    A path is a file of any format of formats.py, told by its content, packed as .gz, .bz2, .zst or .xz or not; a folder
    of such files (those with a telling name); a prepared corpus folder; or "-", the standard input. Memory stays flat:
    a document at most, within the bound that each reader states.
    UserError at once for what is missing, empty or unknown. While reading, what is damaged is a UserError too; with
    `on_damage` it is handed over, and the reading goes on with the next record, or the next file where it has none.
    """
    not_taken: Counter[str] = Counter()
    documents = Documents(_inputs(paths, not_taken), options=options, on_damage=on_damage)
    documents.not_taken.update(not_taken)
    return documents


def fingerprint(
    paths: Iterable[Path | str] | Path | str,
    options: Options = Options(),  # noqa: B008 (frozen)
) -> str:
    """SHA-256 over the inputs' names and contents, and options other than the usual ones.

    The same as long as read_documents would give the same texts.
    """
    digest = hashlib.sha256()
    if options != Options():
        digest.update(options.as_json().encode())
    for entry in _inputs(paths, Counter()):
        if entry.path == STDIN:
            raise UserError("the standard input cannot be read twice; write it to a file first")
        path = entry.path / MANIFEST if entry.is_corpus else entry.path  # the manifest holds the files' hashes
        with path.open("rb") as file:
            digest.update(f"{entry.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


def _files(entry: Input) -> list[Input]:
    """The file itself, or those of a prepared corpus."""
    if not entry.is_corpus:
        return [entry]
    manifest = read_manifest(entry.path)
    licence = str(manifest.get("licence", ""))
    return [
        Input(entry.path / file["name"], f"{entry.name}/{file['name']}", documents=file["documents"], licence=licence)
        for file in manifest["files"]
    ]


def _size(path: Path) -> int:
    return path.stat().st_size if path != STDIN and path.exists() else 0


def _inputs(paths: Iterable[Path | str] | Path | str, not_taken: Counter[str]) -> list[Input]:
    given = [paths] if isinstance(paths, (str, Path)) else list(paths)
    if not given:
        raise UserError(f"no input: give a file or folder of texts ({KINDS})")
    found: list[Input] = []
    for path in map(Path, given):
        if path == STDIN:
            found.append(Input(path, "stdin"))
        elif path.is_dir():
            found.extend(_folder(path, not_taken))
        else:
            found.append(_file(path, printable(path.name)))
    return found


def _file(path: Path, name: str) -> Input:
    try:
        size = path.stat().st_size
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"no such file or folder: {path}; check the path") from error
    if size == 0 and path.is_file():  # a pipe has no size
        raise UserError(f"{path} is empty; expected text in UTF-8")
    return Input(path, name)


def _folder(folder: Path, not_taken: Counter[str]) -> list[Input]:
    """A prepared corpus, or the readable files below; empty ones are passed over here, for folders often have some."""
    name = printable(folder.resolve().name)
    if is_prepared(folder):
        read_manifest(folder)
        return [Input(folder, name, is_corpus=True)]
    found = list(_walk(folder, name, (), not_taken))
    if not found:
        kinds = f"{', '.join(SUFFIXES)} files (also .gz, .bz2, .zst, .xz)"
        raise UserError(f"{folder} holds no text: expected {kinds}, or a prepared corpus")
    return found


def _walk(folder: Path, name: str, above: tuple[Path, ...], not_taken: Counter[str]) -> Iterator[Input]:
    here = folder.resolve()
    if here in above:  # a symbolic link to a folder above
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        label = f"{name}/{printable(path.name)}"
        if path.is_dir():
            if is_prepared(path):
                read_manifest(path)
                yield Input(path, label, is_corpus=True)
            else:
                yield from _walk(path, label, (*above, here), not_taken)
        elif not is_taken(path) or (path.exists() and not path.is_file()):  # a named pipe would be waited for for ever
            not_taken[bare_suffix(path) or path.name] += 1
        elif not (path.is_file() and path.stat().st_size == 0):
            yield _file(path, label)  # a dangling link is an error, not a text less
