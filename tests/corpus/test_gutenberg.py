"""The frame of a Project Gutenberg book goes, the book stays."""

from __future__ import annotations

from jarvis_nano.corpus.sources.gutenberg import without_licence

BOOK = "CANDIDE\n\nou\n\nL'OPTIMISME\n\n\nIl y avait en Westphalie un jeune garçon.\n\n*** *** ***\n\nFin de la pièce."
HEAD = "The Project Gutenberg EBook of Candide, by Voltaire\n\nThis eBook is for the use of anyone anywhere.\n\n"
TAIL = "\n\n\nSection 1. General Terms of Use\n\n" + "Redistribution is subject to the trademark licence. " * 300


def test_what_is_around_the_book_goes() -> None:
    for start in (
        "*** START OF THE PROJECT GUTENBERG EBOOK CANDIDE ***",
        "***START OF THIS PROJECT GUTENBERG EBOOK A***",
    ):
        for end in (
            "*** END OF THE PROJECT GUTENBERG EBOOK CANDIDE ***",
            "End of the Project Gutenberg EBook of Candide",
        ):
            assert without_licence(f"{HEAD}{start}\n\n\n{BOOK}\n\n\n{end}{TAIL}") == BOOK


def test_those_who_typed_it_are_no_part_of_it() -> None:
    credits = "Produced by Carlo Traverso, Laurent Vogel and the\nOnline Distributed Proofreading Team\n"
    start, end = (f"*** {word} OF THE PROJECT GUTENBERG EBOOK CANDIDE ***" for word in ("START", "END"))
    assert without_licence(f"{HEAD}{start}\n\n{credits}\n\n{BOOK}\n{end}") == BOOK


def test_a_title_over_two_lines() -> None:
    start = "*** START OF THE PROJECT GUTENBERG EBOOK CANDIDE, OU\nL'OPTIMISME ***"
    assert without_licence(f"{HEAD}{start}\n{BOOK}") == BOOK


def test_other_texts_stay_as_they_are() -> None:
    for text in (BOOK, "Le projet Gutenberg.\n*** END OF IT", f"{BOOK}\nProject Gutenberg est une bibliothèque.\n", ""):
        assert without_licence(text) == text


def test_a_mark_in_the_middle_of_a_long_text_is_text() -> None:
    quoted = "On lit :\n*** END OF THE PROJECT GUTENBERG EBOOK ***\n" + "Il marchait. " * 10_000 + "project gutenberg"
    assert without_licence(quoted) == quoted
