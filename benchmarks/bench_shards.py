"""Where the time goes between text and shards: ms of one core a megabyte of text, for the whole and for each part.

python benchmarks/bench_shards.py TOKENIZER FILE [--threads N]     a folder or tokenizer.json; a .txt or .jsonl(.zst)
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from jarvis_nano.corpus import holdout
from jarvis_nano.corpus.sources import read_documents
from jarvis_nano.corpus.sources.opening import open_bytes
from jarvis_nano.data import shard_writer
from jarvis_nano.tokenizer import Tokenizer

ROUNDS = 3


def least(call: Callable[[], object]) -> float:
    """The CPU seconds of the process for a call, the least of a few."""
    found = []
    for _ in range(ROUNDS):
        started = time.process_time()
        call()
        found.append(time.process_time() - started)
    return min(found)


def unpack(path: Path) -> None:
    with open_bytes(path, str(path)) as file:
        while file.read(1 << 16):
            pass


def parts(path: Path, tokenizer: Tokenizer) -> dict[str, Callable[[], object]]:
    """Each part of write_shards by itself, on what the part before it gives."""
    documents = list(read_documents(path))
    splitter = holdout.Splitter()
    trained = [part.encode() for document in documents for part in splitter.add(document.text, document.utf8)]
    encoded = tokenizer.encode_batch(trained)

    def hold_out() -> None:
        splitter = holdout.Splitter()
        for document in documents:
            splitter.add(document.text, document.utf8)

    def count() -> None:
        counts = shard_writer._Counts()
        for document in documents:
            counts.add(document.source, document.utf8)

    def write() -> None:
        with tempfile.TemporaryFile() as file:
            ids = np.insert(encoded[0], encoded[1][1:], 0)
            file.write(ids.data)
            hashlib.sha256(ids.data).digest()

    return {
        "unpacking": lambda: unpack(path),
        "reading (unpacking, JSON or gaps, UTF-8)": lambda: sum(1 for _ in read_documents(path)),
        "holding out (BLAKE2b)": hold_out,
        "counting (SHA-256)": count,
        "encoding": lambda: tokenizer.encode_batch(trained),
        "end marks, SHA-256 of the ids, writing": write,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("file", type=Path)
    parser.add_argument("--threads", type=int, default=1, help="of the encoder; 1 unless given")
    asked = parser.parse_args()
    tokenizer = Tokenizer.load(asked.tokenizer, n_threads=asked.threads)
    documents = list(read_documents(asked.file))
    megabytes = sum(len(document.utf8) for document in documents) / 1e6
    print(f"{asked.file}: {len(documents):,} documents, {megabytes:.1f} MB of text, {tokenizer}")
    del documents
    with tempfile.TemporaryDirectory() as folder:
        places = iter(range(ROUNDS))
        seconds = least(
            lambda: shard_writer.write_shards(
                read_documents(asked.file), tokenizer, Path(folder) / str(next(places)), show_progress=False
            )
        )
    print(f"{1e3 * seconds / megabytes:7.2f} ms/MB  write_shards: {megabytes / seconds:.0f} MB/s of CPU time")
    for name, call in parts(asked.file, tokenizer).items():
        print(f"{1e3 * least(call) / megabytes:7.2f} ms/MB  {name}")


if __name__ == "__main__":
    main()
