"""Shards hold exactly the text, open only when they are whole and fit, and are written all or not at all."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from byte_tokenizer import END_ID, ByteTokenizer, decoded, stories

from jarvis_nano.corpus import holdout
from jarvis_nano.corpus.documents import Document
from jarvis_nano.corpus.sources import read_documents
from jarvis_nano.data.shard_writer import write_shards
from jarvis_nano.data.shards import HEADER, Shards
from jarvis_nano.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_shards(stories(500), ByteTokenizer(), tmp_path / "shards", tokens_per_shard=20_000)
    return tmp_path / "shards"


def whole(folder: Path, split: str) -> np.ndarray:
    shards = Shards.open(folder, split)
    return shards.read(0, len(shards))


def refusal(folder: Path, **options: str) -> str:
    with pytest.raises(UserError) as caught:
        Shards.open(folder, **options)
    return str(caught.value)


def test_the_ids_are_the_texts_each_with_its_end(folder: Path) -> None:
    expected = list(holdout.split(stories(500)))
    for split in holdout.SPLITS:
        assert decoded(whole(folder, split)) == [text for side, text in expected if side == split]


def test_counts_are_those_of_the_text(folder: Path) -> None:
    for split in holdout.SPLITS:
        shards, texts = Shards.open(folder, split), decoded(whole(folder, split))
        assert shards.n_documents == len(texts)
        assert shards.text_bytes == sum(len(text.encode()) for text in texts) == len(shards) - len(texts)
    index = json.loads((folder / "shards.json").read_text(encoding="utf-8"))
    assert index["sources"]["stories"]["documents"] == 500
    assert index["tokenizer"] == ByteTokenizer.hash
    assert index["end_id"] == END_ID


def test_shards_are_full_and_joined_without_a_seam(folder: Path, tmp_path: Path) -> None:
    sizes = [len(part) for part in Shards.open(folder).parts]
    assert len(sizes) > 3
    assert set(sizes[:-1]) == {20_000}
    write_shards(stories(500), ByteTokenizer(), tmp_path / "one")
    assert np.array_equal(whole(folder, "train"), whole(tmp_path / "one", "train"))


def test_reading_goes_round_and_across_shards(folder: Path) -> None:
    shards, ids = Shards.open(folder), whole(folder, "train")
    n = len(ids)
    for start, length in ((0, 1), (19_990, 30), (5, 45_000), (n - 7, 20), (n + 3, 5), (n - 1, 2 * n)):
        assert np.array_equal(shards.read(start, length), ids[np.arange(start, start + length) % n])


def test_the_same_input_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    write_shards(stories(500), ByteTokenizer(), tmp_path / "again", tokens_per_shard=20_000)
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_encoding_in_small_batches_changes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jarvis_nano.data.shard_writer._BATCH_BYTES", 700)
    write_shards(stories(500), ByteTokenizer(), folder.parent / "small", tokens_per_shard=20_000)
    for split in holdout.SPLITS:
        assert np.array_equal(whole(folder, split), whole(folder.parent / "small", split))


@pytest.mark.parametrize(("vocab_size", "dtype"), [(65_536, "uint16"), (65_537, "uint32")])
def test_ids_are_16_bits_wide_as_long_as_they_fit(tmp_path: Path, vocab_size: int, dtype: str) -> None:
    write_shards(stories(20), ByteTokenizer(vocab_size), tmp_path / "s")
    shards = Shards.open(tmp_path / "s")
    assert shards.parts[0].dtype == dtype
    assert len(decoded(shards.read(0, len(shards)))) == shards.n_documents


def test_given_validation_documents_are_the_validation_split(tmp_path: Path) -> None:
    mine = stories(30, seed=7)
    write_shards(stories(300), ByteTokenizer(), tmp_path / "s", validation=mine)
    assert decoded(whole(tmp_path / "s", "val")) == [document.text for document in mine]
    assert Counter(decoded(whole(tmp_path / "s", "train"))) == Counter(d.text for d in stories(300))


def test_one_document_has_an_empty_validation_split(tmp_path: Path) -> None:
    write_shards(stories(1), ByteTokenizer(), tmp_path / "s")
    assert len(Shards.open(tmp_path / "s", "val")) == 0


def test_a_special_token_written_out_in_a_text_stays_text(tmp_path: Path) -> None:
    write_shards([Document("a", "un </s> deux", "s")], ByteTokenizer(), tmp_path / "s")
    assert decoded(whole(tmp_path / "s", "train")) == ["un </s> deux"]


def documents_then(error: BaseException) -> Iterator[Document]:
    yield from stories(300)
    raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), UserError("line 7"), OSError(28, "No space left on device")])
def test_whatever_happens_in_the_middle_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    monkeypatch.setattr("jarvis_nano.data.shard_writer._BATCH_BYTES", 1000)  # so that files are open by then
    with pytest.raises(type(error)):
        write_shards(documents_then(error), ByteTokenizer(), tmp_path / "s", tokens_per_shard=5000)
    assert list(tmp_path.iterdir()) == []


def test_an_occupied_place_is_left_alone(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(UserError, match="already a folder with files in it; choose another place"):
        write_shards(stories(3), ByteTokenizer(), folder)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    (folder.parent / "empty").mkdir()
    write_shards(stories(3), ByteTokenizer(), folder.parent / "empty")


def test_no_text_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no text to write"):
        write_shards([Document("a", "\n", "s")], ByteTokenizer(), tmp_path / "s")
    with pytest.raises(UserError, match=r"fraction is 1\.5; expected 0"):
        write_shards(stories(3), ByteTokenizer(), tmp_path / "s", validation_fraction=1.5)
    assert list(tmp_path.iterdir()) == []


def test_another_tokenizer_is_refused(folder: Path) -> None:
    Shards.open(folder, tokenizer_hash=ByteTokenizer.hash)
    found = refusal(folder, tokenizer_hash="ab" * 32)
    assert ByteTokenizer.hash[:12] in found
    assert "abababababab" in found


def patched(path: Path, at: int, data: bytes) -> None:
    content = bytearray(path.read_bytes())
    content[at : at + len(data)] = data
    path.write_bytes(content)


def test_damaged_shards_are_refused_by_name(folder: Path) -> None:
    shard = folder / "train-00001.bin"
    good = shard.read_bytes()

    shard.write_bytes(good[:-2])
    assert f"{shard} has {len(good) - 2:,} bytes, expected {len(good):,}: it was cut short" in refusal(folder)
    shard.write_bytes(good[:10])
    assert "is no shard" in refusal(folder)
    shard.write_bytes(good)
    for at, data, expected in (
        (0, b"GARBAGE!", "is no shard: it begins with b'GARBAGE!'"),
        (8, b"\x09", "has version 9, this program reads 1"),
        (12, b"\x04", "holds 20,000 ids of 4 bytes"),
        (16, b"\x01", "holds 19,969 ids of 2 bytes"),
        (24, b"\xff\xff", "from the tokenizer ffff"),
    ):
        patched(shard, at, data)
        assert expected in refusal(folder)
        shard.write_bytes(good)
    shard.unlink()
    assert f"{shard} is missing" in refusal(folder)


def test_a_damaged_index_is_refused(folder: Path, tmp_path: Path) -> None:
    index = folder / "shards.json"
    good = index.read_text(encoding="utf-8")
    index.write_text(good[:50], encoding="utf-8")
    assert "shards.json is damaged" in refusal(folder)
    index.write_text(good.replace('"version": 2', '"version": 5'), encoding="utf-8")
    assert "version 5" in refusal(folder)
    index.write_text("[]", encoding="utf-8")
    assert "does not describe shards" in refusal(folder)
    index.write_text(good, encoding="utf-8")
    assert "no split 'test'" in refusal(folder, split="test")
    assert "is no folder of shards" in refusal(tmp_path)
    assert "is no folder of shards" in refusal(index)


def test_verify_finds_a_changed_id(folder: Path) -> None:
    Shards.open(folder).verify()
    patched(folder / "train-00002.bin", HEADER.size + 100, b"\x2a")
    with pytest.raises(UserError, match=r"train-00002\.bin has changed"):
        Shards.open(folder).verify()


def test_the_novels_keep_every_byte(shared_data: Path, tmp_path: Path) -> None:
    documents = list(read_documents(shared_data / "corpus_fr"))
    write_shards(documents, ByteTokenizer(), tmp_path / "s")
    kept = sum(np.bincount(whole(tmp_path / "s", split), minlength=264) for split in holdout.SPLITS)
    given = np.frombuffer("".join(document.text for document in documents).encode(), np.uint8)
    expected = np.bincount(given, minlength=256)
    assert np.array_equal(np.delete(kept[8:], ord("\n")), np.delete(expected, ord("\n")))  # those at the cuts go
    assert 80_000 < Shards.open(tmp_path / "s", "val").text_bytes < 1 << 20


PEAK = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from byte_tokenizer import ByteTokenizer
from jarvis_nano.corpus.documents import Document
from jarvis_nano.data.shard_writer import write_shards
text = "Le roi sortit du château avec sa fille, et ne revint jamais. " * 16
documents = (Document(str(i), f"{i}. {text}", f"source {i}") for i in range(int(sys.argv[3])))
write_shards(documents, ByteTokenizer(), sys.argv[2], tokens_per_shard=10_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_stays_flat_while_writing_200_megabytes(tmp_path: Path) -> None:
    here = str(Path(__file__).parent)
    peaks = [
        int(subprocess.check_output([sys.executable, "-c", PEAK, here, str(tmp_path / str(n)), str(n)]))
        for n in (20_000, 200_000)
    ]
    assert peaks[1] - peaks[0] < 24 << 10, f"{peaks[0] >> 10} MiB for 20 MB, {peaks[1] >> 10} MiB for 200 MB"
