"""Quotations, verses, asides: {{citation|…}} -> « … », {{citation bloc|…|auteur}} a paragraph of its own."""

from __future__ import annotations

from collections.abc import Callable

from jarvis_nano.corpus.sources.mediawiki.marks import BREAK
from jarvis_nano.corpus.sources.mediawiki.parameters import Arguments, first

_OPENED = ("«", "“", '"')


def quoted(text: str) -> str:
    """« text », unless it has its marks already."""
    text = text.strip()
    return text if not text or text.startswith(_OPENED) else f"« {text} »"


def _numbered(arguments: Arguments, start: int = 1) -> list[str]:
    return [arguments[str(i)] for i in range(start, start + 4) if arguments.get(str(i))]


def quotation(arguments: Arguments) -> str:
    return quoted(first(arguments, "texte", "citation", "1"))


def foreign(arguments: Arguments) -> str:
    """{{citation étrangère|langue=en|text|traduction}}, also {{citation étrangère|en|text|traduction}}."""
    given = _numbered(arguments)
    if len(given) > 1 and "langue" not in arguments and "lang" not in arguments and len(given[0]) <= 3:
        given = given[1:]
    meaning = first(arguments, "trad", "traduction") or (given[1] if len(given) > 1 else "")
    text = quoted(first(arguments, "texte", "citation") or (given[0] if given else ""))
    return f"{text} ({quoted(meaning)})" if text and meaning else text


def _source(names: list[str]) -> str:
    return f"\n\n— {', '.join(names)}" if names else ""


def block(arguments: Arguments) -> str:
    """{{citation bloc|text|auteur|source}}: « text », then « — auteur, source » below."""
    text = first(arguments, "texte", "citation", "1")
    named = [first(arguments, *keys) for keys in (("auteur",), ("source", "ref", "sources"))]
    return f"\n\n{quoted(text)}{_source([*filter(None, named), *_numbered(arguments, 2)])}\n\n" if text else ""


def block_end(arguments: Arguments) -> str:
    """{{fin citation|auteur|source}}: the signature under what {{début citation}} opened."""
    return _source(_numbered(arguments)) + "\n\n"


def verse(arguments: Arguments) -> str:
    """{{vers|texte=…}}: each line stays a line."""
    text = first(arguments, "texte", "1").strip("\n").replace("\n", BREAK)
    signed = [first(arguments, *keys) for keys in (("auteur",), ("source", "titre"))]
    return f"\n\n{text}{_source(list(filter(None, signed)))}\n\n"


def aside(arguments: Arguments) -> str:
    """{{incise|text}} -> « – text – »; with `stop` or `fin` the sentence ends there: « – text »."""
    text, how = arguments.get("1", ""), arguments.get("2", "").lower()
    if not text:
        return ""
    return f"– {text}" if how in ("stop", "fin", "s", "f", ".") else f"– {text} –"


def _authors(arguments: Arguments) -> str:
    people = []
    for i in ("", *map(str, range(1, 7))):
        name = " ".join(filter(None, (first(arguments, f"prénom{i}"), first(arguments, f"nom{i}"))))
        name = name or first(arguments, f"auteur{i}", "auteurs" if not i else "", f"auteur institutionnel{i}")
        if name and name not in people:
            people.append(name)
    if not people:
        return ""
    return people[0] if len(people) == 1 else f"{', '.join(people[:-1])} et {people[-1]}"


def work(*, quotes: bool = False) -> Callable[[Arguments], str]:
    """{{ouvrage|…}}, {{article|…}}, {{chapitre|…}} in a list of works: « Auteur, Titre, Lieu, Éditeur, 1975 »."""

    def render(arguments: Arguments) -> str:
        title = first(arguments, "titre", "title", "titre chapitre", "titre ouvrage")
        if not title:
            return ""
        if subtitle := arguments.get("sous-titre"):
            title += f" : {subtitle}"
        whole = first(arguments, "titre ouvrage", "périodique", "revue", "journal")
        volume = first(arguments, "volume", "tome")
        pages = first(arguments, "passage", "pages", "page", "p")
        pieces = [
            _authors(arguments),
            quoted(title) if quotes else title,
            whole if whole != title else "",
            first(arguments, "lieu"),
            first(arguments, "éditeur", "editeur", "publisher"),
            f"vol. {volume}" if volume else "",
            f"n° {arguments['numéro']}" if arguments.get("numéro") else "",
            first(arguments, "date") or " ".join(filter(None, (first(arguments, "mois"), first(arguments, "année")))),
            f"p. {pages}" if pages else "",
        ]
        return ", ".join(filter(None, pieces))

    return render


def harvard(arguments: Arguments) -> str:
    """{{harvsp|Belaval|2005|p=46}} -> « Belaval 2005, p. 46 »."""
    names = _numbered(arguments)
    if not names:
        return ""
    text = " et ".join([", ".join(names[:-2]), names[-2]]) if len(names) > 2 else names[0]
    if len(names) > 1:
        text += f" {names[-1]}"
    pages = first(arguments, "p", "pp", "page", "pages", "passage")
    return f"{text}, p. {pages}" if pages else text
