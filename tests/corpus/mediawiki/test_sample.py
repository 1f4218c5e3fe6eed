"""The shared sample of French Wikipedia: every article comes out, dates, centuries, units and numbers without holes."""

from __future__ import annotations

import bz2
import re
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from jarvis_nano.corpus.sources.mediawiki.site import Site
from jarvis_nano.corpus.sources.mediawiki.wikitext import Wikitext

FACTS = [
    line.split("\t")
    for line in (Path(__file__).parent / "sample.tsv").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("# ")
]
FORMULA = re.compile(r"\$[^$\n]*\$")
# No mark of the wiki is left, and nothing stands as if a word had been taken out before it.
LEFT = re.compile(r"\{\{|\}\}|\[\[|\]\]|''|</?(?:ref|br|small|sup|span|div|math|nowiki)\b|\||__[A-Z]+__|&[a-z]+;")
HOLE = re.compile(
    r"\( ?\)|\( ?,|, ?\)|(?<=\S)  | ,|« »|^[,;.)]|^- *$"
    r"|(?<![\w'’-])(?:du|de|des|au|aux|le|par|dans|vers|entre|un|environ|d'|l') ?[,;.)](?!\.)"
    r"|\b(?:au début|à la fin|au milieu|au cours|à partir|il y a|près|plus) (?:du|de|des) (?:et|,|\.)"
    r"|\b(?:du|à|en|le|entre|compte) (?:habitants|mètres|kilomètres|km)\b",
    re.MULTILINE,
)


@pytest.fixture(scope="module")
def articles(shared_data: Path) -> dict[str, str]:
    """Title -> wikitext of the sample's articles, redirects left out."""
    (dump,) = (shared_data / "wiki").glob("*.bz2")
    found = {}
    for page in ElementTree.fromstring(bz2.decompress(dump.read_bytes())):
        parts = {part.tag.rpartition("}")[2]: part for part in page.iter()}
        if "text" in parts and parts["ns"].text == "0" and "redirect" not in parts:
            found[parts["title"].text or ""] = parts["text"].text or ""
    return found


@pytest.fixture(scope="module")
def texts(articles: dict[str, str]) -> dict[str, str]:
    reader = Wikitext(Site())
    return {title: reader.text(wikitext, title=title) for title, wikitext in articles.items()}


def test_every_article_comes_out(articles: dict[str, str], texts: dict[str, str]) -> None:
    assert len(texts) == 33
    for title, text in texts.items():
        assert len(text) > 0.2 * len(articles[title]), title
        assert "\n\n" in text
        assert len(re.findall(r"[.!?…»]$", text, re.MULTILINE)) > 2, title


def test_no_mark_is_left(texts: dict[str, str]) -> None:
    left = [(title, found[0]) for title, text in texts.items() for found in LEFT.finditer(FORMULA.sub("", text))]
    assert left == []


def test_no_sentence_has_a_hole(texts: dict[str, str]) -> None:
    holes = [
        (title, prose[max(0, found.start() - 40) : found.end() + 20])
        for title, text in texts.items()
        for prose in [FORMULA.sub("x", text)]
        for found in HOLE.finditer(prose)
    ]
    # Sound French that the pattern takes for holes: « un (ou des) point(s) », « un an plus tard environ, ».
    assert len(holes) <= 9, holes


@pytest.mark.parametrize(("title", "wikitext", "expected"), FACTS, ids=[fact[2] for fact in FACTS])
def test_a_fact_reads_whole(
    articles: dict[str, str], texts: dict[str, str], title: str, wikitext: str, expected: str
) -> None:
    assert wikitext in articles[title]
    assert expected in texts[title]


def test_there_are_fifty_facts() -> None:
    assert len(FACTS) >= 50


def test_few_templates_of_the_prose_are_unknown(articles: dict[str, str]) -> None:
    reader = Wikitext(Site())
    for wikitext in articles.values():
        reader.text(wikitext)
    assert reader.unknown.total() <= 12, reader.unknown


def test_five_megabytes_a_second(articles: dict[str, str]) -> None:
    """Half of what docs/mediawiki.md measures, so that a busy machine passes."""
    megabytes = sum(len(wikitext.encode()) for wikitext in articles.values()) / 1e6
    best = 99.0
    for _ in range(5):
        reader = Wikitext(Site())
        start = time.process_time()
        for wikitext in articles.values():
            reader.text(wikitext)
        best = min(best, time.process_time() - start)
    assert megabytes / best > 5
