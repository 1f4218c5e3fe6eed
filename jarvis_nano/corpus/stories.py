"""A French generative grammar: writes as many short, correct texts as wanted, each a function of (seed, index).

What the texts say is in tales.py and scenes.py; here are drawn the kind of text, its characters and things.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from jarvis_nano.errors import UserError, main

from . import scenes, tales
from .phrases import Entity, entities, places
from .schemas import Cast, Piece, compile_schema, join, render

T = TypeVar("T")


@cache
def _plans() -> tuple[tuple[str, tuple[tuple[tuple[Piece, ...], ...], ...]], ...]:
    """Every kind of text with its moves compiled, tales three times: half of the texts are tales."""
    compiled: dict[tuple[str, str], tuple[tuple[Piece, ...], ...]] = {}

    def move(module: object, name: str) -> tuple[tuple[Piece, ...], ...]:
        key = (getattr(module, "__name__", ""), name)
        if key not in compiled:
            compiled[key] = tuple(compile_schema(line) for line in getattr(module, name).strip().splitlines())
        return compiled[key]

    plans = []
    for module, table, weight in ((tales, tales.TALES, 4), (scenes, scenes.SCENES, 1)):
        for kind, moves in table.items():
            plans += [(kind, tuple(move(module, name) for name in moves.split()))] * weight
    return tuple(plans)


def _choose(chance: Callable[[], float], items: tuple[T, ...]) -> T:
    return items[int(chance() * len(items))]


@cache
def _tools() -> tuple[Entity, ...]:
    return tuple(e for e in entities("object") if e.lemma in scenes.USES)


@cache
def _workers() -> tuple[Entity, ...]:
    known = " ".join(scenes.TRADES).split()
    return tuple(e for e in entities("person") if e.lemma in known)


_PEOPLE = ("animal", "animal", "person", "person", "name", "pair")


def _cast(chance: Callable[[], float]) -> Cast:
    """Draw who and what a text is about."""
    cast = Cast(chance)
    cast.h = _choose(chance, entities(_PEOPLE[int(chance() * 6)]))
    cast.f = _choose(chance, entities(_PEOPLE[int(chance() * 5)]))
    while cast.f.le in cast.h.le:
        cast.f = _choose(chance, entities("animal"))
    cast.b = Entity.both(cast.h, cast.f)
    cast.a = _choose(chance, entities("animal"))
    cast.v = _choose(chance, entities("person"))
    cast.t = _choose(chance, _tools())
    cast.o, cast.p = _choose(chance, entities("object")), _choose(chance, entities("object"))
    cast.l, cast.q = _choose(chance, places()), _choose(chance, places())
    while cast.q is cast.l:
        cast.q = _choose(chance, places())
    cast.d = _choose(chance, entities("dish"))
    cast.m, cast.r = _choose(chance, entities("teller")), _choose(chance, entities("family"))
    return cast


def story(seed: int, index: int) -> str:
    """One text; (seed, index) determines it."""
    chance = random.Random(seed * 1_000_003 + index).random
    plans = _plans()
    kind, moves = plans[int(chance() * len(plans))]
    cast = _cast(chance)
    if kind == "trade":
        cast.v = _choose(chance, _workers())
    if kind == "diary":
        cast.b = Entity.both(cast.m, cast.r)
    lines = []
    for schemas in moves:
        pieces = schemas[int(chance() * len(schemas))]
        line = render(pieces, cast)
        lines.append(line[0].upper() + line[1:])
    return join("\n".join(lines) if kind in ("talk", "questions", "market") else " ".join(lines))


def generate(count: int, seed: int = 0) -> Iterator[str]:
    """`count` texts, the same ones for the same seed."""
    return (story(seed, index) for index in range(count))


def megabytes(size: float, seed: int = 0) -> Iterator[str]:
    """Texts until their UTF-8 bytes reach `size` megabytes."""
    left = size * 1e6
    index = 0
    while left > 0:
        text = story(seed, index)
        yield text
        left -= len(text.encode())
        index += 1


def word_forms(texts: Iterable[str]) -> set[str]:
    """The distinct word forms of some texts, in lower case, elided words apart: « l'eau » is l and eau."""
    found: set[str] = set()
    for text in texts:
        found.update(re.findall(r"[^\W\d_]+", text.lower()))
    return found


def repeated_pairs(texts: Iterable[str]) -> float:
    """The share of adjacent sentence pairs that occur more than once, every occurrence counted."""
    from .checker import sentences

    counts: dict[int, int] = {}
    for text in texts:
        pieces = sentences(text)
        for pair in pairwise(pieces):
            key = hash(pair)
            counts[key] = counts.get(key, 0) + 1
    total = sum(counts.values())
    return sum(n for n in counts.values() if n > 1) / total if total else 0.0


# -- command line ----------------------------------------------------------------------------------------------------


def _write(texts: Iterable[str], out: Path, seed: int) -> int:
    """Write to a file that appears when it is whole: .txt, .jsonl, or .jsonl.zst; returns the number of texts."""
    if not out.name.endswith((".txt", ".jsonl", ".jsonl.zst")):
        raise UserError(f"--out {out}: expected a name that ends in .txt, .jsonl or .jsonl.zst")
    if not out.parent.is_dir():
        raise UserError(f"{out.parent} is no folder; make it first, or choose another --out")
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    count = 0
    try:
        with partial.open("wb") as file:
            packed = _compressor(file) if out.suffix == ".zst" else None
            for count, text in enumerate(texts, 1):
                record = {"id": f"stories-{seed}-{count - 1}", "text": text, "source": "stories"}
                line = text + "\n\n\n" if out.suffix == ".txt" else json.dumps(record, ensure_ascii=False) + "\n"
                (packed or file).write(line.encode())
            if packed:
                packed.close()
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    return count


def _compressor(file):  # type: ignore[no-untyped-def]
    import zstandard

    return zstandard.ZstdCompressor(level=10, write_checksum=True).stream_writer(file, closefd=False)


def _check(path: Path, shown: int, as_json: bool) -> bool:
    """Print what the checker finds in a file; True if every sentence is correct."""
    from . import checker
    from .sources import read_documents

    total = correct = 0
    first: list[checker.Flaw] = []
    for document in read_documents(path):
        report = checker.check(document.text)
        total, correct = total + len(report.sentences), correct + report.correct
        first += report.faults[: shown - len(first)]
    percent = 100 * correct / total if total else 0.0
    if as_json:
        found = {"sentences": total, "correct": correct, "percent": percent, "faults": [f._asdict() for f in first]}
        print(json.dumps(found, ensure_ascii=False))
    else:
        print(f"{total} sentences, {correct} correct ({percent:.2f} %)")
        for flaw in first:
            print(f"  {flaw.sentence}\n  {' ' * flaw.position}^ {flaw.message}")
    return correct == total


def run(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m jarvis_nano.corpus.stories",
        description="Write French stories, or check a file against their grammar (exit code 1 if a sentence is wrong).",
        epilog="examples: --count 3 --seed 1 · --megabytes 20 --out stories.jsonl.zst · --check stories.jsonl.zst",
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--count", type=int, help="how many texts (default 3)")
    size.add_argument("--megabytes", type=float, help="texts until they have this size")
    size.add_argument("--check", type=Path, metavar="FILE", help="check a .txt or .jsonl file, or a corpus folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="a .txt, .jsonl or .jsonl.zst file; the standard output without it")
    parser.add_argument("--faults", type=int, default=10, metavar="N", help="how many faults --check shows")
    parser.add_argument("--json", action="store_true", help="--check prints one JSON object")
    options = parser.parse_args(arguments)
    if options.check:
        if not _check(options.check, max(0, options.faults), options.json):
            sys.exit(1)
        return
    if options.count is not None and options.count < 1:
        raise UserError(f"--count {options.count}; expected at least 1")
    if options.megabytes is not None and options.megabytes <= 0:
        raise UserError(f"--megabytes {options.megabytes}; expected more than 0")
    texts = generate(options.count or 3, options.seed)
    if options.megabytes:
        texts = megabytes(options.megabytes, options.seed)
    if options.out:
        written = _write(texts, options.out, options.seed)
        print(f"wrote {written} texts to {options.out}", file=sys.stderr)
        return
    for number, text in enumerate(texts):
        print(f"\n{text}" if number else text)


if __name__ == "__main__":
    main(run)
