"""The text of a Word document (.docx, a zip of XML), from word/document.xml alone; other zips get a clear error."""

from __future__ import annotations

import re
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, BinaryIO, cast

from jarvis_nano.corpus.documents import Document
from jarvis_nano.corpus.sources import transcriber
from jarvis_nano.corpus.sources.source import Source
from jarvis_nano.corpus.sources.text import MAX_DOCUMENT, bounded, documents_of
from jarvis_nano.corpus.sources.xml_events import XmlError, XmlEvents
from jarvis_nano.errors import UserError

MAX_FILE = 512 << 20  # bytes of a file that has to be held, on the disk, to be read out of order
MAX_XML = 256 << 20  # bytes of document.xml: a text of 20 million words
_MAX_RATIO = 200  # unpacked to packed, beyond 16 MiB: Word's XML packs 10 to 30 times, a bomb 1,000 times
_PIECE = 1 << 16
_LEFT_OUT = {"w:del", "w:moveFrom", "mc:Fallback", "w:txbxContent", "w:pPr", "w:rPr", "w:sdtPr"}
_IN_RUN = {"w:tab": "\t", "w:br": "\n", "w:cr": "\n", "w:noBreakHyphen": "-"}
# What zipfile raises for a damaged archive; RuntimeError for one with a password or of an unknown packing.
_BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, struct.error, OSError)
_OTHER_ZIPS = {  # a name within, and what the file is then
    "content.xml": ("an OpenDocument text", "libreoffice --headless --convert-to docx '{place}'"),
    "META-INF/container.xml": ("an EPUB book", "pandoc -t plain --wrap=none '{place}' -o book.txt"),
    "xl/workbook.xml": ("an Excel workbook", "libreoffice --headless --convert-to csv '{place}'"),
    "ppt/presentation.xml": ("a PowerPoint file", "libreoffice --headless --convert-to pdf '{place}'"),
}


def read_docx(file: BinaryIO, source: Source) -> Iterator[Document]:
    """The text of a .docx as one document: a blank line between paragraphs, a row of a table a line, cells by tabs.

    Deleted and moved text, footnotes, comments, headers and text boxes are left out. Where the text is Transcriber
    XML, or lines with speakers' tags, it is read as such. Damage, of the file as a whole: it is no zip, has no
    document.xml, or one beyond MAX_XML or 200 times its packed size; what came before is delivered.
    Memory: MAX_DOCUMENT characters, twice; the file itself, at most MAX_FILE, is on the disk.
    """
    with seekable(file, source.place, MAX_FILE) as held:
        try:
            with zipfile.ZipFile(held) as archive:
                entry = _document_entry(archive, source)
                if entry is None:
                    return
                with archive.open(entry) as xml:
                    yield from documents_of(_texts(_bounded_pieces(xml, entry), source), source)
        except _BROKEN_ZIP as error:
            source.damaged("", f"is no zip file that can be read, as a .docx is one: {error}")


@contextmanager
def seekable(file: BinaryIO, place: str, max_bytes: int) -> Iterator[BinaryIO]:
    """`file`, or where it is a pipe or packed a copy in a temporary file; UserError beyond `max_bytes`."""
    if file.seekable():
        yield file
        return
    with tempfile.TemporaryFile() as copy:
        while piece := file.read(1 << 20):
            copy.write(piece)
            if copy.tell() > max_bytes:
                raise UserError(f"{place} is longer than {max_bytes >> 20} MiB; give it as a file that is not packed")
        copy.seek(0)
        yield cast(BinaryIO, copy)


def _document_entry(archive: zipfile.ZipFile, source: Source) -> zipfile.ZipInfo | None:
    names = set(archive.namelist())
    found = next((name for name in archive.namelist() if re.fullmatch(r"word/document\d{0,3}\.xml", name)), None)
    if found is not None:
        return archive.getinfo(found)
    for name, (what, command) in _OTHER_ZIPS.items():
        if name in names:
            source.damaged("", f"is {what}; convert it, for instance: {command.format(place=source.place)}")
            return None
    source.damaged("", "is a zip archive without a Word document in it; unpack it and give the files")
    return None


def _bounded_pieces(xml: IO[bytes], entry: zipfile.ZipInfo) -> Iterator[bytes]:
    n_read = 0
    while piece := xml.read(_PIECE):
        n_read += len(piece)
        if n_read > MAX_XML or n_read > max(16 << 20, _MAX_RATIO * entry.compress_size):
            raise XmlError(f"it unpacks to more than {n_read >> 20} MiB, which no text does")
        yield piece


def _texts(pieces: Iterator[bytes], source: Source) -> Iterator[str]:
    """The text in pieces of at most MAX_DOCUMENT; all of it as a transcript where it is one."""
    gathered = _Paragraphs()
    parts = _parts(pieces, gathered, source)
    first = next(parts, "")
    if "<Trans" in first and "<Turn" in first:
        # Each line of the XML was a paragraph of its own; a transcript longer than MAX_DOCUMENT is cut.
        yield from transcriber.dialogues(first.replace("\n\n", "\n"), source)
    elif transcriber.is_tagged(first[:_PIECE]):
        for part in (first, *parts):
            yield from bounded(transcriber.clean_tagged(part.replace("\n\n", "\n"), source.options))
    else:
        yield from bounded(first)
        for part in parts:
            yield from bounded(part)


def _parts(pieces: Iterator[bytes], gathered: _Paragraphs, source: Source) -> Iterator[str]:
    events = XmlEvents(gathered.start, gathered.end, gathered.text, with_namespaces=True)
    try:
        for piece in pieces:
            events.feed(piece)
            if gathered.size > MAX_DOCUMENT:
                yield gathered.take()
        events.close()
    except XmlError as error:
        gathered.flush()
        yield gathered.take()
        source.damaged("", f"has a word/document.xml that is broken: {error}; what comes after is left out")
        return
    yield gathered.take()


def _prefixed(name: str) -> str:
    """ "w:p" for an element of WordprocessingML, transitional or strict, "mc:…" likewise; others as they are."""
    uri, _, local = name.rpartition(" ")
    if uri.endswith(("/wordprocessingml/2006/main", "/wordprocessingml/main")):
        return f"w:{local}"
    return f"mc:{local}" if uri.endswith("/markup-compatibility/2006") else name


class _Paragraphs:
    """The handlers of XmlEvents for WordprocessingML (ECMA-376, part 1, §17): what stands in w:t of w:r of w:p."""

    def __init__(self) -> None:
        self.size = 0
        self._done: list[str] = []
        self._paragraph: list[str] = []
        self._rows: list[list[str]] = []  # of the tables that are open, one in the other: the cells of their row
        self._cells: list[list[str]] = []  # the paragraphs of the cells that are open
        self._n_left_out = 0
        self._is_text = False

    def take(self) -> str:
        """The paragraphs so far, a blank line between them, rows of a table in lines."""
        text = "".join(self._done)
        self._done, self.size = [], 0
        return text

    def start(self, name: str, _: dict[str, str]) -> None:
        name = _prefixed(name)
        if name in _LEFT_OUT or self._n_left_out:
            self._n_left_out += 1
        elif name == "w:t":
            self._is_text = True
        elif name in _IN_RUN:
            self._add(_IN_RUN[name])
        elif name == "w:tr":
            self._rows.append([])
        elif name == "w:tc":
            self._cells.append([])

    def end(self, name: str) -> None:
        name = _prefixed(name)
        self._is_text = False
        if self._n_left_out:
            self._n_left_out -= 1
        elif name == "w:p":
            self._end_paragraph()
        elif name == "w:tc" and self._cells:
            cell = " ".join(self._cells.pop())
            if self._rows:
                self._rows[-1].append(re.sub("[\t\n ]+", " ", cell))
        elif name == "w:tr" and self._rows:
            row = "\t".join(self._rows.pop()).rstrip("\t")
            if row.strip():
                self._cells[-1].append(row) if self._cells else self._finish(row, "\n")
        elif name == "w:tbl" and not self._cells and self._done:
            self._finish("", "\n")

    def text(self, part: str) -> None:
        if self._is_text and not self._n_left_out:
            self._add(part)

    def _add(self, part: str) -> None:
        self._paragraph.append(part)
        self.size += len(part)
        if self.size > MAX_DOCUMENT:  # a paragraph or cell without end
            self.flush()

    def flush(self) -> None:
        """Close what is open, as if it ended here."""
        self._end_paragraph()
        for open_texts in (*self._rows, *self._cells):
            if open_texts:
                self._finish("\t".join(open_texts), "\n")
                open_texts.clear()

    def _end_paragraph(self) -> None:
        text = "".join(self._paragraph).strip()
        self._paragraph.clear()
        if text and self._cells:
            self._cells[-1].append(text)
        elif text:
            self._finish(text, "\n\n")

    def _finish(self, text: str, gap: str) -> None:
        self._done += [text, gap]
        self.size += len(gap)
