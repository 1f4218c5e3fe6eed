"""What is masked, what looks like it and is not, and that the books hold nothing to mask."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jarvis_nano.corpus.quality.sensitive import KINDS, PLACEHOLDERS, mask
from jarvis_nano.errors import UserError


@pytest.mark.parametrize(
    ("kind", "thing"),
    [
        ("email", "jeanne.martin@free.fr"),
        ("email", "j+liste@sous.domaine.co.uk"),
        ("email", "zoé@école.fr"),
        ("phone", "06 12 34 56 78"),
        ("phone", "06.12.34.56.78"),
        ("phone", "06-12-34-56-78"),
        ("phone", "0612345678"),
        ("phone", "06\u00a012\u00a034\u00a056\u00a078"),
        ("phone", "+33 6 12 34 56 78"),
        ("phone", "+33612345678"),
        ("phone", "+33 (0)6 12 34 56 78"),
        ("phone", "0033 6 12 34 56 78"),
        ("phone", "+33 612 345 678"),
        ("phone", "+32 2 123 45 67"),
        ("phone", "+1 514 555 1234"),
        ("phone", "+1 (514) 555-1234"),
        ("phone", "+41 22 123 45 67"),
        ("iban", "FR14 2004 1010 0505 0001 3M02 606"),
        ("iban", "FR1420041010050500013M02606"),
        ("iban", "DE89 3704 0044 0532 0130 00"),
        ("iban", "BE68 5390 0754 7034"),
        ("card", "4111 1111 1111 1111"),
        ("card", "4111111111111111"),
        ("card", "5500-0000-0000-0004"),
        ("card", "3782 822463 10005"),
        ("nir", "2 55 08 14 168 025 38"),
        ("nir", "255081416802538"),
        ("ip", "91.198.174.192"),
        ("ip", "2a00:1450:4007:80e::2003"),
    ],
)
def test_a_thing_is_masked_wherever_it_stands(kind: str, thing: str) -> None:
    for frame in ("{}", "Écrivez à {}.", "({}), merci", "x : {}\ny", "« {} » !", "tél. {} ;"):
        text, found = mask(frame.format(thing), [kind])
        assert text == frame.format(PLACEHOLDERS[kind])
        assert found == Counter({kind: 1})
    others = [other for other in KINDS if other != kind]
    assert mask(f"Voir {thing}.", others)[1].total() == 0


@pytest.mark.parametrize(
    "text",
    [
        "En 1914, 1 234 567 hommes ; 10 000 000 000 d'euros ; +10 000 000 habitants ; +1 234 567 890 de dollars",
        "le 06 12 1945, le 06/12/1945, 06-12-1945, 2026-12-01, de 12:30:45 à 14:05:00.123",
        "ISBN 978-2-07-036822-8, ISBN 2070368228, ISBN : 0123456789, ISSN 0395-2037, EAN 9782070368228",
        "SIRET 732 829 320 00074, RCS 732829320, réf. 0612345678, article 0612345678",
        "les numéros 01 02 03 04 05 06 07 et 12 13 14 15 16 17",
        "version 91.198.174.192 ; 1.2.3.4 ; § 2.10.3.1 ; 192.168.1.1 ; 10.0.0.1 ; 127.0.0.1 ; 999.91.92.93",
        "4111 1111 1111 1112, 1234 5678 9012 3456, 4 111 111 111 111 111",
        "2 55 08 14 168 025 39, 1 23 45 67 890 123 45",
        "FR15 2004 1010 0505 0001 3M02 606, XX14 2004 1010 0505 0001",
        "a@b, @pseudo, user@localhost, prix @ 3 euros, contact@example.org, x@y.test",
        "std::dead::beef, 12::30, ::1, fe80::1, AA:BB:CC:DD:EE:FF",
        "3,141592653589793 et 0.5772156649 et 6,02214076e23",
        "06 39 98 12 34 et 01 99 00 45 67, les numéros des films",
        "Gallica, ark:/12148/bpt6k0612345678, doi 10.1234/0612345678",
    ],
)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert mask(text) == (text, Counter())


def test_several_are_counted_by_kind() -> None:
    text, found = mask("a@b.fr, c@d.fr, 06 12 34 56 78 ; FR14 2004 1010 0505 0001 3M02 606 BIC PSSTFRPP")
    assert found == Counter(email=2, phone=1, iban=1)
    assert text.endswith(f"{PLACEHOLDERS['iban']} BIC PSSTFRPP")


def test_only_what_is_asked_for_is_masked() -> None:
    text = "a@b.fr 06 12 34 56 78"
    assert mask(text, []) == (text, Counter())
    assert mask(text, "phone")[1] == Counter(phone=1)
    with pytest.raises(UserError, match="no sensitive kind is named name; the kinds are: email, iban"):
        mask(text, ["name"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_placeholder_is_left_by_every_kind(kind: str) -> None:
    assert mask(f"Voir {PLACEHOLDERS[kind]}.") == (f"Voir {PLACEHOLDERS[kind]}.", Counter())


@settings(max_examples=300, deadline=None)
@given(st.text("0123456789 .-:+@aFR(),\u00a0", max_size=80))
def test_masking_again_changes_nothing(text: str) -> None:
    once, _found = mask(text)
    assert mask(once) == (once, Counter())


def luhn_digit(digits: str) -> str:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        n = int(digit) * (2 if place % 2 == 0 else 1)
        total += n // 10 + n % 10
    return str(-total % 10)


def test_checks_hold_for_one_in_their_number() -> None:
    """Of random numbers as long as a card's one in ten passes Luhn's check, of social security numbers one in 97."""
    chance = random.Random(3)
    for _ in range(200):
        digits = "4" + "".join(chance.choices("0123456789", k=14))
        good = luhn_digit(digits)
        for last in "0123456789":
            assert mask(digits + last, ["card"])[1]["card"] == (last == good)
        body = f"1{chance.randint(10, 99)}{chance.randint(1, 12):02d}2A{chance.randint(100_000, 999_999)}"
        key = 97 - int(body.replace("2A", "19")) % 97
        assert [k for k in range(1, 98) if mask(f"{body}{k:02d}", ["nir"])[1]] == [key]


def test_the_books_hold_nothing_to_mask_and_vikidia_one_visitor(shared_data: Path) -> None:
    """Three questions on Vikidia were asked by a visitor without an account, whose address stands there."""
    for path in sorted((shared_data / "corpus_fr").glob("*.txt")):
        text, found = mask(path.read_text(encoding="utf-8"))
        assert found == (Counter(ip=3) if path.name == "vikidia_fr.txt" else Counter()), path.name
        assert text.count("Question posée par 192.0.2.1 (") == found["ip"]


@pytest.mark.parametrize(
    "unit",
    ["a", "0", "1", "01 ", "a@", "a.", "@", "+33 ", "+1", "FR14", "FR", "A1 ", "4111 ", "1.", "1:", "::", "a-", "(0)"],
)
def test_one_thing_over_and_over_takes_no_more_than_its_length(unit: str) -> None:
    text = unit * (500_000 // len(unit))
    started = time.process_time()
    mask(text)
    assert time.process_time() - started < 3
