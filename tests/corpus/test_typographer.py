"""The typographer: what is shown, and that nothing is lost on the way there and back."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_normalise import FRAGMENTS

from jarvis_nano.corpus.normalise import Normaliser
from jarvis_nano.corpus.normalise.typographer import NARROW, NO_BREAK, typeset, untypeset

clean = Normaliser()


@pytest.mark.parametrize(
    ("plain", "shown"),
    [
        ("Il dit : « Oui ! »", "Il dit~: «~Oui_!~»"),
        ("Quoi ?... Non ; non ?!", "Quoi_?… Non_; non_?!"),
        ("l'eau d'aujourd'hui, 'mot'", "l’eau d’aujourd’hui, 'mot'"),
        ("10 000 000 d'euros, 3 200 km", "10_000_000 d’euros, 3_200 km"),
        ("en 1914 200 hommes, le 12 345", "en 1914 200 hommes, le 12_345"),
        ("12 : 30 et 12:30, 16:9", "12 : 30 et 12:30, 16:9"),
        ("06 12 34 56 78, 3.14 159", "06 12 34 56 78, 3.14 159"),
        ("`a ; l'b ...` puis ; x", "`a ; l'b ...` puis_; x"),
        ("```\nx ; y\n```\nfin !", "```\nx ; y\n```\nfin_!"),
        ("http://a.fr/l'eau...x et l'eau", "http://a.fr/l'eau...x et l’eau"),
        ("Salut :) ;-) ;x :p", "Salut :) ;-) ;x :p"),
    ],
)
def test_what_is_shown(plain: str, shown: str) -> None:
    assert typeset(plain).replace(NO_BREAK, "~").replace(NARROW, "_") == shown
    assert untypeset(typeset(plain)) == plain


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.lists(st.sampled_from([*FRAGMENTS, "`", "```", "@a.fr", "www.", "1 000", " ;", " :"]), max_size=24).map(
            "".join
        ),
        st.text(max_size=60),
    )
)
def test_no_normalised_text_loses_anything(text: str) -> None:
    plain = clean(text)
    assert untypeset(typeset(plain)) == plain
    assert typeset(typeset(plain)) == typeset(plain)


def test_the_books_come_back(shared_data: Path) -> None:
    for path in sorted((shared_data / "corpus_fr").glob("*.txt"))[::3]:
        plain = clean(path.read_text(encoding="utf-8"))[:100_000]
        shown = typeset(plain)
        assert shown != plain
        assert untypeset(shown) == plain, path.name


@pytest.mark.parametrize("unit", ["`", "` ", "```a", "a@", "a://", "1 000 ", "1", " :", " ;", ".", "'", "l'", "«"])
def test_one_thing_over_and_over_takes_no_more_than_its_length(unit: str) -> None:
    text = unit * (200_000 // len(unit))
    started = time.process_time()
    typeset(text)
    assert time.process_time() - started < 2
