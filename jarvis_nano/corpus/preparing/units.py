"""The inputs cut into units: what one process works on, and what is done again after a kill.

Small files are grouped; a large dump or .jsonl is read in byte ranges (bzip2: in ranges of its members), in parallel
and from anywhere; other large streams are cut into chunks by the one process that unpacks them.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from jarvis_nano.corpus.documents import Document
from jarvis_nano.corpus.preparing.ranges import LINES, PAGES, bzip2_members, chunks, open_members, open_range
from jarvis_nano.corpus.sources import Damage, Documents, Input, Mark, Options, Source, recognise
from jarvis_nano.corpus.sources.formats import FORMATS
from jarvis_nano.corpus.sources.mediawiki.dump import read_dump, read_site_of
from jarvis_nano.corpus.sources.mediawiki.site import Site
from jarvis_nano.corpus.sources.opening import HEAD, STDIN, bytes_taken, is_packed, open_bytes
from jarvis_nano.errors import Resumable, UserError

BORDERS = {"mediawiki": PAGES, "jsonl": LINES}
_CHUNK_KINDS = {"mediawiki": "pages", "jsonl": "lines", "text": "text"}
_PACKED_RATIO = 4  # text is about that much larger unpacked

OnDamage = Callable[[Damage], None]
Stamp = tuple[int, int]
"""A file's size, and when it was changed, in nanoseconds."""


@dataclass(frozen=True)
class Inspection:
    """What is known of a file before it is read: its hash, format, and where it can be cut."""

    entry: Input
    size: int
    sha256: str | None
    """None for a pipe."""
    format: str
    packed: bool
    members: tuple[int, ...] = ()
    """Offsets of the members of a bzip2 file of a format that can be cut."""
    site: Site | None = None
    stamp: Stamp | None = None
    """Of the file when it was looked at; None for a pipe."""
    stream: io.BufferedReader | None = None
    """The open pipe, of which the head has been looked at."""
    stream_damage: list[Damage] = field(default_factory=list)
    """Of the pipe, as it is read."""


@dataclass(frozen=True)
class Unit:
    """Whole files, or a range or chunk of one; pickled and read in another process."""

    number: int
    entries: tuple[Input, ...]
    size: int
    """Bytes of the inputs on the disk, about: for the progress."""
    format: str = ""
    begin: int = 0
    end: int = 0
    members: tuple[int, ...] = ()
    chunk: bytes | None = None
    site: Site | None = None
    stamps: tuple[Stamp | None, ...] = ()
    """Of the entries, when they were looked at."""
    damage: tuple[Damage, ...] = ()
    """Of a stream, found by the process that unpacks it; then there is nothing to read."""

    def check_unchanged(self) -> None:
        """Resumable where an input is not what it was when its hash was taken: the corpus would hold halves of two."""
        for entry, stamp in zip(self.entries, self.stamps):
            if stamp is not None and _stamp(entry.path) != stamp:
                raise Resumable(f"{entry.place} changed, or went, while it was read; run the same command again")

    def read(self, options: Options, on_damage: OnDamage, seen: Seen) -> Iterator[tuple[Document, str]]:
        """(document, format of its file). Damage is handed over; memory: that of the readers, and of the chunk."""
        for found in self.damage:
            on_damage(found)
        if self.damage:
            return
        if not self.format:
            documents = Documents(self.entries, options=options, on_damage=on_damage)
            for document in documents:
                yield document, documents.format
            seen.passed_over.update(documents.passed_over)
            seen.unknown_templates.update(documents.unknown_templates)
            return
        source = self._source(options, on_damage, seen)
        (entry,) = self.entries
        try:
            with self._open(lambda why: on_damage(Damage(entry.place, "", why))) as file:
                for document in self._documents(file, source):
                    own = document.source == source.name
                    yield (replace(document, source=entry.name) if own else document), self.format
        except FileNotFoundError:
            return  # check_unchanged says so
        except UserError as error:  # of the file as a whole
            on_damage(Damage(entry.place, "", str(error).removeprefix(source.place).lstrip(" ,")))

    def _documents(self, file: BinaryIO, source: Source) -> Iterator[Document]:
        return FORMATS[self.format](file, source) if self.site is None else read_dump(file, source, self.site)

    def _open(self, on_damage: Callable[[str], None]) -> BinaryIO:
        if self.chunk is not None:
            return io.BytesIO(self.chunk)
        path, border = self.entries[0].path, BORDERS[self.format]
        if self.members:
            return open_members(path, self.members, self.end, border, on_damage)
        return open_range(path, self.begin, self.end, border)

    def _source(self, options: Options, on_damage: OnDamage, seen: Seen) -> Source:
        """Records are numbered from the unit's beginning, so that is named too."""
        (entry,) = self.entries
        name, place = (f"{part}@{self.begin}" if self.begin else part for part in (entry.name, entry.place))
        return Source(
            name,
            place,
            Mark(documents=1),  # a piece of a file may well hold none, which is no damage
            options=options,
            on_damage=on_damage,
            passed_over=seen.passed_over,
            unknown_templates=seen.unknown_templates,
        )


@dataclass
class Seen:
    """What a unit's readers counted beside documents and damage."""

    passed_over: Counter[str]
    unknown_templates: Counter[str]


def inspect(entry: Input, options: Options) -> Inspection:
    """Look at the head, and read the file once, packed as it is, for its hash and members.

    UserError where it is of no known format. Damage is passed over here: reading the units finds it again.
    """
    damage: list[Damage] = []
    file = open_bytes(entry.path, entry.place, damage.append)
    stamp = _stamp(entry.path)
    found = recognise(file, entry, options)
    if entry.path == STDIN or not entry.path.is_file():
        if found not in _CHUNK_KINDS:
            raise UserError(f"{entry.place} is a pipe of the format {found}; write it to a file first")
        head = io.BytesIO(file.peek(HEAD))
        site = read_site_of(head, entry.place) if found == "mediawiki" else None
        return Inspection(entry, 0, None, found, packed=False, site=site, stream=file, stream_damage=damage)
    with file:
        site = read_site_of(file, entry.place) if found == "mediawiki" else None
    size, digest = _size_and_hash(entry)
    with entry.path.open("rb") as raw:
        magic = raw.read(8)
        raw.seek(0)
        members = tuple(bzip2_members(raw)) if magic.startswith(b"BZh") and found in BORDERS else ()
    return Inspection(entry, size, digest, found, is_packed(magic), members, site, stamp)


def unreadable(entry: Input) -> Inspection:
    """Of a file that inspect() refuses."""
    stamp = _stamp(entry.path)
    return Inspection(entry, *_size_and_hash(entry), format="", packed=False, stamp=stamp)


def _stamp(path: Path) -> Stamp | None:
    """None where there is no file."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return (status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None


def _size_and_hash(entry: Input) -> tuple[int, str]:
    with entry.path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest


def plan(inspections: Sequence[Inspection], unit_bytes: int) -> Iterator[Unit]:
    """The units of the inputs, in order, the same for the same inputs and size. Memory: a chunk.

    Streams that cannot be entered in the middle are unpacked here, as the iteration goes on.
    """
    for number, unit in enumerate(_unnumbered(inspections, unit_bytes)):
        yield replace(unit, number=number)


def _unnumbered(inspections: Sequence[Inspection], unit_bytes: int) -> Iterator[Unit]:
    group: list[Inspection] = []
    for found in inspections:
        weight = found.size * (_PACKED_RATIO if found.packed else 1)
        # A file of several members is read by members whatever its size: a damaged one costs itself only.
        is_small = found.sha256 is not None and weight <= 2 * unit_bytes and len(found.members) <= 1
        if not is_small or sum(one.size for one in group) + found.size > unit_bytes:
            yield from _whole_files(group)
            group = []
        if is_small or found.entry.documents is not None or found.format not in _CHUNK_KINDS:
            group.append(found)
        elif found.format in BORDERS and (len(found.members) > 1 or (not found.packed and found.sha256 is not None)):
            yield from _ranges(found, unit_bytes)
        else:
            yield from _chunked(found, unit_bytes)
    yield from _whole_files(group)


def _whole_files(group: list[Inspection]) -> Iterator[Unit]:
    if group:
        stamps = tuple(found.stamp for found in group)
        yield Unit(0, tuple(found.entry for found in group), sum(found.size for found in group), stamps=stamps)


def _ranges(found: Inspection, unit_bytes: int) -> Iterator[Unit]:
    members = found.members if found.packed else tuple(range(0, found.size, unit_bytes))
    step = unit_bytes // _PACKED_RATIO if found.packed else unit_bytes
    cuts = [0]
    for member in members:
        if member - cuts[-1] >= step:
            cuts.append(member)
    for begin, end in itertools.pairwise([*cuts, found.size]):
        own = tuple(member for member in found.members if begin <= member < end) if found.packed else ()
        yield Unit(
            0, (found.entry,), end - begin, found.format, begin, end, own, site=found.site, stamps=(found.stamp,)
        )


def _chunked(found: Inspection, unit_bytes: int) -> Iterator[Unit]:
    entry, damage = (found.entry,), found.stream_damage
    Unit(0, entry, 0, stamps=(found.stamp,)).check_unchanged()
    with found.stream or open_bytes(found.entry.path, found.entry.place, damage.append) as file:
        done = 0
        for offset, chunk in chunks(file, _CHUNK_KINDS[found.format], unit_bytes):
            size, done = bytes_taken(file) - done, bytes_taken(file)
            yield Unit(
                0, entry, max(0, size), found.format, offset, chunk=chunk, site=found.site, stamps=(found.stamp,)
            )
    if damage:
        yield Unit(0, entry, 0, stamps=(found.stamp,), damage=tuple(damage))
