"""Sections by their headings: those without prose (references, bibliography, links…) are cut out before parsing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Set

DROPPED_SECTIONS = frozenset(
    title.strip()
    for title in """
Notes et références, Notes, Références, Notes et sources, Sources, Sources et références, Références et notes, Note,
Référence, Notes, sources et références, Source, Bibliographie, Bibliographies, Bibliographie sommaire,
Bibliographie indicative, Bibliographie sélective, Orientation bibliographique, Éléments de bibliographie,
Voir aussi, Liens externes, Lien externe, Liens, Liens internes, Lien interne, Liens et références, Annexes, Annexe,
Articles connexes, Article connexe, Articles liés, Pages connexes, Autres projets, Galerie, Galeries, Galerie photos,
Galerie d'images, Galerie photographique, Galerie de photos, Iconographie et galerie, Références bibliographiques,
Ouvrages de référence, Documentation, Pour approfondir, À voir, Liens utiles, Webographie, Sitographie, Sitologie,
Sources bibliographiques, Sources et bibliographie, Bibliographie et sources, Notes de bas de page, Lien web,
Sources et liens externes, Vikiliens, Vikiliens pour compléter, Vikilien, Pour compléter, Voir également,
References, Notes and references, See also, External links, Further reading, Bibliography, Footnotes, Citations
""".replace("\n", " ")
    .replace("Notes, sources et références", "Notes sources et références")
    .split(",")
    if title.strip()
)

_MARKUP = re.compile(r"<ref\b[^<>]*>.*?</ref>|<[^<>]*>|\{\{[^{}]*\}\}|'{2,}|\[\[(?:[^\[\]|]*\|)?|\]\]")
_AFTER = re.compile(r"(?:<[^<>]*>|\{\{[^{}]*\}\}|\s)+$")
_MAX_TITLE = 400  # characters: a longer line between signs of equality is no heading


def heading(line: str) -> tuple[int, str] | None:
    """(level, title) of a line such as « == Histoire == », None where it is none."""
    line = line.rstrip()
    if not line.endswith("=") and len(line) <= _MAX_TITLE:
        line = _AFTER.sub("", line)  # == Histoire == {{ancre}}
    inner = line.strip("=")
    level = min((len(line) - len(line.lstrip("="))), len(line) - len(line.rstrip("=")), 6)
    if not level or len(line) > _MAX_TITLE or not inner.strip():
        return None
    return level, inner.strip()


def title_key(title: str) -> str:
    """A heading as compared: without markup, accents kept, lower case, no comma or full stop."""
    plain = _MARKUP.sub("", title) if not title.isalpha() else title
    return " ".join(plain.replace("’", "'").replace(",", " ").strip(" .:").lower().split())


def _headings(text: str) -> Iterator[tuple[int, int, str]]:
    """(start, level, title) of each heading."""
    start = 0 if text.startswith("=") else text.find("\n=") + 1
    while start or text.startswith("="):
        end = text.find("\n", start)
        line = text[start:] if end < 0 else text[start:end]
        if head := heading(line):
            yield start, *head
        start = text.find("\n=", start) + 1
        if not start:
            return


def without_sections(text: str, dropped: Set[str]) -> str:
    """The text without the sections whose title_key is in `dropped`, each with its subsections."""
    if "=" not in text:
        return text
    kept, position, until = [], 0, 0  # until: the level at which a dropped section ends, 0 outside of one
    for start, level, title in _headings(text):
        if until:
            if level > until:
                continue
            position, until = start, 0
        if title_key(title) in dropped:
            kept.append(text[position:start])
            until = level
    if not until:
        kept.append(text[position:])
    return "".join(kept)
