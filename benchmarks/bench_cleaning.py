"""Normalising, figures of quality, language and masking: MB/s of one core on French books, and what is dropped.

pytest benchmarks/bench_cleaning.py --benchmark-only     needs ../shared/data; the figures stand in extra_info
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from jarvis_nano.corpus.documents import pieces
from jarvis_nano.corpus.normalise import Normaliser
from jarvis_nano.corpus.normalise.typographer import typeset
from jarvis_nano.corpus.quality.filters import judge
from jarvis_nano.corpus.quality.language import LanguageIdentifier, looks_french
from jarvis_nano.corpus.quality.sensitive import mask

BOOKS = Path(__file__).resolve().parents[2] / "shared/data/corpus_fr"
PAGE = 5000  # characters: a document of the web, or of an encyclopaedia

pytestmark = pytest.mark.skipif(not BOOKS.is_dir(), reason=f"no French books at {BOOKS}")


@pytest.fixture(scope="module")
def raw() -> list[str]:
    texts = [path.read_text(encoding="utf-8") for path in sorted(BOOKS.glob("*.txt"))]
    return [page for text in texts for page in pieces(text, PAGE)]


@pytest.fixture(scope="module")
def pages(raw: list[str]) -> list[str]:
    return [*map(Normaliser(), raw)]


def speed(benchmark, run: Callable[[str], object], texts: list[str]) -> None:
    """Rounds over all texts; MB/s of CPU time, from the best round, as this process alone spent it."""
    seconds = []

    def once() -> None:
        started = time.process_time()
        for text in texts:
            run(text)
        seconds.append(time.process_time() - started)

    benchmark.pedantic(once, rounds=5, warmup_rounds=1)
    n_bytes = sum(len(text.encode()) for text in texts)
    benchmark.extra_info.update(
        MB_per_s=round(n_bytes / min(seconds) / 1e6, 1),
        documents=len(texts),
        ms_a_document=round(1e3 * min(seconds) / len(texts), 3),
    )


def test_normalising(benchmark, raw: list[str]) -> None:
    speed(benchmark, Normaliser(), raw)
    counted = Normaliser()
    for text in raw:
        counted(text)
    benchmark.extra_info.update(counted.changed)


def test_normalising_what_is_normal(benchmark, pages: list[str]) -> None:
    speed(benchmark, Normaliser(), pages)


def test_normalising_with_ftfy_on_every_line(benchmark, raw: list[str]) -> None:
    """What repairing only suspect lines spares: ftfy.fix_encoding on all of a fifth of the pages."""
    ftfy = pytest.importorskip("ftfy")
    speed(benchmark, ftfy.fix_encoding, raw[::5])


def test_typesetting(benchmark, pages: list[str]) -> None:
    speed(benchmark, typeset, pages)


def test_quality(benchmark, pages: list[str]) -> None:
    speed(benchmark, judge, pages)
    reasons = Counter(judge(page).reason for page in pages)
    kept = reasons.pop(None)
    benchmark.extra_info.update(
        kept_percent=round(100 * kept / len(pages), 2), **{str(k): n for k, n in reasons.items()}
    )


def test_language(benchmark, pages: list[str]) -> None:
    identifier = LanguageIdentifier()
    speed(benchmark, identifier.identify, pages)
    quick = sum(map(looks_french, pages)) / len(pages)
    benchmark.extra_info["without_lingua_percent"] = round(100 * quick, 1)


def test_language_by_lingua_alone(benchmark, pages: list[str]) -> None:
    identifier = LanguageIdentifier(quick=False)
    speed(benchmark, identifier.identify, pages[::5])
    found = [identifier.identify(page) for page in pages]
    benchmark.extra_info.update(
        french_percent=round(100 * sum(code == "fr" for code, _ in found) / len(found), 2),
        past_0_65_percent=round(100 * sum(code == "fr" and c >= 0.65 for code, c in found) / len(found), 2),
        memory_MB=_memory_of_lingua(),
    )


def _memory_of_lingua() -> int:
    """MB by which a fresh process grows when lingua has read texts short and long, in several languages (Linux)."""
    program = (
        "rss = lambda: int(open('/proc/self/statm').read().split()[1]) * 4096\n"
        "from jarvis_nano.corpus.quality.language import LanguageIdentifier\n"
        "before = rss(); i = LanguageIdentifier(quick=False)\n"
        "for text in ('Le roi sortit. ', 'The king left. ', 'Der König ging. ', 'El rey salió. ', 'Царь вышел. '):\n"
        "    for n in (1, 2, 4, 20, 200): i.identify(text * n)\n"
        "print((rss() - before) // 1_000_000)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_masking(benchmark, pages: list[str]) -> None:
    speed(benchmark, mask, pages)
    benchmark.extra_info["masked"] = sum((mask(page)[1] for page in pages), Counter()).total()
