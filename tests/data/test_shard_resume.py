"""Shards whose writing was killed are gone on with, to the bytes of a writing that was not."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import zstandard
from byte_tokenizer import ByteTokenizer, stories

from jarvis_nano.corpus import holdout
from jarvis_nano.corpus.documents import write_corpus
from jarvis_nano.corpus.sources import read_documents
from jarvis_nano.data import shard_writer
from jarvis_nano.data.shard_writer import write_shards
from jarvis_nano.data.shards import Shards
from jarvis_nano.errors import UserError

TOKENS_PER_SHARD = 9_000


class Stopping(ByteTokenizer):
    """Raises at one of its calls, and counts the bytes that it encodes."""

    def __init__(self, at: int = 10**9, error: type[BaseException] = KeyboardInterrupt) -> None:
        super().__init__()
        self.left, self.error, self.n_bytes = at, error, 0

    def encode_batch(self, texts: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
        self.left -= 1
        if self.left < 0:
            raise self.error("stopped")
        self.n_bytes += sum(map(len, texts))
        return super().encode_batch(texts)


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_writer, "_BATCH_BYTES", 900)
    monkeypatch.setattr(shard_writer, "_SAVE_EVERY", 5_000)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of every kind of file, plain and packed, with blank lines and empty texts among them."""
    home = tmp_path_factory.mktemp("corpus")
    texts = [document.text for document in stories(600)]
    lines = [json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts]
    (home / "a.txt").write_text("\n\n\n".join(texts[:100]) + "\n", encoding="utf-8")
    (home / "b.jsonl").write_text('\n{"text": " "}\n'.join(lines[100:200]), encoding="utf-8")
    (home / "c.jsonl.zst").write_bytes(zstandard.compress("".join(lines[200:300]).encode()))
    (home / "d.txt.gz").write_bytes(gzip.compress("\n\n\n".join(texts[300:400]).encode()))
    (home / "e.txt").write_text("\n\n".join(texts[:200]), encoding="utf-8")  # one long document, cut and held out from
    write_corpus(stories(150, seed=9), home / "f", bytes_per_file=8_000)
    return home


def written(corpus: Path, out: Path, tokenizer: ByteTokenizer, **options: object) -> None:
    write_shards(read_documents(corpus), tokenizer, out, tokens_per_shard=TOKENS_PER_SHARD, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def expected(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("whole") / "shards"
    written(corpus, out, ByteTokenizer())
    assert len(list(out.iterdir())) > 5
    return contents(out)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("seed", range(12))
def test_stopped_anywhere_it_goes_on_to_the_same_bytes(
    corpus: Path, expected: dict[str, bytes], tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    encoded = n_stops = 0
    while not (tmp_path / "s").exists():
        tokenizer = Stopping(rng.randrange(90), rng.choice([KeyboardInterrupt, OSError, SystemExit]))
        try:
            written(corpus, tmp_path / "s", tokenizer)
        except (KeyboardInterrupt, OSError, SystemExit):
            n_stops += 1
        encoded += tokenizer.n_bytes
        assert n_stops < 200
    assert contents(tmp_path / "s") == expected
    assert [path.name for path in tmp_path.iterdir()] == ["s"]
    text_bytes = sum(Shards.open(tmp_path / "s", split).text_bytes for split in holdout.SPLITS)
    assert text_bytes <= encoded <= text_bytes + n_stops * 8_000  # nothing done twice beyond the last saving


def test_a_stop_that_saved_nothing_leaves_nothing(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        written(corpus, tmp_path / "s", Stopping(2))
    assert list(tmp_path.iterdir()) == []


def leftover(folder: Path) -> Path:
    (found,) = folder.iterdir()
    assert found.name.startswith(".s.")
    return found


@pytest.fixture
def stopped(corpus: Path, tmp_path: Path) -> Path:
    """Where a writing of tmp_path / "s" was stopped halfway."""
    with pytest.raises(KeyboardInterrupt):
        written(corpus, tmp_path / "s", Stopping(60))
    assert (leftover(tmp_path) / shard_writer.PROGRESS).exists()
    return tmp_path / "s"


def test_other_input_or_settings_begin_anew(corpus: Path, expected: dict[str, bytes], stopped: Path) -> None:
    tokenizer = Stopping()
    written(corpus, stopped, tokenizer, validation_bytes=5_000)
    assert tokenizer.n_bytes > 100_000
    assert contents(stopped) != expected
    assert [path.name for path in stopped.parent.iterdir()] == ["s"]


def test_a_changed_file_begins_anew(corpus: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in corpus.glob("*.*"):
        (copy / path.name).write_bytes(path.read_bytes())
    (tmp_path / "out").mkdir()
    with pytest.raises(KeyboardInterrupt):
        written(copy, tmp_path / "out/s", Stopping(50))
    with (copy / "b.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"text": "encore un"}\n')
    written(copy, tmp_path / "out/s", ByteTokenizer())
    written(copy, tmp_path / "out/t", ByteTokenizer())
    assert contents(tmp_path / "out/s") == contents(tmp_path / "out/t")


@pytest.mark.parametrize("harm", ["short", "missing", "progress"])
def test_a_damaged_leftover_begins_anew(corpus: Path, expected: dict[str, bytes], stopped: Path, harm: str) -> None:
    partial = leftover(stopped.parent)
    shards = sorted(partial.glob("train-*.bin"))
    if harm == "short":
        os.truncate(shards[0], 500)
    elif harm == "missing":
        shards[0].unlink()
    else:
        (partial / shard_writer.PROGRESS).write_text('{"version": 2, "made', encoding="utf-8")
    written(corpus, stopped, ByteTokenizer())
    assert contents(stopped) == expected


def test_what_lies_in_the_leftover_beside_the_shards_goes(
    corpus: Path, expected: dict[str, bytes], stopped: Path
) -> None:
    (leftover(stopped.parent) / "train-00099.bin").write_bytes(b"begun after the last saving")
    written(corpus, stopped, ByteTokenizer())
    assert contents(stopped) == expected


def test_wrong_input_leaves_nothing(corpus: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "a.txt").write_bytes((corpus / "a.txt").read_bytes() * 3)
    (copy / "b.jsonl").write_text("no JSON\n", encoding="utf-8")
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="is not JSON"):
        written(copy, tmp_path / "out/s", ByteTokenizer())
    assert list((tmp_path / "out").iterdir()) == []


def test_given_validation_documents_are_read_whole_after_a_stop(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("\n\n\n".join(d.text for d in stories(30, seed=7)), encoding="utf-8")
    (tmp_path / "out").mkdir()
    stops = 0
    while not (tmp_path / "out/s").exists():  # in the middle of the one and of the other
        with contextlib.suppress(KeyboardInterrupt):
            stops += 1
            written(corpus, tmp_path / "out/s", Stopping(17), validation=read_documents(tmp_path / "mine.txt"))
    assert stops > 3
    written(corpus, tmp_path / "out/t", ByteTokenizer(), validation=read_documents(tmp_path / "mine.txt"))
    assert contents(tmp_path / "out/s") == contents(tmp_path / "out/t")
    assert Shards.open(tmp_path / "out/s", "val").n_documents == 30


def test_shards_of_the_first_version_are_read(corpus: Path, tmp_path: Path) -> None:
    written(corpus, tmp_path / "s", ByteTokenizer())
    index = tmp_path / "s/shards.json"
    index.write_text(index.read_text(encoding="utf-8").replace('"version": 2', '"version": 1'), encoding="utf-8")
    Shards.open(tmp_path / "s").verify()


KILLED = """
import sys, time
sys.path.insert(0, sys.argv[1])
from byte_tokenizer import ByteTokenizer
from jarvis_nano.corpus.sources import read_documents
from jarvis_nano.data import shard_writer
shard_writer._BATCH_BYTES, shard_writer._SAVE_EVERY = 900, 5_000
class Slow(ByteTokenizer):
    def encode_batch(self, texts):
        time.sleep(0.003)
        return super().encode_batch(texts)
print("ready", flush=True)
shard_writer.write_shards(read_documents(sys.argv[2]), Slow(), sys.argv[3], tokens_per_shard=9_000)
"""


def killed_until_done(corpus: Path, out: Path, seed: int, n_kills: int) -> int:
    """Start the writing and kill -9 it after a random time, n times, then let it end; how often it was killed."""
    rng = random.Random(seed)
    killed = 0
    here = str(Path(__file__).parent)
    for number in range(n_kills + 1):
        command = [sys.executable, "-c", KILLED, here, str(corpus), str(out)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
            if number < n_kills:
                time.sleep(rng.uniform(0.01, 0.25))
                child.send_signal(signal.SIGKILL)
            _, complaint = child.communicate(timeout=60)
        killed += child.returncode == -signal.SIGKILL
        assert child.returncode in (0, -signal.SIGKILL), complaint.decode()
        if out.exists():
            break
    return killed


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no kill -9")
def test_killed_at_random_it_goes_on_to_the_same_bytes(
    corpus: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    assert killed_until_done(corpus, tmp_path / "s", seed=1, n_kills=5) >= 2
    assert contents(tmp_path / "s") == expected
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_killed_again_and_again(corpus: Path, expected: dict[str, bytes], tmp_path: Path, seed: int) -> None:
    assert killed_until_done(corpus, tmp_path / "s", seed, n_kills=20) >= 2
    assert contents(tmp_path / "s") == expected
