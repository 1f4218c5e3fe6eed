"""Plain text: UTF-8 in pieces of a mebibyte, and documents parted by two blank lines or more."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from typing import BinaryIO

from jarvis_nano.corpus.documents import Document, pieces
from jarvis_nano.corpus.sources.opening import Mark
from jarvis_nano.errors import UserError

MAX_DOCUMENT = 4 << 20  # characters; a longer document is cut at a paragraph's end. The longest novels have 3.5 million
_CHUNK = 1 << 20  # bytes
_BETWEEN_DOCUMENTS = re.compile(r"\n[ \t]*\n[ \t]*\n\s*")
_NOT_TEXT = "it looks like binary data: give the text itself, as .txt or .jsonl"


def read_text(file: BinaryIO, name: str, place: str, mark: Mark) -> Iterator[Document]:
    """The documents of a plain text after `mark`, which is kept: what stands between runs of two or more blank lines.

    `name` goes into the ids, `place` into messages. A book without such runs is one document. Line ends become "\\n".
    Memory: a document, at most MAX_DOCUMENT characters, and a chunk. UserError where a byte is not UTF-8, or where
    there is nothing but white space.
    """
    n_done = mark.at
    for n, text in enumerate(_documents(decode(file, place))):
        if n >= n_done:
            mark.at = mark.documents = n + 1
            yield Document(f"{name}#{n}", text, name)
    if mark.documents == 0:
        raise UserError(f"{place} holds no text, only white space")


def _documents(chunks: Iterator[str]) -> Iterator[str]:
    held = ""
    for chunk in chunks:
        seen = len(held.rstrip())  # what was looked through before; a gap may lie across the joint
        held += chunk
        begin = 0
        for gap in _BETWEEN_DOCUMENTS.finditer(held, seen):
            yield from _bounded(held[begin : gap.start()])
            begin = gap.end()
        held = held[begin:]
        while len(held) > MAX_DOCUMENT:
            first = next(pieces(held, MAX_DOCUMENT))
            yield from _bounded(first)
            held = held[len(first) :]
    yield from _bounded(held)


def _bounded(text: str) -> Iterator[str]:
    for part in pieces(text.strip("\n"), MAX_DOCUMENT):
        if part.strip():
            yield part.strip("\n")


def decode(file: BinaryIO, place: str) -> Iterator[str]:
    """UTF-8 bytes to text with "\\n" line ends and without a byte-order mark; UserError names the first bad byte."""
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    offset = 0
    at_start = True
    while True:
        chunk = file.read(_CHUNK)
        pending = len(decoder.getstate()[0])
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            raise not_utf8(place, offset - pending + error.start, error) from error
        if at_start and text:
            text, at_start = text.removeprefix("\ufeff"), False
        if "\0" in text:
            raise UserError(f"{place} holds a NUL character near byte {offset + text.index(chr(0))}; {_NOT_TEXT}")
        offset += len(chunk)
        yield newlines.decode(text, final=not chunk)
        if not chunk:
            return


def not_utf8(place: str, offset: int, error: UnicodeDecodeError, line: int | None = None) -> UserError:
    """The message for a byte that is not UTF-8, with the command that mends the commonest cases."""
    bad = error.object[error.start]
    if offset == 0 and error.object[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
    elif error.object.count(b"\0") > len(error.object) // 100:
        return UserError(f"{place} is not UTF-8 (byte 0x{bad:02x} at offset {offset}); {_NOT_TEXT}")
    else:
        encoding = "latin1"
    where = f"at offset {offset}" + (f", line {line}" if line is not None else "")
    return UserError(
        f"{place} is not UTF-8: byte 0x{bad:02x} {where}; convert it, for instance: "
        f"iconv -f {encoding} -t utf8 '{place}' > converted.txt"
    )
