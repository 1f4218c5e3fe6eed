"""Tables with a column of texts: .csv and .tsv in any dialect, .parquet by pyarrow."""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO

from jarvis_nano.corpus.documents import Document
from jarvis_nano.corpus.sources.docx import seekable
from jarvis_nano.corpus.sources.jsonl import lines_of
from jarvis_nano.corpus.sources.opening import HEAD
from jarvis_nano.corpus.sources.source import Source
from jarvis_nano.corpus.sources.text import refuse_other_encodings
from jarvis_nano.errors import UserError

MAX_RECORD = 16 << 20  # characters of a row of a .csv, in all its lines
MAX_PARQUET = 8 << 30  # bytes of a Parquet file that comes packed or through a pipe, and has to be written down first
_BATCH = 64  # rows of a Parquet file in memory
_DELIMITERS = ",;\t|"
_NO_DELIMITER = "\x1f"  # for a table of one column
_TEXT_COLUMNS = ("text", "texte", "content", "contenu", "body", "corps", "article", "document", "raw_content")


def read_csv(file: BinaryIO, source: Source) -> Iterator[Document]:
    """The texts of a table after the mark, a row each; the first row names the columns.

    The delimiter (comma, semicolon, tab, bar) is the one by which the first rows agree. The text column is
    `options.text_column`, or where that is "text" and missing, the first of the usual names. Columns "id" and "source"
    are kept. Damage: a row that is not UTF-8, holds a NUL, has more or fewer fields than the header, a quotation mark
    that is never closed, or more than MAX_RECORD. Memory: 4 × MAX_RECORD.
    """
    if source.is_tolerant and isinstance(file, io.BufferedReader):
        refuse_other_encodings(file.peek(HEAD)[:HEAD], source.place)
    lines = _Lines(lines_of(file, source, MAX_RECORD, "expected a row of a table", from_start=True))
    first = lines.look_at(20)
    if not first:
        source.damaged("", "holds no rows")
        return
    n_done = source.mark.at
    rows = _rows(lines, _delimiter(first, source.options.text_column), source)
    header = next(rows, _Row(0, 0, [])).fields
    columns = _Columns.find([name.strip() for name in header], source)
    for row in rows:
        if row.last_line <= n_done:
            continue
        if len(row.fields) != len(header):
            why = f"has {len(row.fields)} fields where the header has {len(header)}"
            source.damaged(f"line {row.first_line}", f"{why}: a quotation mark or a delimiter too many?")
            continue
        document = _document(row.first_line, *columns.pick(row.fields), source)
        if document is not None:
            source.mark.at = row.last_line
            source.mark.documents += 1
            yield document
    if source.mark.documents == 0:
        source.damaged("", "holds no text: the column is empty in every row")


def read_parquet(file: BinaryIO, source: Source) -> Iterator[Document]:
    """The texts of a Parquet file after the mark; columns as in read_csv, no other one is read.

    Damage, of the whole file: it is no Parquet, or is cut short; what was read before is delivered. Memory: _BATCH
    rows and what pyarrow holds of a row group's text column, a page at a time.
    """
    pyarrow, parquet = _pyarrow()
    with seekable(file, source.place, MAX_PARQUET) as held:
        try:
            table = parquet.ParquetFile(held, pre_buffer=False, buffer_size=1 << 20)
            columns = _Columns.find(list(table.schema_arrow.names), source)
            columns.check_text(table.schema_arrow, pyarrow, source)
            for number, row in _parquet_rows(table, columns, source.mark.at):
                document = _document(number, *row, source)
                if document is not None:
                    source.mark.at = number
                    source.mark.documents += 1
                    yield document
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
            source.damaged("", f"is no Parquet file that can be read: {' '.join(str(error).split())[:200]}")
            return
    if source.mark.documents == 0:
        source.damaged("", "holds no text: the column is empty in every row")


def is_table(head: str, text_column: str) -> bool:
    """Whether a text without a telling name is a table: a header with a text column, three rows that agree with it."""
    first = list(islice(io.StringIO(head, newline="\n"), 60))
    is_cut = len(first) == 60 or len(head) > HEAD // 2
    lines = _Lines(enumerate(first, 1))
    delimiter = _delimiter(lines.look_at(20), text_column)
    if delimiter == _NO_DELIMITER:
        return False
    rows = [row.fields for row in _rows(lines, delimiter, _silent())][: -1 if is_cut else None]
    header = [name.strip() for name in rows[0]] if len(rows) > 3 else []
    if text_column not in header and not {name.lower() for name in header} & set(_TEXT_COLUMNS):
        return False
    named = all(name and len(name) <= 40 and name.count(" ") < 3 for name in header)
    return named and all(len(row) == len(header) for row in rows)


def _silent() -> Source:
    return Source("", "", on_damage=lambda damage: None)


@dataclass(frozen=True)
class _Row:
    first_line: int
    last_line: int
    fields: list[str]


@dataclass(frozen=True)
class _Columns:
    text: int
    id: int | None
    source: int | None
    names: Sequence[str]

    @classmethod
    def find(cls, names: Sequence[str], source: Source) -> _Columns:
        """UserError with the columns that there are, where none is the text."""
        wanted = source.options.text_column
        lower = [name.lower() for name in names]
        guesses = [name for name in _TEXT_COLUMNS if name in lower] if wanted == "text" else []
        if wanted not in names and not guesses:
            shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
            raise UserError(
                f'{source.place} has no column "{wanted}" (its columns: {shown}); name the one that holds the text'
            )
        text = names.index(wanted) if wanted in names else lower.index(guesses[0])
        identity, origin = (names.index(one) if one in names else None for one in ("id", "source"))
        return cls(text, identity, origin, names)

    def pick(self, row: Sequence[Any]) -> tuple[Any, Any, Any]:
        """(text, id, source) of a row."""
        return row[self.text], *(row[at] if at is not None else None for at in (self.id, self.source))

    def check_text(self, schema: Any, pyarrow: Any, source: Source) -> None:
        """UserError where the text column of a Parquet file does not hold strings."""
        kind = schema.field(self.names[self.text]).type
        kind = kind.value_type if pyarrow.types.is_dictionary(kind) else kind
        if not any(check(kind) for check in (pyarrow.types.is_string, pyarrow.types.is_large_string)):
            raise UserError(f'{source.place} holds {kind} in its column "{self.names[self.text]}"; expected strings')


def _document(number: int, text: Any, identity: Any, origin: Any, source: Source) -> Document | None:
    """None where there is no text."""
    if not isinstance(text, str) or not text or text.isspace():
        source.passed_over["no text"] += 1
        return None
    has_identity = isinstance(identity, (str, int)) and identity != ""
    return Document(
        str(identity) if has_identity else f"{source.name}:{number}",
        text,
        origin if isinstance(origin, str) and origin else source.name,
    )


class _Lines:
    """Lines with their numbers, some of which can be looked at or put back."""

    def __init__(self, lines: Iterable[tuple[int, str]]) -> None:
        self._lines = iter(lines)
        self._held: deque[tuple[int, str]] = deque()

    def take(self) -> tuple[int, str] | None:
        return self._held.popleft() if self._held else next(self._lines, None)

    def put_back(self, lines: Sequence[tuple[int, str]]) -> None:
        self._held.extendleft(reversed(lines))

    def look_at(self, n: int) -> list[str]:
        while len(self._held) < n and (line := next(self._lines, None)) is not None:
            self._held.append(line)
        return [line for _, line in self._held]


def _rows(lines: _Lines, delimiter: str, source: Source) -> Iterator[_Row]:
    """Each row that can be read; blank lines are none. What is damaged before the mark was told of before."""
    n_done = source.mark.at
    while (line := lines.take()) is not None:
        taken = [line]
        is_open = _ends_open(line[1], delimiter, False)
        size = len(line[1])
        while is_open and size <= MAX_RECORD and (more := lines.take()) is not None:
            taken.append(more)
            size += len(more[1])
            is_open = _ends_open(more[1], delimiter, True)
        try:
            if is_open:
                lines.put_back(taken[1:])
                raise csv.Error("a quotation mark opens that nothing closes")
            fields = _parsed("".join(text for _, text in taken), delimiter)
        except csv.Error as error:
            if line[0] > n_done:
                source.damaged(f"line {line[0]}", f"is no row of a table: {error}")
            continue
        if fields:
            yield _Row(line[0], taken[-1][0], fields)


def _ends_open(line: str, delimiter: str, is_open: bool) -> bool:
    """Whether a quoted field goes on after the line: a mark opens only where a field begins, "" within is a mark."""
    at = 0
    if not is_open and line.startswith('"'):
        is_open, at = True, 1
    while True:
        if is_open:
            at = line.find('"', at)
            if at < 0:
                return True
            if line.startswith('""', at):
                at += 2
                continue
            is_open, at = False, at + 1
        else:
            at = line.find(f'{delimiter}"', at)
            if at < 0:
                return False
            is_open, at = True, at + 2


def _parsed(record: str, delimiter: str) -> list[str]:
    """The fields; csv.Error where it is no row."""
    if "\0" in record:
        raise csv.Error("it holds a NUL character")
    limit = csv.field_size_limit(2 * MAX_RECORD)  # of the whole process: put back at once
    try:
        return next(csv.reader([record], delimiter=delimiter), [])
    finally:
        csv.field_size_limit(limit)


def _delimiter(first: list[str], text_column: str) -> str:
    """The delimiter by which the first lines agree best: by the text column in the header, then by equal counts."""
    best, best_score = _NO_DELIMITER, (False, 0.0, 1)
    wanted = {text_column, *(_TEXT_COLUMNS if text_column == "text" else ())}
    for delimiter in _DELIMITERS:
        rows = [row.fields for row in _rows(_Lines(enumerate(first, 1)), delimiter, _silent())]
        if not rows or len(rows[0]) < 2:
            continue
        n_equal = sum(len(row) == len(rows[0]) for row in rows)
        score = (bool(wanted & {name.strip() for name in rows[0]}), n_equal / len(rows), len(rows[0]))
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _parquet_rows(table: Any, columns: _Columns, n_done: int) -> Iterator[tuple[int, tuple[Any, Any, Any]]]:
    """(number from 1, text, id and source) of the rows after n_done; row groups before it are not read."""
    names = [columns.names[at] for at in dict.fromkeys((columns.text, columns.id, columns.source)) if at is not None]
    number = 0
    for group in range(table.metadata.num_row_groups):
        n_rows = table.metadata.row_group(group).num_rows
        if number + n_rows <= n_done:
            number += n_rows
            continue
        for batch in table.iter_batches(batch_size=_BATCH, row_groups=[group], columns=names):
            picked = [
                batch.column(columns.names[at]).to_pylist() if at is not None else [None] * batch.num_rows
                for at in (columns.text, columns.id, columns.source)
            ]
            for row in zip(*picked):
                number += 1
                if number > n_done:
                    yield number, row


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UserError('reading Parquet needs pyarrow; run: pip install -e ".[corpus]"') from error
    return pyarrow, parquet
