"""Encoding French: BpeEncoder beside the tokenizers library and tiktoken, on the same ids.

pytest benchmarks/bench_bpe.py --benchmark-only     one figure a case, among the other benchmarks
python benchmarks/bench_bpe.py [FILE...] [--json]   all of them interleaved in one process: MB/s and ratios
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from jarvis_nano.kernels import BpeEncoder
from jarvis_nano.kernels.bpe.patterns import PATTERNS
from jarvis_nano.kernels.bpe.tokenizer_file import parse

ROOT = Path(__file__).resolve().parent.parent
NOVELS = ROOT.parent / "shared/data/corpus_fr"
VOCAB_SIZE = 16_384
TEXT_BYTES = 4_000_000
DOCUMENT_CHARACTERS = 1_800
WORST = {"one letter": "a", "spaces": " ", "new lines": "\n", "digits": "12", "punctuation": ".-!", "emoji": "😀",
         "contractions": "'s", "elisions": "l'"}  # fmt: skip
PATTERNS_TIMED = ("french", "llama3")


class Case(NamedTuple):
    """One way to encode: its name, who does it, and the call; `megabytes` of UTF-8 go through it."""

    name: str
    who: str
    call: Callable[[], object]
    megabytes: float


def french_text(files: list[Path]) -> str:
    """4 MB of French: the files given, else the shared novels, else the built-in stories."""
    paths = files or sorted(NOVELS.glob("*.txt"))
    if paths:
        return "".join(path.read_text(encoding="utf-8") for path in paths)[: TEXT_BYTES * 95 // 100]
    from jarvis_nano.corpus import stories

    return "\n".join(stories.generate(3000, seed=0))


def train(text: str, pattern: str) -> bytes:
    """A tokenizer.json of 16,384 ids (fewer on a small text), trained on the text itself."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    split = pre_tokenizers.Split(tokenizers.Regex(PATTERNS[pattern]), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([text], trainer)
    return tokenizer.to_str().encode()


def tiktoken_of(raw: bytes, pattern: str):
    """The same merges in tiktoken, or None where it is not installed."""
    if find_spec("tiktoken") is None:
        return None
    import tiktoken

    # Without an added token the ids of a trained vocabulary are ranks: the alphabet, then the merges in their order.
    ranks = {word: index for index, word in enumerate(parse(raw).token_bytes())}
    return tiktoken.Encoding(name=pattern, pat_str=PATTERNS[pattern], mergeable_ranks=ranks, special_tokens={})


def cases(text: str, pattern: str) -> list[Case]:
    """Every case of a pattern; the ids of each peer are checked against ours first."""
    raw = train(text, pattern)
    ours, library, tiktoken = BpeEncoder(raw), tokenizers.Tokenizer.from_buffer(raw), tiktoken_of(raw, pattern)
    data = text.encode()
    documents = [text[at : at + DOCUMENT_CHARACTERS] for at in range(0, len(text), DOCUMENT_CHARACTERS)]
    part = text[: len(text) // 10]  # one long text takes the library a second a megabyte
    line = text[50_000:50_080]
    size, part_size, line_size = (len(piece.encode()) / 1e6 for piece in (text, part, line))
    want = ours.encode(part).tolist()
    assert library.encode(part).ids == want
    ids = ours.encode(text)
    id_list = ids.tolist()
    found = [
        Case("one text, bytes", "ours", lambda: ours.encode(data), size),
        Case("load tokenizer.json, then the text", "ours", lambda: BpeEncoder(raw).encode(data), size),
        Case("one text, str", "ours", lambda: ours.encode(text), size),
        Case("one text, str", "tokenizers", lambda: library.encode(part), part_size),
        Case("documents, str", "ours", lambda: ours.encode_batch(documents), size),
        Case("documents, str", "tokenizers", lambda: library.encode_batch_fast(documents), size),
        Case("80 characters, str", "ours", lambda: ours.encode(line), line_size),
        Case("80 characters, str", "tokenizers", lambda: library.encode(line), line_size),
        Case("decode", "ours", lambda: ours.decode(ids), size),
        Case("decode", "tokenizers", lambda: library.decode(id_list), size),
    ]
    if tiktoken:
        assert tiktoken.encode_ordinary(part) == want
        found += [
            Case("one text, str", "tiktoken", lambda: tiktoken.encode_ordinary(text), size),
            Case("documents, str", "tiktoken", lambda: [tiktoken.encode_ordinary(d) for d in documents], size),
            Case("80 characters, str", "tiktoken", lambda: tiktoken.encode_ordinary(line), line_size),
            Case("decode", "tiktoken", lambda: tiktoken.decode(id_list), size),
        ]
    for name, piece in WORST.items():
        run = piece * (1_000_000 // len(piece.encode()))
        found.append(Case(f"worst case, 1 MB of {name}", "ours", lambda run=run: ours.encode(run), 1.0))
    return found


def seconds(call: Callable[[], object], clock: Callable[[], float]) -> float:
    """Of one call; a call too short for the clock is repeated."""
    repeats = 1
    while True:
        start = clock()
        for _ in range(repeats):
            call()
        taken = clock() - start
        if taken > 0.02:
            return taken / repeats
        repeats *= 4


def interleaved(found: list[Case], rounds: int, clock: Callable[[], float]) -> dict[str, dict[str, float]]:
    """MB/s by case and by who, the best of `rounds`: one call of each in turn, so that all meet the same machine."""
    best = [float("inf")] * len(found)
    for _ in range(rounds):
        for place, case in enumerate(found):
            best[place] = min(best[place], seconds(case.call, clock))
    table: dict[str, dict[str, float]] = {}
    for case, taken in zip(found, best, strict=True):
        table.setdefault(case.name, {})[case.who] = case.megabytes / taken
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--patterns", nargs="+", choices=PATTERNS, default=PATTERNS_TIMED)
    parser.add_argument("--cpu-time", action="store_true", help="seconds of CPU, for a machine that is busy")
    parser.add_argument("--json", action="store_true", help="one JSON object on the standard output")
    options = parser.parse_args()
    text = french_text(options.files)
    clock = time.process_time if options.cpu_time else time.perf_counter
    results = {pattern: interleaved(cases(text, pattern), options.rounds, clock) for pattern in options.patterns}
    if options.json:
        print(json.dumps({"machine": platform.processor() or platform.machine(), "MB/s": results}, ensure_ascii=False))
        return
    for pattern, table in results.items():
        print(f"\n{pattern}, {len(text.encode()) / 1e6:.1f} MB of French, {VOCAB_SIZE} ids: MB/s (ours / theirs)")
        for name, speeds in table.items():
            ours = speeds.pop("ours")
            theirs = "".join(f"   {who} {speed:.2f} ({ours / speed:.1f} x)" for who, speed in speeds.items())
            print(f"  {name:<36}{ours:9.1f}{theirs}")


@pytest.fixture(scope="module")
def french() -> dict[tuple[str, str], Case]:
    text = french_text([])[: TEXT_BYTES // 4]
    return {(case.name, case.who): case for case in cases(text, "french")}


@pytest.mark.parametrize("who", ["ours", "tokenizers", "tiktoken"])
@pytest.mark.parametrize("name", ["one text, str", "documents, str", "80 characters, str", "decode"])
def test_encoding(benchmark, french, name, who):
    if (name, who) not in french:
        pytest.skip(f"{who} is not installed")
    case = french[name, who]
    benchmark.group = f"bpe: {name}"
    benchmark.pedantic(case.call, rounds=5, iterations=100 if case.megabytes < 0.001 else 1, warmup_rounds=1)
    benchmark.extra_info["MB/s"] = round(case.megabytes / benchmark.stats.stats.min, 2)


if __name__ == "__main__":
    sys.exit(main())
