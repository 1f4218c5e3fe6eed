"""Encoding French: BpeEncoder beside gigatoken, fastokens, tiktoken and tokenizers, on the same ids.

pytest benchmarks/bench_bpe.py --benchmark-only     a few small cases, among the other benchmarks
python benchmarks/bench_bpe.py                      everything, in tables for docs/bpe.md: about 15 minutes
python benchmarks/bench_bpe.py --only encode --patterns llama3 --threads 1 --rounds 9
python benchmarks/bench_bpe.py --json FILE          the same as JSON too

Medians and quartiles over interleaved rounds, the peers' ids checked equal first. What runs inside one process lies in
bpe_race.py, the peers in bpe_peers.py; those that are not installed are left out (pip install "jarvis_nano[bench]").
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import platform
import random
import subprocess
import sys
from pathlib import Path

import bpe_peers as peers
import bpe_race
import pytest

ROOT = Path(__file__).resolve().parent.parent
NOVELS = ROOT.parent / "shared/data/corpus_fr"
KEPT = ROOT / "build/bench_bpe"  # texts and trained tokenizers
VOCAB_SIZE = 16_384
MEMORY_BYTES = 100_000_000
LIMIT_SECONDS = 30  # of one worst case; the process is ended then
PARTS = ("encode", "worst", "memory")
PATTERNS = ("french", "llama3", "gpt2")


def corpus_files(chosen: list[Path]) -> list[Path]:
    """The files given, else the shared novels, else the built-in stories written to a file."""
    found = chosen or sorted(NOVELS.glob("*.txt"))
    if found:
        return found
    from jarvis_nano.corpus import stories

    return [kept("stories.txt", "\n".join(stories.generate(3000, seed=0)).encode())]


def kept(name: str, content: bytes) -> Path:
    KEPT.mkdir(parents=True, exist_ok=True)
    path = KEPT / name
    path.write_bytes(content)
    return path


def read(files: list[Path]) -> str:
    return "".join(path.read_text(encoding="utf-8") for path in files)


def tokenizer_of(text: str, pattern: str, vocab_size: int = VOCAB_SIZE) -> Path:
    """tokenizer.json trained on a text, kept from one run to the next."""
    key = hashlib.sha256(f"{pattern} {vocab_size} {text}".encode()).hexdigest()[:12]
    path = KEPT / f"{pattern}-{key}.json"
    return path if path.exists() else kept(path.name, peers.train([text], pattern, vocab_size))


def worst_texts(french: str) -> dict[str, str]:
    """About 1 MB each of what is hard: one unbroken word, one piece again and again, no pattern that repeats."""
    rng = random.Random(0)
    size = 1_000_000

    def of(characters: str) -> str:
        return "".join(rng.choices(characters, k=size // len(characters[-1].encode())))

    def again(piece: str) -> str:
        return piece * (size // len(piece.encode()))

    whole = "".join(chr(rng.choice([*range(1, 0xD800), *range(0xE000, 0x30000, 7)])) for _ in range(1000))
    codes = [chr(code) for code in (*range(1, 0xD800), *range(0xE000, 0x30000))]
    return {
        "one letter": again("a"),
        "one accented letter": again("é"),
        "spaces": again(" "),
        "new lines": again("\n"),
        "spaces and new lines": of(" \n"),
        "French without spaces": "".join(french.split())[: size * 95 // 100],
        "random letters": of("abcdefghijklmnopqrstuvwxyz"),
        "digits": of("0123456789"),
        "punctuation": of(".,;:!?-()[]{}«»"[:13]),
        "one emoji": again("😀"),
        "emoji": of("😀😁😂🤣😃👍🏽❤🇫🇷👨👩👧"),
        "random Unicode": "".join(rng.choices(codes, k=size // 3)),
        "1,000 characters again": again(whole),
        "contractions": again("'s"),
        "elisions": again("l'"),
    }


def runs_of(texts: dict[str, str]) -> str:
    """What teaches a vocabulary long runs: each hard text's first 4,000 characters, and runs of many lengths."""
    pieces = ("a", "é", " ", "\n", "0", "1", ".", "-", "😀", "'s", "l'", " \n", "ab")
    lengths = (2, 4, 8, 16, 32, 64, 128, 256, 512)
    runs = [("x " + piece * length + " y\n") * 40 for piece in pieces for length in lengths]
    return "".join([*runs, *(text[:4000] * 3 for text in texts.values())])


def measured(what: str, threads: int, limit: float | None = None, **task) -> dict:
    """bpe_race.py in a process of its own; {"failed": why} where it crashes or passes the limit."""
    environment = dict(os.environ, RAYON_NUM_THREADS=str(threads), OMP_NUM_THREADS=str(threads),
                       TOKENIZERS_PARALLELISM="true" if threads > 1 else "false")  # fmt: skip
    code = json.dumps({"what": what, "threads": threads, **task}, default=str)
    command = [sys.executable, ROOT / "benchmarks/bpe_race.py", code]
    try:
        ran = subprocess.run(command, capture_output=True, env=environment, timeout=limit)
    except subprocess.TimeoutExpired:
        return {"failed": f"> {limit:.0f} s"}
    if ran.returncode:
        if what == "encode":
            sys.exit(f"error: {code}\n{ran.stderr.decode(errors='replace')[-4000:]}")
        return {"failed": "crashed", "stderr": ran.stderr.decode(errors="replace")[-500:]}
    # Some peers report their progress on the standard output too; ours is the last line.
    return json.loads(ran.stdout.splitlines()[-1])


def encoding(files: list[Path], options: argparse.Namespace) -> list[dict]:
    """One table for each pattern, number of threads, and choice of text."""
    tables = []
    texts = {"its own text": (files, files)}
    if len(files) > 1 and options.held_out:
        texts["held-out text"] = (files[::2], files[1::2])
    for pattern in options.patterns:
        for name, (learnt, timed) in texts.items():
            text = kept(f"timed-{len(timed)}.txt", read(timed).encode())
            tokenizer = tokenizer_of(read(learnt), pattern)
            for threads in options.threads:
                say(f"encode: {pattern}, {name}, {threads} thread(s)")
                cases = measured("encode", threads, text=text, tokenizer=tokenizer, pattern=pattern,
                                 rounds=options.rounds)  # fmt: skip
                about = {"pattern": pattern, "text": name, "threads": threads, "megabytes": text.stat().st_size / 1e6}
                tables.append({**about, "cases": cases})
                show_encoding(tables[-1])
    return tables


def show_encoding(table: dict) -> None:
    print(f"\n`{table['pattern']}`, {table['text']}, {table['megabytes']:.1f} MB, {table['threads']} thread(s):\n")
    names = [who for who in peers.NAMES if any(who in rows for rows in table["cases"].values())]
    print("| case | " + " | ".join(names) + " |\n|---|" + "---|" * len(names))
    for case, rows in table["cases"].items():
        cells = [cell(rows[who], rows["ours"], who) if who in rows else "–" for who in names]
        print(f"| {case} | " + " | ".join(cells) + " |")
    sys.stdout.flush()


def speed(row: dict, seconds: float) -> tuple[float, str]:
    """MB/s; for short calls µs a call, for loading ms."""
    if row["calls"] > 1:
        return 1e6 * seconds / row["calls"], " µs"
    return (row["megabytes"] / seconds, "") if row["megabytes"] else (1e3 * seconds, " ms")


def cell(row: dict, ours: dict, who: str) -> str:
    (middle, unit), (one, _), (other, _) = (speed(row, row[name]) for name in ("median", "low", "high"))
    digits = 2 if middle < 10 else 1 if middle < 100 else 0
    low, high = sorted((one, other))
    shown = f"{middle:.{digits}f}{unit} ({low:.{digits}f}–{high:.{digits}f})"
    if who == "ours":
        return shown
    per_unit = [r["median"] / (r["calls"] if r["calls"] > 1 else r["megabytes"] or 1) for r in (row, ours)]
    return f"{shown} **{per_unit[0] / per_unit[1]:.2f} ×**"


def worst_cases(files: list[Path], options: argparse.Namespace) -> list[dict]:
    """Seconds of each hard text, by vocabulary: an ordinary one, and one that holds long runs."""
    french = read(files)[:4_000_000]
    texts = worst_texts(french)
    tables = []
    for pattern in options.patterns:
        for name, learnt in (
            ("an ordinary vocabulary", french),
            ("long runs in the vocabulary", runs_of(texts) + french),
        ):
            tokenizer = tokenizer_of(learnt, pattern)
            say(f"worst cases: {pattern}, {name}")
            cases = {}
            for case, text in texts.items():
                path = kept("worst.txt", text.encode())
                cases[case] = {
                    who: measured("worst", 1, LIMIT_SECONDS, text=path, tokenizer=tokenizer, pattern=pattern, who=who)
                    for who in peers.installed(pattern)
                }
            tables.append({"pattern": pattern, "vocabulary": name, "cases": cases})
            show_worst(tables[-1])
    return tables


def show_worst(table: dict) -> None:
    print(f"\nWorst cases, 1 MB, `{table['pattern']}`, {table['vocabulary']}: seconds of CPU for one call\n")
    names = [who for who in peers.NAMES if who in next(iter(table["cases"].values()))]
    print("| text | " + " | ".join(names) + " |\n|---|" + "---|" * len(names))
    for case, rows in table["cases"].items():
        oracle = rows.get("tokenizers", {}).get("hash") or rows["ours"].get("hash")
        print(f"| {case} | " + " | ".join(worst_cell(rows[who], oracle) for who in names) + " |")
    slowest = max(rows["ours"].get("seconds", float("inf")) for rows in table["cases"].values())
    print(f"\nThe slowest of ours: {slowest:.3f} s")
    sys.stdout.flush()


def worst_cell(row: dict, oracle: str | None) -> str:
    if "failed" in row:
        return row["failed"]
    return f"{row['seconds']:.3f}" + ("" if row["hash"] == oracle else " (other ids)")


def memory(files: list[Path], options: argparse.Namespace) -> list[dict]:
    """Peak memory beyond the text and the ids of one call on 100 MB (tokenizers: a tenth)."""
    text = kept("memory.txt", read(files).encode())
    copies = -(-MEMORY_BYTES // text.stat().st_size)
    pattern = options.patterns[0]
    tokenizer = tokenizer_of(read(files), pattern)
    tables = []
    for key in ("bytes", "str"):
        for threads in options.threads:
            for who in peers.installed(pattern):
                if key == "bytes" and who not in ("ours", "gigatoken"):
                    continue
                say(f"memory: {who}, {key}, {threads} thread(s)")
                row = measured("memory", threads, 600, text=text, copies=copies, tokenizer=tokenizer, pattern=pattern,
                               who=who, key=key)  # fmt: skip
                tables.append({"who": who, "given": key, "threads": threads, "pattern": pattern, **row})
    print(f"\nMemory of one call on {copies * text.stat().st_size / 1e6:.0f} MB, `{pattern}`: MB\n")
    print(
        "| who | given | threads | text | loaded tokenizer | ids | at the peak beyond text and ids |\n"
        + 7 * "|---"
        + "|"
    )
    for row in tables:
        numbers = (
            [row["megabytes"], row["loaded"], row["ids"], row["beyond"]] if "beyond" in row else [row["failed"]] * 4
        )
        shown = " | ".join(f"{number:.0f}" if isinstance(number, float) else number for number in numbers)
        print(f"| {row['who']} | {row['given']} | {row['threads']} | {shown} |")
    sys.stdout.flush()
    return tables


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def machine() -> dict[str, str]:
    names = [line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=ROOT).stdout
    cores = f"{os.cpu_count()} cores of {names[0] if names else platform.machine()}"
    return {"machine": cores, "date": datetime.date.today().isoformat(), "commit": commit.strip(), **peers.versions()}


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines() if Path(path).exists() else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, help="texts; by default corpus_fr, else the built-in stories")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--patterns", nargs="+", choices=peers.PATTERNS, default=PATTERNS)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--held-out", action="store_true", help="also: train on every other file, time the others")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args()
    files = corpus_files(options.files)
    run = {"encode": encoding, "worst": worst_cases, "memory": memory}
    about = machine()
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    results = {"about": about, **{part: run[part](files, options) for part in PARTS if part in options.only}}
    if options.json:
        options.json.write_text(json.dumps(results, ensure_ascii=False, indent=1), encoding="utf-8")


@pytest.fixture(scope="module")
def small() -> tuple[Path, dict[str, bpe_race.Case], dict[str, peers.Peer]]:
    """0.5 MB of French and every peer that knows llama3's pattern, on one thread where that can be asked for here."""
    data = read(corpus_files([]))[:500_000].encode()
    path = tokenizer_of(data.decode(), "llama3", 4096)
    found = {who: peers.load(who, path, "llama3", 1) for who in peers.installed("llama3")}
    ids = found["ours"]["bytes"](data)
    bpe_race.check_equal(data, found, ids)
    return path, {case.name: case for case in bpe_race.cases_of(data, ids)}, found


SMALL = ("one text, bytes -> numpy", "one text, str -> numpy", "documents, str -> flat ids + offsets",
         "documents, str -> list of lists", "80 characters -> numpy, the same line", "decode -> str")  # fmt: skip


@pytest.mark.parametrize("who", peers.NAMES)
@pytest.mark.parametrize("name", SMALL)
def test_encoding(benchmark, small, name, who):
    _, cases, found = small
    case = cases[name]
    if who not in found:
        pytest.skip(f"{who} is not installed; pip install 'jarvis_nano[bench]'")
    if case.key not in found[who]:
        pytest.skip(f"{who} has no such call")
    call = bpe_race.call_of(found[who], case)
    benchmark.group = f"bpe: {name}"
    benchmark.pedantic(call, setup=lambda: ((case.fresh(found[who], who),), {}), rounds=9, warmup_rounds=2)
    row = bpe_race.row(case, who, [(benchmark.stats.stats.median, 0.0)])
    value, unit = speed(row, row["median"])
    benchmark.extra_info["median"] = f"{value:.2f}{unit or ' MB/s'}"


if __name__ == "__main__":
    sys.exit(main())
