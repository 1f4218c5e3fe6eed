"""The work of bench_bpe.py inside one process: `python benchmarks/bpe_race.py JSON` prints its measurements.

A process of its own for each number of threads (the peers' pools read it from the environment as they start), each
worst case (one that hangs or crashes is ended alone) and each measurement of memory.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import bpe_peers as peers
import numpy as np

DOCUMENT_BYTES = (1000, 2000)
CALLS = 10_000  # of 80 characters, in one round
SLOW_SECONDS, SLOW_ROUNDS = 0.4, 3
WARM_UP = "Une phrase suffit pour que tout soit chargé, n'est-ce pas ?"


class Case(NamedTuple):
    """name, the peers' key, what a call is given (made outside the clock), and how many calls a round has."""

    name: str
    key: str
    fresh: Callable[[peers.Peer, str], Any]
    megabytes: float
    calls: int = 1


def documents_of(data: bytes) -> list[bytes]:
    """The text in documents of 1 to 2 KB, each ending where a character does."""
    rng = np.random.default_rng(0)
    found, at = [], 0
    while at < len(data):
        end = min(len(data), at + int(rng.integers(*DOCUMENT_BYTES)))
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end += 1
        found.append(data[at:end])
        at = end
    return found


def lines_of(text: str) -> list[bytes]:
    """CALLS pieces of 80 characters from all over the text."""
    step = max(80, len(text) // CALLS)
    return [text[at : at + 80].encode() for at in range(0, len(text) - 80, step)][:CALLS]


def cases_of(data: bytes, ids: np.ndarray) -> list[Case]:
    documents, lines = documents_of(data), lines_of(data.decode())
    one = lines[len(lines) // 2]
    size, lines_size = len(data) / 1e6, sum(map(len, lines)) / 1e6
    id_list, wide = ids.tolist(), ids.astype(np.uint32)

    def text(peer, who):
        part = peers.PART.get(who, 1)
        return data[: len(data) // part].decode("utf-8", "ignore")

    def each(pieces: list[bytes]):
        return lambda peer, who: [piece.decode() for piece in pieces[:: peers.PART.get(who, 1)]]

    def given_ids(peer, who):
        return {"ours": ids, "gigatoken": wide}.get(who, id_list)

    return [
        Case("one text, bytes -> numpy", "bytes", lambda peer, who: data, size),
        Case("first pass, bytes -> numpy", "first pass", lambda peer, who: (peer["fresh encoder"](None), data), size),
        Case("one text, str -> numpy", "str", text, size),
        Case("documents, str -> flat ids + offsets", "flat", each(documents), size),
        Case("documents, str -> list of lists", "lists", each(documents), size),
        Case("80 characters -> numpy, the same line", "numpy", each([one] * len(lines)), 0, len(lines)),
        Case("80 characters -> list, the same line", "list", each([one] * len(lines)), 0, len(lines)),
        Case("80 characters -> numpy, other lines", "numpy", each(lines), lines_size, len(lines)),
        Case("80 characters -> list, other lines", "list", each(lines), lines_size, len(lines)),
        Case("decode -> bytes", "decode bytes", given_ids, size),
        Case("decode -> str", "decode str", given_ids, size),
        Case("load tokenizer.json", "load", lambda peer, who: None, 0, 1),
    ]


def call_of(peer: peers.Peer, case: Case) -> Callable[[Any], Any]:
    """What the clock is around. Of many short calls the results are dropped one by one, as a server would."""
    function = peer[case.key]
    if case.calls == 1:
        return function

    def loop(texts: list[str]) -> None:
        for text in texts:
            function(text)

    return loop


def timed(call: Callable[[Any], Any], argument: Any) -> tuple[float, float]:
    """Seconds by the clock and of CPU; what the call returned is dropped after."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = call(argument)
    taken = time.perf_counter() - wall, time.process_time() - cpu
    del result
    return taken


def race(case: Case, found: dict[str, peers.Peer], rounds: int) -> dict[str, dict]:
    """Each peer that has the case, one call in turn, so that all meet the same machine; slow ones SLOW_ROUNDS times."""
    calls = {who: call_of(peer, case) for who, peer in found.items() if case.key in peer}
    seconds: dict[str, list[tuple[float, float]]] = {who: [] for who in calls}
    slow = set()
    for who, call in calls.items():  # warm: caches, pools of threads, the processor's clock
        if timed(call, case.fresh(found[who], who))[0] > SLOW_SECONDS:
            slow.add(who)
        else:
            timed(call, case.fresh(found[who], who))
    for round in range(rounds):
        order = list(calls)
        for who in order[round % len(order) :] + order[: round % len(order)]:
            if who in slow and round >= SLOW_ROUNDS:
                continue
            argument = case.fresh(found[who], who)
            gc.collect()
            gc.disable()
            seconds[who].append(timed(calls[who], argument))
            gc.enable()
    return {who: row(case, who, times) for who, times in seconds.items()}


def row(case: Case, who: str, times: list[tuple[float, float]]) -> dict:
    """Quartiles of one round's seconds; `megabytes` and `calls` are what went through in it."""
    part = 1 if case.key.startswith(("decode", "load")) else peers.PART.get(who, 1)
    low, median, high = np.percentile([wall for wall, _ in times], [25, 50, 75]).tolist()
    cpu = float(np.median([cpu for _, cpu in times]))
    calls = -(-case.calls // part)
    return {"low": low, "median": median, "high": high, "cpu": cpu, "rounds": len(times), "calls": calls,
            "megabytes": case.megabytes / part}  # fmt: skip


def check_equal(data: bytes, found: dict[str, peers.Peer], ids: np.ndarray) -> None:
    """Every peer gives our ids, for the text and for the documents; the library for its part of the text."""
    documents = [document.decode() for document in documents_of(data)]
    by_document = found["ours"]["flat"](documents)[0]
    for who, peer in found.items():
        part = data[: len(data) // peers.PART.get(who, 1)].decode("utf-8", "ignore")
        want = ids if who not in peers.PART else found["ours"]["str"](part)
        assert np.array_equal(peers.as_list(peer["str"](part)), want), f"{who} gives other ids for the text"
        if "bytes" in peer:
            assert np.array_equal(peer["bytes"](data), ids), f"{who} gives other ids for the bytes"
        for key in ("flat", "lists"):
            if key in peer:
                got = peers.as_list(peer[key](documents))
                assert np.array_equal(got, by_document), f"{who} gives other ids for the documents, {key}"
        if "decode bytes" in peer:
            assert bytes(peer["decode bytes"](ids.astype(np.uint32))) == data, f"{who} decodes to other bytes"


def encode(task: dict) -> dict:
    """Every case of a pattern. task: text, tokenizer (paths), pattern, threads, rounds."""
    data = Path(task["text"]).read_bytes()
    path, pattern = Path(task["tokenizer"]), task["pattern"]
    found = {who: peers.load(who, path, pattern, task["threads"]) for who in peers.installed(pattern)}
    ids = found["ours"]["bytes"](data)
    check_equal(data, found, ids)
    return {case.name: race(case, found, task["rounds"]) for case in cases_of(data, ids)}


def worst(task: dict) -> dict:
    """Seconds of CPU for one text as the first one met, the median of three, and a hash of the ids.

    task: text, tokenizer, pattern, who.
    """
    text = Path(task["text"]).read_bytes().decode()
    times, ids = [], None
    for _ in range(3):
        # Loaded again each time: gigatoken and fastokens keep a whole megabyte as one word, and find it again.
        peer = peers.load(task["who"], Path(task["tokenizer"]), task["pattern"], 1)
        peer["str"](WARM_UP)
        fresh = text.encode().decode()
        start = time.process_time()  # on one core: what it takes, whoever else is at work
        ids = peer["str"](fresh)
        times.append(time.process_time() - start)
    digest = hashlib.sha256(np.asarray(ids, dtype=np.uint32).tobytes()).hexdigest()
    return {"seconds": sorted(times)[1], "hash": digest}


def memory(task: dict) -> dict:
    """MB that one call needed at its peak beyond the text and the ids.

    task: text, copies, tokenizer, pattern, who, key, threads.
    """
    part = peers.PART.get(task["who"], 1)
    data = Path(task["text"]).read_bytes() * task["copies"]
    data = data[: len(data) // part].decode("utf-8", "ignore").encode()
    text = data if task["key"] == "bytes" else data.decode()
    size = len(data)
    del data
    before_loading = _resident("VmRSS")
    peer = peers.load(task["who"], Path(task["tokenizer"]), task["pattern"], task["threads"])
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    ids = peer[task["key"]](text)
    peak = _resident("VmHWM")
    held = ids.nbytes if isinstance(ids, np.ndarray) else sys.getsizeof(ids) + sum(map(sys.getsizeof, set(ids)))
    return {"beyond": (peak - before - held) / 1e6, "loaded": (before - before_loading) / 1e6, "ids": held / 1e6,
            "megabytes": size / 1e6}  # fmt: skip


def _resident(field: str) -> int:
    """VmRSS or VmHWM (the peak) of this process, in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))


if __name__ == "__main__":
    task = json.loads(sys.argv[1])
    if task["threads"] == 1 and hasattr(os, "sched_setaffinity"):
        # fastokens has a pool of its own that no variable bounds; on one core it is one thread like the others.
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    json.dump({"encode": encode, "worst": worst, "memory": memory}[task["what"]](task), sys.stdout)
    sys.stdout.flush()
    os._exit(0)  # some pools of threads take their time to end
