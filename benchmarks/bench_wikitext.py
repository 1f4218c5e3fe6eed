"""Wikitext to text beside mwparserfromhell's strip_code and a plain regex: sentences right, bytes kept, MB/s.

pytest benchmarks/bench_wikitext.py --benchmark-only     the three readers on a few articles
python benchmarks/bench_wikitext.py                      the table of docs/mediawiki.md: about two minutes
python benchmarks/bench_wikitext.py --sentences          each sentence as the three render it

The articles are those of ../shared/data/wiki, or of the dump given by --dump; sentences: tests/corpus/mediawiki.
CPU seconds of one core, the least of a few rounds. Decompression and XML are not counted.
"""

from __future__ import annotations

import argparse
import bz2
import re
import time
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from jarvis_nano.corpus.sources.mediawiki.site import Site
from jarvis_nano.corpus.sources.mediawiki.wikitext import Wikitext

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT.parent / "shared/data/wiki"
SENTENCES = ROOT / "tests/corpus/mediawiki/sentences.tsv"  # wikitext, expected
PIECES = ROOT / "tests/corpus/mediawiki/sample.tsv"  # article, wikitext, expected: pieces of the sample itself
SMALL = 300_000  # bytes of articles in a pytest run
Reader = Callable[[str], str]


def articles(dump: Path | None = None) -> list[str]:
    """The wikitext of every article of a small dump, redirects left out; empty where there is none."""
    dump = dump or next(iter(sorted(SAMPLE.glob("*.bz2"))), None)
    if dump is None:
        return []
    found = []
    for page in ElementTree.fromstring(bz2.decompress(dump.read_bytes())):
        parts = {part.tag.rpartition("}")[2]: part.text or "" for part in page.iter()}
        if parts.get("ns") == "0" and "redirect" not in parts:
            found.append(parts["text"])
    return found


def pairs_of(path: Path) -> list[tuple[str, str]]:
    """(wikitext, expected) of each line; what stands before them in a line is the article's title."""
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = (line.split("\t") for line in lines if line and not line.startswith("# "))
    return [(row[-2], row[-1]) for row in rows]


def ours() -> Reader:
    return Wikitext(Site()).text


def mwparserfromhell_reader(**options: bool) -> Reader:
    import mwparserfromhell

    return lambda wikitext: str(mwparserfromhell.parse(wikitext).strip_code(**options))


def plain_regex() -> Reader:
    """What a quick script does: inner templates and tables away a few times over, then tags, links and quotes."""
    braces = re.compile(r"\{\{[^{}]*\}\}|\{\|[^{}]*\|\}")
    rules = [
        (re.compile(r"<ref[^<>]*/>|<ref[^<>]*>.*?</ref>|<!--.*?-->", re.DOTALL), ""),
        (re.compile(r"\[\[(?:Fichier|Image|Catégorie|File):[^\[\]]*\]\]"), ""),
        (re.compile(r"\[\[(?:[^\[\]|]*\|)?([^\[\]|]*)\]\]"), r"\1"),
        (re.compile(r"\[https?://\S+ ?([^\]]*)\]"), r"\1"),
        (re.compile(r"<[^<>]*>|'{2,}|^=+|=+ *$", re.MULTILINE), ""),
    ]

    def read(wikitext: str) -> str:
        for _ in range(4):
            wikitext = braces.sub("", wikitext)
        for rule, text in rules:
            wikitext = rule.sub(text, wikitext)
        return wikitext

    return read


READERS: dict[str, Callable[[], Reader]] = {
    "jarvis_nano": ours,
    "mwparserfromhell": mwparserfromhell_reader,
    "mwparserfromhell, parameters kept": lambda: mwparserfromhell_reader(keep_template_params=True),
    "plain regex": plain_regex,
}


def seconds(read: Reader, texts: list[str], rounds: int) -> float:
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        for text in texts:
            read(text)
        best = min(best, time.process_time() - start)
    return best


def right(read: Reader, pairs: list[tuple[str, str]]) -> int:
    """Sentences that read as expected, white space aside."""
    return sum(" ".join(read(wikitext).split()) == expected for wikitext, expected in pairs)


def show_sentences() -> None:
    readers = {name: make() for name, make in READERS.items()}
    for wikitext, expected in pairs_of(SENTENCES):
        print(f"\n{wikitext}\n  expected          {expected}")
        for name, read in readers.items():
            text = " ".join(read(wikitext).split())
            print(f"  {name:17} {'=' if text == expected else text}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dump", type=Path, help="a small pages-articles.xml.bz2")
    parser.add_argument("--sentences", action="store_true", help="print each sentence as each reader renders it")
    options = parser.parse_args()
    if options.sentences:
        show_sentences()
        return
    texts, pairs, pieces = articles(options.dump), pairs_of(SENTENCES), pairs_of(PIECES)
    if not texts:
        parser.exit(2, f"error: no dump in {SAMPLE}; give one with --dump\n")
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    print(f"{len(texts)} articles, {megabytes:.2f} MB of wikitext; {len(pairs)} sentences, {len(pieces)} pieces\n")
    print("| reader | sentences right | pieces right | bytes kept | MB/s |\n|---|---|---|---|---|")
    for name, make in READERS.items():
        read = make()
        kept = sum(len(read(text).encode()) for text in texts) / 1e6 / megabytes
        speed = megabytes / min(seconds(make(), texts, 1) for _ in range(5 if not name.startswith("mw") else 2))
        scores = " | ".join(f"{right(read, rows)} of {len(rows)}" for rows in (pairs, pieces))
        print(f"| {name} | {scores} | {100 * kept:.1f} % | {speed:.2f} |")


@pytest.fixture(scope="module")
def small() -> list[str]:
    texts = articles()
    if not texts:
        pytest.skip(f"no articles at {SAMPLE}")
    chosen, size = [], 0
    for text in texts:
        if size + len(text.encode()) <= SMALL:
            chosen.append(text)
            size += len(text.encode())
    return chosen


@pytest.mark.parametrize("name", READERS)
def test_reading(benchmark, small, name):
    if name.startswith("mw"):
        pytest.importorskip("mwparserfromhell")
    read = READERS[name]()
    result = benchmark.pedantic(lambda: [read(text) for text in small], rounds=3, warmup_rounds=1)
    benchmark.extra_info["megabytes"] = sum(len(text.encode()) for text in small) / 1e6
    assert len(result) == len(small)


if __name__ == "__main__":
    main()
