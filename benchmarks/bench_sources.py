"""Megabytes a second of CPU time by which each reader of corpus/sources gives documents, and books are rebuilt.

    python benchmarks/bench_sources.py DUMP.xml.bz2 BOOKS_FOLDER

The dump's wikitext is handed on as it is: what is measured is the envelope. The other formats hold the paragraphs
of the books.
"""

from __future__ import annotations

import bz2
import html
import io
import json
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from jarvis_nano.corpus.sources import Reader, Source
from jarvis_nano.corpus.sources.books import rebuild
from jarvis_nano.corpus.sources.html import read_html
from jarvis_nano.corpus.sources.jsonl import read_jsonl
from jarvis_nano.corpus.sources.mediawiki import dump
from jarvis_nano.corpus.sources.tabular import read_csv
from jarvis_nano.corpus.sources.text import read_text


class _AsItIs:
    unknown: Counter[str] = Counter()  # noqa: RUF012

    def text(self, wikitext: str, title: str) -> str:
        return wikitext

    def redirect(self, wikitext: str) -> str | None:
        return None


def seconds(run: Callable[[], object]) -> float:
    """The best of three."""
    times = []
    for _ in range(3):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return min(times)


def read_all(reader: Reader, file: BinaryIO) -> int:
    return sum(len(document.utf8) for document in reader(file, Source("bench", "bench")))


def main(dump_path: Path, books: Path) -> None:
    dump._wikitext = lambda site, source: _AsItIs()  # type: ignore[assignment,return-value]
    texts = [path.read_text(encoding="utf-8") for path in sorted(books.glob("*.txt"))]
    paragraphs = [part for text in texts for part in text.split("\n\n") if part.strip()]
    quoted = ('"' + part.replace('"', '""') + '"' for part in paragraphs)
    page = "".join(f"<p>{html.escape(part)}</p>\n" for part in paragraphs)
    cases: dict[str, tuple[Reader, bytes]] = {
        "MediaWiki dump (unpacked)": (dump.read_dump, bz2.decompress(dump_path.read_bytes())),
        "plain text": (read_text, "\n\n\n".join(texts).encode()),
        "JSON lines": (read_jsonl, "".join(json.dumps({"text": p}) + "\n" for p in paragraphs).encode()),
        "CSV": (read_csv, ("text\n" + "\n".join(quoted)).encode()),
        "HTML": (read_html, f"<html>{page[:5_000_000]}</html>".encode()),
    }
    for name, (reader, data) in cases.items():
        print(f"{name:28} {len(data) / seconds(lambda r=reader, d=data: read_all(r, io.BytesIO(d))) / 1e6:7.1f} MB/s")
    wrapped = "\n\n".join(textwrap.fill(part, 70) for part in texts[0].split("\n\n"))
    print(f"{'books.rebuild':28} {len(wrapped.encode()) / seconds(lambda: rebuild(wrapped)) / 1e6:7.1f} MB/s")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
