"""What a dump says of its wiki: the language and the names of its namespaces (<siteinfo>, at the dump's head)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.etree import ElementTree

from jarvis_nano.errors import UserError

FILE, TEMPLATE, CATEGORY = 6, 10, 14  # numbers of namespaces, the same in every wiki

# English names work in every wiki whatever its language; these are not listed in <siteinfo>.
_ENGLISH = {"media": -2, "special": -1, "talk": 1, "user": 2, "project": 4, "file": 6, "image": 6, "mediawiki": 8,
            "template": 10, "help": 12, "category": 14}  # fmt: skip
_FRENCH = {"média": -2, "spécial": -1, "discussion": 1, "utilisateur": 2, "utilisatrice": 2, "wikipédia": 4,
           "fichier": 6, "modèle": 10, "aide": 12, "catégorie": 14, "portail": 100, "projet": 102,
           "référence": 104, "module": 828, "sujet": 2600}  # fmt: skip


@dataclass(frozen=True)
class Site:
    """language: of the dump's xml:lang; namespaces: lower-case name -> number, without the main one (0)."""

    language: str = "fr"
    namespaces: Mapping[str, int] = field(default_factory=lambda: _ENGLISH | _FRENCH)

    def namespace(self, title: str) -> int:
        """The number of the namespace of a title such as « Fichier:Carte.png »; 0 for an article."""
        prefix, colon, _ = title.partition(":")
        return self.namespaces.get(prefix.strip().lower().replace("_", " "), 0) if colon else 0


def read_site(siteinfo: bytes, language: str, place: str) -> Site:
    """The site of a <siteinfo> element, English names added. UserError where it cannot be read."""
    try:
        root = ElementTree.fromstring(siteinfo)
    except ElementTree.ParseError as error:
        raise UserError(f"{place}: its <siteinfo> is broken XML ({error}); fetch the dump again") from error
    found = dict(_ENGLISH)
    for element in root.iter():
        if element.tag.rpartition("}")[2] in ("namespace", "alias") and element.text:
            found[element.text.strip().lower()] = int(element.get("key", "0"))
    return Site(language, found)
