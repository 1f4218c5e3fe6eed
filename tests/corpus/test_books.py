"""Books off the printed page: what printing.py does to a text is undone, and nothing of the text is lost."""

from __future__ import annotations

import re
import time
from collections import Counter
from pathlib import Path

import pytest
from printing import printed, wrapped

from jarvis_nano.corpus.sources.books import looks_wrapped, rebuild

PRECIOUS = "0123456789œŒæ«»éèêëàâùûôîïçÉÈÀÇ’'-—–"
STYLES = {"plain": 60, "numbers": 66, "titles": 72, "feeds": 80}

HEADING = "LE MOULIN DE LA COMBE"
PARAGRAPHS = [
    "Le {n} mars 18{n:02}, vers huit heures du {word}, une voiture s'arrêta devant le moulin de la Combe, dont la roue "
    "ne tournait plus depuis la mort du vieux Jérôme ; on y voyait encore, peut-être par oubli, la lanterne du {word}.",
    "— Entrez donc, dit-il, et asseyez-vous près du {word} ; vous aurez bien froid si vous restez là-bas, sous cet "
    "auvent où le vent du nord-est apporte toute la neige de la montagne.",
    "— Merci, mon ami. Vous êtes Saint-Jean, le neveu du {word} ? Il me parlait de vous dans ses lettres, en 18{n:02} "
    "et en 1840, comme du seul honnête homme de la vallée.",
    "Le garçon rougit, regarda son {word}, et ne répondit rien. Peut-être pensait-il que les honnêtes gens ne se "
    "comptent pas ; peut-être n'avait-il pas entendu. « L'œuvre du {word} », murmura la voyageuse.",
]
WORDS = ("soir", "temps", "feu", "vieux notaire", "jardinier", "petit colporteur", "roi", "capitaine de frégate", "pré")


def chapter(n: int) -> list[str]:
    """Paragraphs that no other chapter has in the same words."""
    return [one.format(n=n, word=WORDS[n % len(WORDS)]) for one in PARAGRAPHS]


def chapters(n: int) -> list[str]:
    return [one for i in range(n) for one in chapter(i)]


CHAPTER = [HEADING, *chapter(3)]


def singles(path: Path) -> list[str]:
    """The paragraphs of a book, each on one line."""
    text = path.read_text(encoding="utf-8")
    return [re.sub("[ \n]+", " ", part.strip()) for part in text.split("\n\n") if part.strip()]


@pytest.mark.parametrize("style", STYLES)
def test_a_printed_chapter_comes_back_whole(style: str) -> None:
    book = chapters(60)
    page = printed(book, width=STYLES[style], title="Le moulin", style=style, seed=3)
    assert looks_wrapped(page)
    found = Counter(rebuild(page).split("\n\n"))
    # Where a full last line ends a page, nothing tells whether its paragraph goes on.
    assert (found & Counter(book)).total() >= (1 if style == "plain" else 0.97) * len(book)
    assert not [one for one in found if "Le moulin" in one or "SUIVANT" in one or one.isdigit()]


def rebuilt(path: Path) -> tuple[int, int]:
    """(paragraphs, those that come back) over all styles; what must not be lost is counted on the way."""
    book = singles(path)
    n_back = 0
    for seed, (style, width) in enumerate(STYLES.items()):
        page = printed(book, width=width, title="Le château de la forêt", style=style, seed=seed)
        text = rebuild(page)
        n_back += (Counter(text.split("\n\n")) & Counter(book)).total()
        whole = "\n\n".join(book)
        lost = {one: whole.count(one) - text.count(one) for one in PRECIOUS if one not in "-—–"}
        assert max(lost.values()) <= 0, (path.name, style, lost)
    return len(STYLES) * len(book), n_back


@pytest.mark.parametrize("name", ["eltec_FRA00501_Balzac.txt", "eltec_FRA05501_Lermina.txt"])
def test_a_novel_comes_back_from_the_press(shared_data: Path, name: str) -> None:
    n, n_back = rebuilt(shared_data / "corpus_fr" / name)
    assert n_back >= 0.99 * n, f"{n_back} of {n}"


@pytest.mark.slow
def test_all_books_come_back_from_the_press(shared_data: Path) -> None:
    found = [rebuilt(path) for path in sorted((shared_data / "corpus_fr").glob("*.txt"))]
    n, n_back = map(sum, zip(*found))
    assert n_back >= 0.99 * n, f"{n_back} of {n}"


def test_books_with_a_paragraph_a_line_stay_byte_for_byte(shared_data: Path) -> None:
    for path in sorted((shared_data / "corpus_fr").glob("*.txt")):
        text = path.read_text(encoding="utf-8")
        assert not looks_wrapped(text), path.name
        assert rebuild(text) == text, path.name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Une seule ligne.",
        "Sous le pont Mirabaud coule une eau\nQue nul n'arrête et nul ne boit\nElle s'en va de l'aube au soir\n" * 9,
        "— Oui.\n— Non.\n— Pourquoi pas ?\n— Parce que.\n" * 20,
        "Un paragraphe entier sur sa ligne, qui est bien longue.\nUn autre, tout aussi long que le premier.\n" * 20,
        "pain\nlait\nbeurre\nœufs\nfarine\n" * 9,
    ],
)
def test_what_is_not_wrapped_stays(text: str) -> None:
    assert rebuild(text) == text


def wrapped_at(width: int, paragraphs: list[str]) -> str:
    import random

    return "\n\n".join("\n".join(wrapped(one, width, random.Random(0), 0.0)) for one in paragraphs)


def test_hyphens_follow_the_rest_of_the_book() -> None:
    body = "Il viendra peut-être demain, dit-il, car le vicaire-général et la montagne sont là. " * 6
    cuts = (
        "Cette phrase assez longue pour être coupée finit par peut-\nêtre et continue encore un peu plus loin, dit-\n"
        "il, avant de parler de la mon-\ntagne où vit le vicaire-\ngénéral, puis de ceux qui chantaient sans que rien\n"
        "ne les y pousse, et de Saint-\nJean, du pays de 1914-\n1918, où nous chan-\nterons si vous le vou\u00ad\nlez, "
        "puissiez-\nvous le vouloir."
    )
    text = rebuild(wrapped_at(60, [body]) + "\n\n" + cuts).split("\n\n")[-1]
    expected = "peut-être et|dit-il,|montagne où|vicaire-général,|Saint-Jean|1914-1918|chanterons|voulez,|puissiez-vous"
    for word in expected.split("|"):
        assert word in text


def test_numbers_in_the_text_and_of_chapters_stay() -> None:
    """A year alone on its line, chapters 1 and 2, notes: none of them has neighbours a page away."""
    prose = wrapped_at(58, chapters(8))
    year = "C'était pendant l'été de l'an de grâce\n1789\net nul ne savait encore lire."
    book = "\n\n".join(["1", prose, year, "2", prose, "3", prose])
    text = rebuild(book)
    assert [part for part in text.split("\n\n") if part.isdigit()] == ["1", "2", "3"]
    assert "grâce 1789 et nul" in text
    assert all(text.count(digit) == book.count(digit) for digit in "0123456789")


def test_verse_headings_and_contents_keep_their_lines() -> None:
    verse = "Ô lune qui t'en vas\nPar-dessus les grands bois\nRends-moi ma peine"
    heading = "CHAPITRE PREMIER\nOù l'on part"
    contents = "I. Le départ .......... 3\nII. Le retour ......... 57"
    book = "\n\n".join([heading, contents, wrapped_at(64, chapters(5)), verse, wrapped_at(64, CHAPTER)])
    parts = rebuild(book).split("\n\n")
    assert parts[:2] == [heading, contents]
    assert verse in parts


def test_paragraphs_without_blank_lines_are_told_by_their_short_last_line() -> None:
    indented = "\n".join("   " + wrapped_at(60, [one]) for one in chapters(20))
    assert Counter(rebuild(indented).split("\n\n")) == Counter(chapters(20))
    page = "\n".join(wrapped_at(60, [one]) for one in chapters(20))
    found = Counter(rebuild(page).split("\n\n"))
    assert (found & Counter(chapters(20))).total() >= 0.9 * len(chapters(20))  # a full last line does not tell


@pytest.mark.parametrize("unit", ["a", "a-", "a-\n", "1\n", "\f", " ", "....", "-\nb", "\u00ad\n", "Aa\naa\n", "1 a\n"])
def test_a_million_of_one_character_takes_no_time(unit: str) -> None:
    body = wrapped_at(60, CHAPTER * 2)
    text = body + "\n" + unit * (300_000 // len(unit)) + "\n" + body
    start = time.process_time()
    rebuild(text)
    assert time.process_time() - start < 5
