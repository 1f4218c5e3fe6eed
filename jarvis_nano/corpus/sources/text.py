"""Plain text: UTF-8 in pieces of a mebibyte, and documents parted by two blank lines or more."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from jarvis_nano.corpus.documents import Document, pieces
from jarvis_nano.corpus.sources.source import Source
from jarvis_nano.errors import UserError

MAX_DOCUMENT = 4 << 20  # characters; a longer document is cut at a paragraph's end. The longest novels have 3.5 million
_CHUNK = 1 << 20  # bytes
_BETWEEN_DOCUMENTS = re.compile(r"\n[ \t]*\n[ \t]*\n\s*")
_BLANK_LINES = re.compile(r"(\n[ \t]*\n\s*)")
_DAMAGE = re.compile("[\0\udc80-\udcff]")  # a NUL, or a byte that is not UTF-8 under "surrogateescape"
_MAX_PARAGRAPH = 4096  # characters; a longer damaged paragraph loses its damaged lines only
_NOT_TEXT = "it looks like binary data: give the text itself, as .txt or .jsonl"


def read_text(file: BinaryIO, source: Source) -> Iterator[Document]:
    """The documents of a plain text after the mark: what stands between runs of two or more blank lines.

    A book without such runs is one document; with `options.whole_files` every book is. Line ends become "\\n". Damage
    is a byte that is not UTF-8, or a NUL: the paragraph is left out; a file that is mostly so is an error as a whole.
    Memory: a document, at most MAX_DOCUMENT characters (16 MiB), and a chunk.
    """
    yield from documents_of(_documents(decode(file, source), parted=not source.options.whole_files), source)


def documents_of(texts: Iterable[str], source: Source) -> Iterator[Document]:
    """`texts` as documents `name#0`, `name#1`…, those before the mark left out, damaged paragraphs too.

    For formats whose whole file is one text or a few. Where there is none at all, that is damage.
    """
    n_done = source.mark.at
    for n, text in enumerate(texts):
        if n < n_done:
            continue
        if source.is_tolerant and _DAMAGE.search(text):
            text = _without_damage(text, f"document {n}", source)
            if not text:
                continue
        source.mark.at = n + 1
        source.mark.documents += 1
        yield Document(f"{source.name}#{n}", text, source.name)
    if source.mark.documents == 0:
        source.damaged("", "holds no text, only white space")


def bounded(text: str) -> Iterator[str]:
    """`text` in pieces of at most MAX_DOCUMENT characters, without blank lines around them; none of white space."""
    for part in pieces(text.strip("\n"), MAX_DOCUMENT):
        if part.strip():
            yield part.strip("\n")


def _documents(chunks: Iterator[str], *, parted: bool) -> Iterator[str]:
    held = ""
    for chunk in chunks:
        seen = len(held.rstrip())  # what was looked through before; a gap may lie across the joint
        held += chunk
        begin = 0
        for gap in _BETWEEN_DOCUMENTS.finditer(held, seen) if parted else ():
            yield from bounded(held[begin : gap.start()])
            begin = gap.end()
        held = held[begin:]
        while len(held) > MAX_DOCUMENT:
            first = next(pieces(held, MAX_DOCUMENT))
            yield from bounded(first)
            held = held[len(first) :]
    yield from bounded(held)


def _without_damage(text: str, where: str, source: Source) -> str:
    parts = _BLANK_LINES.split(text)  # paragraphs, and the gaps between them at the odd places
    for i, part in enumerate(parts):
        if _DAMAGE.search(part):
            if len(part) > _MAX_PARAGRAPH:
                lines = part.split("\n")
                kept = [line for line in lines if not _DAMAGE.search(line)]
            else:
                lines, kept = [part], []
            parts[i] = "\n".join(kept)
            what = "it is not UTF-8" if "\0" not in part else "it holds a NUL character"
            source.damaged(f"{where}, paragraph {i // 2 + 1}:", f"{what}; {len(lines) - len(kept)} left out")
            if not kept and i + 1 < len(parts):
                parts[i + 1] = ""
    return "".join(parts).strip("\n")


def decode(file: BinaryIO, source: Source) -> Iterator[str]:
    """UTF-8 bytes to text with "\\n" line ends and without a byte-order mark; UserError names the first bad byte.

    A tolerant source's bad bytes come as U+DC80…U+DCFF, unless the file as a whole is in another encoding or binary.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape" if source.is_tolerant else "strict")
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    offset = 0
    at_start = True
    while True:
        chunk = file.read(_CHUNK)
        if source.is_tolerant and offset == 0:
            refuse_other_encodings(chunk, source.place)
        pending = len(decoder.getstate()[0])
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            raise not_utf8(source.place, offset - pending + error.start, error) from error
        if at_start and text:
            text, at_start = text.removeprefix("\ufeff"), False
        if "\0" in text and not source.is_tolerant:
            where = offset + text.index("\0")
            raise UserError(f"{source.place} holds a NUL character near byte {where}; {_NOT_TEXT}")
        offset += len(chunk)
        yield newlines.decode(text, final=not chunk)
        if not chunk:
            return


def refuse_other_encodings(head: bytes, place: str) -> None:
    """UserError where a file's beginning is UTF-16, binary, or has more letters of an 8-bit encoding than of UTF-8."""
    try:
        head.decode()
        n_bad = 0
    except UnicodeDecodeError as error:
        first = error
        escaped = head.decode(errors="surrogateescape")
        n_bad = len(re.findall("[\udc80-\udcff]", escaped))
    n_good = sum(head.count(bytes([lead])) for lead in range(0xC3, 0xF5)) if n_bad else 0
    if head[:2] in (b"\xff\xfe", b"\xfe\xff") or (n_bad >= 8 and n_bad > n_good):
        raise not_utf8(place, first.start, first) from first
    if _is_binary(head):
        raise UserError(f"{place} holds NUL characters; {_NOT_TEXT}")


def _is_binary(data: bytes) -> bool:
    return data.count(b"\0") > max(2, len(data) // 1000)  # of noise every 256th byte is one, of a text none


def not_utf8(place: str, offset: int, error: UnicodeDecodeError, line: int | None = None) -> UserError:
    """The message for a byte that is not UTF-8, with the command that mends the commonest cases."""
    bad = error.object[error.start]
    if offset == 0 and error.object[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
    elif _is_binary(error.object):
        return UserError(f"{place} is not UTF-8 (byte 0x{bad:02x} at offset {offset}); {_NOT_TEXT}")
    else:
        encoding = "latin1"
    where = f"at offset {offset}" + (f", line {line}" if line is not None else "")
    return UserError(
        f"{place} is not UTF-8: byte 0x{bad:02x} {where}; convert it, for instance: "
        f"iconv -f {encoding} -t utf8 '{place}' > converted.txt"
    )
