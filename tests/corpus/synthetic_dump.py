"""A MediaWiki dump of any size, from a seed: French sentences of the built-in corpus in wiki markup, with a known
number of articles, redirects and near duplicates. For tests of preparing and benchmarks/prepare_dump.py."""

from __future__ import annotations

import bz2
import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from xml.sax.saxutils import escape

from jarvis_nano.corpus import stories

HEAD = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="fr">
  <siteinfo>
    <sitename>Essai</sitename><dbname>essaiwiki</dbname><case>first-letter</case>
    <namespaces><namespace key="0" case="first-letter" /><namespace key="6">Fichier</namespace>
    <namespace key="10">Modèle</namespace><namespace key="14">Catégorie</namespace></namespaces>
  </siteinfo>
"""
PAGES_PER_MEMBER = 100
_FACTS = (
    "Le [[village]] compte {{{{unité|{n}|habitants}}}} au {{{{s-|XIX}}}}.",
    "Il est né le {{{{date de naissance|{d}|mars|18{d:02d}}}}} à [[Lyon|Lyon]], et mort en {{{{nobr|19{d:02d}}}}}.",
    "La [[Loire]] y mesure {{{{unité|{n}|km}}}}<ref>{{{{Lien web|url=https://example.org/{n}|titre=Carte}}}}</ref>.",
    "On lit dans le {{{{1er|tome}}}} : {{{{citation|{sentence}}}}}.",
    "'''Son œuvre''' ''principale'' date du {{{{date-|{d}|mai|1{n}}}}}.",
)
_TABLE = '{| class="wikitable"\n! Année !! Nombre\n|-\n| 1900 || {{formatnum:12345}}\n|}\n'


@cache
def _sentences(count: int = 6000) -> tuple[str, ...]:
    found: list[str] = []
    for tale in stories.generate(1 << 30, 99):
        found += [one.strip() + "." for one in tale.replace("\n", " ").split(".") if len(one.split()) > 5]
        if len(found) >= count:
            return tuple(found[:count])
    raise AssertionError


def article(number: int, seed: int) -> str:
    """Wikitext of about 4,000 characters; every twentieth one nearly repeats the one before it."""
    rng = random.Random(seed * 1_000_003 + number - (number % 20 == 19))
    sentences = _sentences()

    def paragraph() -> str:
        written = [rng.choice(sentences) for _ in range(rng.randint(5, 9))]
        fact = rng.choice(_FACTS)
        written.append(fact.format(n=rng.randint(100, 999), d=rng.randint(1, 28), sentence=rng.choice(sentences)))
        rng.shuffle(written)
        return " ".join(written)

    parts = [f"{{{{Infobox Village\n| nom = Village {number}\n| image = A.jpg\n}}}}\n", paragraph()]
    for heading in ("Histoire", "Géographie", "Vie locale"):
        parts.append(f"== {heading} ==\n[[Fichier:Vue {number}.jpg|vignette|Une vue]]\n{paragraph()}\n\n{paragraph()}")
    parts.append(_TABLE)
    parts.append("== Notes et références ==\n{{Références}}\n\n[[Catégorie:Village]]")
    text = "\n\n".join(parts)
    return text.replace("de la", "de cette", 1) if number % 20 == 19 else text


def page(number: int, seed: int = 0) -> str:
    """One <page>: every tenth one is a redirect."""
    if number % 10 == 7:
        inner, text = '<redirect title="Village" />', "#REDIRECTION [[Village]]"
    else:
        inner, text = "", article(number, seed)
    return (
        f"  <page>\n    <title>Village {number}</title>\n    <ns>0</ns>\n    <id>{number + 1}</id>\n    {inner}\n"
        f"    <revision>\n      <id>{number + 1}</id>\n      <model>wikitext</model>\n"
        f'      <text xml:space="preserve">{escape(text)}</text>\n    </revision>\n  </page>\n'
    )


def blocks(n_bytes: int, seed: int = 0, pages: int = PAGES_PER_MEMBER) -> Iterator[bytes]:
    """The dump in blocks of `pages` pages, until it has n_bytes."""
    yield HEAD.encode()
    written, number = 0, 0
    while written < n_bytes:
        block = "".join(page(number + at, seed) for at in range(pages)).encode()
        number += pages
        written += len(block)
        yield block
    yield b"</mediawiki>\n"


def write_dump(path: Path, n_bytes: int, seed: int = 0, pages: int = PAGES_PER_MEMBER) -> Path:
    """path ends with .bz2: a member a block, as the multistream dumps have."""
    packed = path.suffix == ".bz2"
    with path.open("wb") as file:
        for block in blocks(n_bytes, seed, pages):
            file.write(bz2.compress(block) if packed else block)
    return path
