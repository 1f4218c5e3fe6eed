"""Training a tokenizer on French: BpeTrainer beside the tokenizers library and others, on the same merges.

pytest benchmarks/bench_bpe_training.py --benchmark-only    each trainer on a megabyte, among the other benchmarks
python benchmarks/bench_bpe_training.py [FILE...] [--json]  all of them interleaved in one process: seconds and ratios
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from tokenizers import models, pre_tokenizers, trainers

from jarvis_nano.kernels import BpeTrainer
from jarvis_nano.kernels.bpe.patterns import TRAINABLE, byte_alphabet

ROOT = Path(__file__).resolve().parent.parent
NOVELS = ROOT.parent / "shared/data/corpus_fr"
TEXT_CHARACTERS = 20_000
BETWEEN = "\0"  # gigatoken takes one buffer; the texts in it are parted by this

Merges = list[tuple[str, str]]


def french_texts(files: list[Path]) -> list[str]:
    """The files given, else the shared novels, else the built-in stories; in parts, since tokenizers slows down with
    the length of a text."""
    paths = files or sorted(NOVELS.glob("*.txt"))
    if paths:
        whole = [path.read_text(encoding="utf-8") for path in paths]
        return [text[at : at + TEXT_CHARACTERS] for text in whole for at in range(0, len(text), TEXT_CHARACTERS)]
    from jarvis_nano.corpus import stories

    return list(stories.generate(5000, seed=0))


def calls(texts: list[str], pattern: str, vocab_size: int, n_threads: int) -> dict[str, Callable[[], Any]]:
    """A call for each trainer that is installed; `merges_of` reads what it gives."""
    found: dict[str, Callable[[], Any]] = {
        "ours": lambda: by_ours(texts, pattern, vocab_size, n_threads),
        "tokenizers": lambda: by_tokenizers(texts, pattern, vocab_size),
    }
    if find_spec("gigatoken") and pattern == "gpt2":  # the only pattern that it trains with
        data = BETWEEN.join(texts).encode()
        found["gigatoken"] = lambda: by_gigatoken(data, vocab_size)
    if find_spec("bpeasy"):
        found["bpeasy"] = lambda: by_bpeasy(texts, pattern, vocab_size)
    if find_spec("rustbpe"):
        found["rustbpe"] = lambda: by_rustbpe(texts, pattern, vocab_size)
    return found


def by_ours(texts: list[str], pattern: str, vocab_size: int, n_threads: int | None = None) -> Merges:
    trainer = BpeTrainer(pattern=pattern, vocab_size=vocab_size, min_frequency=0, n_threads=n_threads)
    trainer.feed(texts)
    return trainer.train()[0]


def by_tokenizers(texts: list[str], pattern: str, vocab_size: int) -> tokenizers.Tokenizer:
    tokenizer = tokenizers.Tokenizer(models.BPE())
    split = pre_tokenizers.Split(tokenizers.Regex(TRAINABLE[pattern]), behavior="isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pattern == "gpt2")
    tokenizer.pre_tokenizer = byte_level if pattern == "gpt2" else pre_tokenizers.Sequence([split, byte_level])
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def by_gigatoken(data: bytes, vocab_size: int) -> list[tuple[bytes, bytes]]:
    import gigatoken

    return gigatoken.train_bpe(data, vocab_size, [], separator=BETWEEN.encode())[1]


def by_bpeasy(texts: list[str], pattern: str, vocab_size: int) -> None:
    import bpeasy

    bpeasy.train_bpe(iter(texts), TRAINABLE[pattern], 128, vocab_size)


def by_rustbpe(texts: list[str], pattern: str, vocab_size: int) -> None:
    import rustbpe

    rustbpe.Tokenizer().train_from_iterator(iter(texts), vocab_size, pattern=TRAINABLE[pattern])


def merges_of(who: str, result: Any) -> Merges | None:
    """The merges that a trainer gave, in the characters of a tokenizer.json; None where it gives no such list."""
    if who == "tokenizers":
        return [tuple(merge) for merge in json.loads(result.to_str())["model"]["merges"]]
    if who == "gigatoken":
        alphabet = byte_alphabet()
        return [tuple("".join(alphabet[byte] for byte in part) for part in merge) for merge in result]
    return result


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Without what compiled peers print past sys.stdout."""
    sys.stdout.flush()
    kept = [os.dup(place) for place in (1, 2)]
    with open(os.devnull, "w") as nowhere:
        for place in (1, 2):
            os.dup2(nowhere.fileno(), place)
        try:
            yield
        finally:
            for place, copy in zip((1, 2), kept, strict=True):
                os.dup2(copy, place)
                os.close(copy)


def interleaved(
    found: dict[str, Callable[[], Any]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Seconds by trainer, the best of `rounds`: each in turn, so that all meet the same machine. AssertionError if a
    trainer's merges are not those of ours."""
    best = dict.fromkeys(found, float("inf"))
    want = found["ours"]()
    for _ in range(rounds):
        for who, call in found.items():
            start = clock()
            with silenced():
                result = call()
            best[who] = min(best[who], clock() - start)
            assert merges_of(who, result) in (None, want), f"{who} learnt other merges"
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--patterns", nargs="+", choices=TRAINABLE, default=["gpt2", "llama3", "french"])
    parser.add_argument("--vocab-size", type=int, default=16_384)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--cpu-time", action="store_true", help="seconds of CPU, for a machine that is busy")
    parser.add_argument("--json", action="store_true", help="one JSON object on the standard output")
    options = parser.parse_args()
    os.environ["RAYON_NUM_THREADS"] = str(options.threads)  # read by the peers at their first call
    texts = french_texts(options.files)
    clock = time.process_time if options.cpu_time else time.perf_counter
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    results = {
        pattern: interleaved(calls(texts, pattern, options.vocab_size, options.threads), options.rounds, clock)
        for pattern in options.patterns
    }
    if options.json:
        about = {"machine": platform.processor() or platform.machine(), "threads": options.threads, "MB": megabytes}
        print(json.dumps(about | {"vocab_size": options.vocab_size, "seconds": results}))
        return
    unit = "seconds of CPU" if options.cpu_time else "seconds"
    print(f"{megabytes:.1f} MB of French, {options.vocab_size} ids, {options.threads} threads: {unit} (theirs / ours)")
    for pattern, seconds in results.items():
        ours = seconds.pop("ours")
        theirs = "".join(f"   {who} {taken:.2f} ({taken / ours:.1f} x)" for who, taken in seconds.items())
        print(f"  {pattern:<8}{ours:7.3f}{theirs}")


@pytest.mark.parametrize("who", ["ours", "tokenizers", "gigatoken", "bpeasy", "rustbpe"])
def test_training(benchmark, who):
    texts = french_texts([])[:50]
    found = calls(texts, "gpt2", 2000, 1)
    if who not in found:
        pytest.skip(f"{who} is not installed")
    benchmark.group = "bpe: training, a megabyte, 2000 ids"
    with silenced():
        benchmark.pedantic(found[who], rounds=3, warmup_rounds=1)


if __name__ == "__main__":
    main()
