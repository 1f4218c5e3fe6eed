"""The uses of scripts/train_tokenizer.py beside training, and the bars of its training."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.status import Status

from jarvis_nano.corpus.sources import Documents
from jarvis_nano.tokenizer_lab import doctor_report, table
from jarvis_nano.tokenizer_lab.comparison import compare, load_all, without_nan
from jarvis_nano.tokenizer_lab.doctor import examine
from jarvis_nano.tokenizer_lab.loading import load
from jarvis_nano.tokenizer_lab.texts import read_texts

FORMAT, VERSION = "jarvis_nano-tokenizer-comparison", 1


def run_comparison(paths: Sequence[Path], data: Sequence[Path], learn_from: Sequence[Path], *, as_json: bool) -> None:
    """Measure tokenizers on the same texts and print tables, or one JSON object."""
    load_all(paths)  # what cannot be loaded is told before texts are read, which may take a while
    texts = read_texts(data, learn_from)
    with _status() as status:
        found = compare(paths, texts, on_step=lambda name: status.update(f"measuring {escape(name)}"))
    if not as_json:
        table.show(found, texts)
        return
    whole = {
        "format": FORMAT,
        "version": VERSION,
        "data": texts.source,
        "bytes": texts.n_bytes,
        "tokenizers": [one.as_json() for one in found],
    }
    print(json.dumps(whole, ensure_ascii=False, indent=1))


def run_doctor(path: Path, data: Sequence[Path], *, as_json: bool) -> int:
    """Examine a tokenizer and print what was found; the exit code: 0, or 1 where text is lost."""
    load(path)
    texts = read_texts(data)
    with _status() as status:
        status.update(f"examining {escape(str(path))}")
        diagnosis = examine(path, texts.measured)
    if as_json:
        print(json.dumps(without_nan(diagnosis.as_json()), ensure_ascii=False, indent=1))
    else:
        doctor_report.show(diagnosis, texts.source)
    return int(diagnosis.loses)


@contextlib.contextmanager
def _status() -> Iterator[Status]:
    console = Console(stderr=True)
    with console.status("") if console.is_terminal else contextlib.nullcontext(Status("", console=console)) as status:
        yield status


@dataclass
class TrainingBars:
    """Three bars on stderr, where that is a terminal: reading, counting words, learning merges."""

    progress: Progress
    documents: Documents

    def __post_init__(self) -> None:
        add = self.progress.add_task
        self._read = add("reading", total=self.documents.n_bytes or None, amount="")
        self._words = add("counting words", total=None, amount="", visible=False)
        self._merges = add("learning merges", total=None, amount="", visible=False)

    def read(self, n_bytes: int) -> None:
        """Told the bytes of text so far; the bar is of bytes on the disk, which may be packed."""
        self.progress.update(self._read, completed=self.documents.n_bytes_read, amount=f"{n_bytes / 1e6:,.1f} MB")

    def words(self, n_bytes: int) -> None:
        """Told the bytes of text counted."""
        self.progress.update(self._words, completed=n_bytes, amount=f"{n_bytes / 1e6:,.1f} MB", visible=True)

    def merges(self, done: int, wanted: int) -> None:
        """Told the merges done and wanted."""
        self.progress.update(self._merges, total=wanted, completed=done, amount=f"{done} of {wanted}", visible=True)


@contextlib.contextmanager
def training_bars(documents: Documents) -> Iterator[TrainingBars]:
    """The bars of a training on these documents, gone at its end."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[amount]}"), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield TrainingBars(progress, documents)
