"""What a second thread gives BpeEncoder: python benchmarks/bpe_threads.py [--rounds N] [FILE...]

One process without any peer's pool of threads in it: one thread and two in turn, medians by the clock.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import bpe_peers

from jarvis_nano.kernels import BpeEncoder

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, help="texts; by default corpus_fr")
    parser.add_argument("--rounds", type=int, default=25)
    options = parser.parse_args()
    files = options.files or sorted((ROOT.parent / "shared/data/corpus_fr").glob("*.txt"))
    text = "".join(path.read_text(encoding="utf-8") for path in files)
    data = text.encode()
    documents = [text[at : at + 1800] for at in range(0, len(text), 1800)]
    for pattern in ("gpt2", "llama3"):
        raw = bpe_peers.train([text], pattern, 16_384)
        encoders = {threads: BpeEncoder(raw, n_threads=threads) for threads in (1, 2)}
        for name, given in {"bytes": data, "str": text, "documents": documents}.items():
            seconds: dict[int, list[float]] = {1: [], 2: []}
            for _ in range(options.rounds):
                for threads, encoder in encoders.items():
                    start = time.perf_counter()
                    ids = encoder.encode_batch(given) if name == "documents" else encoder.encode(given)
                    seconds[threads].append(time.perf_counter() - start)
                    del ids
            one, two = (statistics.median(times) for times in seconds.values())
            speeds = f"{len(data) / one / 1e6:.0f} and {len(data) / two / 1e6:.0f} MB/s"
            print(f"{pattern:<7} {name:<10} one thread and two: {speeds}, {one / two:.2f} times")


if __name__ == "__main__":
    main()
