"""The sample of a corpus: a function of its texts alone, within its bytes, spread over all of it, in bounded memory."""

from __future__ import annotations

import json
import random
import tracemalloc
from collections.abc import Iterator

import pytest

from jarvis_nano.corpus import holdout
from jarvis_nano.corpus.documents import Document
from jarvis_nano.errors import UserError
from jarvis_nano.tokenizer import Tokenizer
from jarvis_nano.tokenizer_lab import sampling
from jarvis_nano.tokenizer_lab.sampling import RECORD, Sample, write_record
from jarvis_nano.tokenizer_training import train_tokenizer


def corpus(n: int, size: int = 400) -> list[Document]:
    """Documents of about `size` characters, each unlike the others."""
    rng = random.Random(5)
    words = ["l'eau", "été", "chat", "maison", "qu'il", "dort", "œuvre", "vite"]
    return [Document(str(i), f"Texte {i} : " + " ".join(rng.choices(words, k=size // 6)), "a") for i in range(n)]


def sampled(documents: list[Document], n_bytes: int) -> tuple[Sample, list[str]]:
    sample = Sample(documents, n_bytes=n_bytes)
    return sample, list(sample.texts())


def test_a_corpus_that_fits_is_given_as_it_is() -> None:
    documents = [*corpus(50), Document("", "a" * 50_000, "b")]  # longer than a piece, and still whole
    for n_bytes in (10_000_000, 0):
        sample, texts = sampled(documents, n_bytes)
        assert texts == [document.text for document in documents]
        assert sample.is_whole
        assert sample.share == 1
    assert "all of the corpus: 51 documents" in sample.describe()


def test_the_sample_does_not_depend_on_the_order() -> None:
    documents = corpus(3000)
    wanted = sorted(sampled(documents, 200_000)[1])
    for seed in range(3):
        random.Random(seed).shuffle(documents)
        assert sorted(sampled(documents, 200_000)[1]) == wanted


def test_the_tokenizer_of_a_sample_does_not_depend_on_the_order(tmp_path) -> None:
    documents = corpus(2000)
    for name in ("a", "b"):
        train_tokenizer(sampled(documents, 100_000)[1], tmp_path / name, vocab_size=300)
        documents.reverse()
    assert Tokenizer.load(tmp_path / "a") == Tokenizer.load(tmp_path / "b")


@pytest.mark.parametrize("n_bytes", [20_000, 100_000, 500_000])
def test_the_sample_has_nearly_the_bytes_asked_for_and_never_more(n_bytes: int) -> None:
    sample, texts = sampled(corpus(4000), n_bytes)
    assert 0.8 * n_bytes < sample.bytes_kept <= n_bytes
    assert sample.bytes_kept == sum(len(text.encode()) for text in texts)
    assert sample.texts_kept == len(texts)
    assert not sample.is_whole


def test_what_is_kept_is_what_ranks_below_the_threshold() -> None:
    documents = corpus(2000)
    sample, texts = sampled(documents, 150_000)
    below = [d.text for d in documents if sampling.rank(d.utf8) <= sample.threshold]
    assert sorted(texts) == sorted(below)


def test_the_sample_is_spread_over_the_corpus() -> None:
    _, texts = sampled(corpus(4000), 300_000)
    numbers = [int(text.split()[1]) for text in texts]
    tenths = [sum(400 * i <= n < 400 * (i + 1) for n in numbers) for i in range(10)]
    assert min(tenths) > 0.5 * len(numbers) / 10
    assert max(tenths) < 1.6 * len(numbers) / 10


def test_one_long_book_is_sampled_by_pieces() -> None:
    book = "\n\n".join(document.text for document in corpus(3000))
    sample, texts = sampled([Document("b", book, "b")], 100_000)
    assert 0.5 * 100_000 < sample.bytes_kept <= 100_000
    assert all(text in book and len(text) <= sampling.PIECE for text in texts)


def test_held_out_text_is_in_no_sample() -> None:
    documents = corpus(2000)
    held = {text for split, text in holdout.split(documents) if split == holdout.VALIDATION}
    assert len(held) > 8
    for n_bytes in (0, 100_000_000, 50_000):
        sample = Sample(documents, n_bytes=n_bytes, hold_out=True)
        texts = set(sample.texts())
        assert texts
        assert not held & texts
        assert sample.documents_read == 2000


def test_memory_is_that_of_the_sample_and_not_of_the_corpus() -> None:
    def many() -> Iterator[Document]:
        rng = random.Random(1)
        for i in range(12_000):
            yield Document(str(i), f"{i} " + rng.randbytes(2000).hex(), "a")

    tracemalloc.start()
    sample = Sample(many(), n_bytes=2_000_000)
    n = sum(1 for _ in sample.texts())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sample.bytes_read > 48_000_000
    assert n > 300
    assert peak < 8_000_000  # hexadecimal packs to a half; the bands' open blocks are the rest


def test_one_text_again_and_again_stays_within_its_bytes() -> None:
    sample, texts = sampled([Document(str(i), "toujours le même " * 100, "a") for i in range(5000)], 50_000)
    assert texts
    assert sample.bytes_kept < 60_000


def test_an_impossible_size_and_a_broken_text_are_the_user_s_errors() -> None:
    with pytest.raises(UserError, match="-1 bytes"):
        Sample([], n_bytes=-1)
    with pytest.raises(UserError, match="document 7 of a holds half of a surrogate pair"):
        list(Sample([Document("7", "a\ud800", "a")]).texts())


def test_the_record_says_what_was_sampled_and_of_which_tokenizer(tmp_path) -> None:
    sample = Sample(corpus(1000), n_bytes=100_000)
    report = train_tokenizer(sample.texts(), tmp_path, vocab_size=300)
    write_record(tmp_path, sample, report.tokenizer, pattern="french")
    found = json.loads((tmp_path / RECORD).read_text(encoding="utf-8"))
    assert found["format"] == sampling.FORMAT
    assert found["tokenizer"] == Tokenizer.load(tmp_path).hash
    assert found["sample"]["documents_read"] == 1000
    assert found["sample"]["bytes_kept"] == sample.bytes_kept == report.n_bytes
    assert found["sample"]["sources"]["a"]["documents"] == 1000
