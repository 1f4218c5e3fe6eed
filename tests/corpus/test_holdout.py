"""The validation split: by the text alone, of a sensible size for stories and for novels, nothing lost or doubled."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from jarvis_nano.corpus import holdout
from jarvis_nano.corpus.documents import Document, pieces


def stories(n: int) -> list[Document]:
    return [Document(str(i), f"Il était une fois le conte numéro {i}. " * (1 + i % 9), "stories") for i in range(n)]


def novels(n: int, paragraphs: int) -> list[Document]:
    text = "Chapitre {0}, paragraphe {1}. Le roi sortit du château avec sa fille et ne revint jamais. " * 5
    return [Document(str(i), "\n\n".join(text.format(i, p) for p in range(paragraphs)), "novels") for i in range(n)]


def sides(documents: list[Document], **options: object) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {"train": [], "val": []}
    for split, text in holdout.split(documents, **options):  # type: ignore[arg-type]
        found[split].append(text)
    return found


def size(texts: list[str]) -> int:
    return sum(len(text.encode()) for text in texts)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="aé .\n", max_size=300), st.integers(2, 40))
def test_pieces_join_to_the_text_and_keep_to_the_size(text: str, limit: int) -> None:
    parts = list(pieces(text, limit))
    assert "".join(parts) == text
    assert all(0 < len(part) <= limit for part in parts)


def test_pieces_end_at_paragraphs_where_there_are_any() -> None:
    text = novels(1, 200)[0].text
    assert all(part.endswith("\n\n") for part in list(pieces(text, 8192))[:-1])


def test_many_stories_hold_out_the_fraction_whole() -> None:
    documents = stories(5000)
    found = sides(documents)
    assert 25 <= len(found["val"]) <= 80
    assert Counter(found["train"] + found["val"]) == Counter(d.text.strip("\n") for d in documents)


def test_long_novels_hold_out_pieces_of_several() -> None:
    documents = novels(23, 1200)  # 12 MB
    found = sides(documents)
    assert 0.004 < size(found["val"]) / size([d.text for d in documents]) < 0.02
    assert len({text.split(",")[0] for text in found["val"]}) >= 5
    kept = Counter(line for text in found["train"] + found["val"] for line in text.split("\n\n"))
    assert kept == Counter(line for d in documents for line in d.text.split("\n\n"))


def test_what_stays_of_a_novel_is_in_few_runs() -> None:
    found = sides(novels(23, 1200))  # 1,500 pieces; AT_LEAST takes up and gives back about 8 ln(1500 / 8) on the way
    assert len(found["train"]) < 150


def test_the_split_does_not_depend_on_the_order() -> None:
    documents = stories(3000) + novels(3, 300)
    shuffled = documents[:]
    random.Random(1).shuffle(shuffled)
    assert sides(documents)["val"] == sides(shuffled)["val"]
    limited = sides(documents, fraction=0.2, max_bytes=20_000)["val"]
    assert limited == sides(shuffled, fraction=0.2, max_bytes=20_000)["val"]


def test_more_text_moves_nothing_from_training_to_validation() -> None:
    small, large = sides(stories(3000)), sides(stories(6000))
    assert not set(small["train"]) & set(large["val"])


def test_the_bound_in_bytes_holds_and_nothing_is_lost() -> None:
    documents = stories(5000)
    found = sides(documents, fraction=0.3, max_bytes=50_000)
    assert 40_000 < size(found["val"]) <= 50_000
    assert Counter(found["train"] + found["val"]) == Counter(d.text.strip("\n") for d in documents)


def test_equal_texts_stay_on_one_side() -> None:
    twins = [Document(f"{d.id}-{copy}", d.text, d.source) for d in stories(400) for copy in range(3)]
    random.Random(2).shuffle(twins)
    for n in (30, 31, 60, len(twins)):
        for options in ({}, {"fraction": 1e-9}, {"fraction": 0.3, "max_bytes": 5000}):
            found = sides(twins[:n], **options)
            assert n < 60 or found["val"]
            assert not set(found["train"]) & set(found["val"])
            assert len(found["train"]) + len(found["val"]) == n


def test_a_few_documents_hold_out_at_least_one_and_at_most_a_tenth() -> None:
    assert sides(stories(1))["val"] == []
    assert len(sides(stories(2))["val"]) == 1
    assert 1 <= len(sides(stories(19))["val"]) <= 2
    assert 8 <= len(sides(stories(100))["val"]) <= 10


def test_a_fraction_of_nothing_holds_nothing_out() -> None:
    found = sides(stories(300), fraction=0.0)
    assert found["val"] == []
    assert len(found["train"]) == 300


def test_blank_documents_vanish() -> None:
    assert sides([Document("a", "\n\n", "x"), Document("b", "Un.\n", "x")])["train"] == ["Un."]
