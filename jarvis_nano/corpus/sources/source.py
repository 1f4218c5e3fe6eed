"""What a reader is told of its file: its names, what to read of it, how far it has come, where damage goes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from jarvis_nano.corpus.documents import Document
from jarvis_nano.errors import UserError


def printable(name: str) -> str:
    """A file's name as it can be written in UTF-8: on Linux it may hold any bytes, which are shown as \\xe9."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


@dataclass
class Mark:
    """How far a reader of several files has come, and where another one is to begin."""

    file: int = 0
    """Files done."""
    at: int = 0
    """Records done in the next one: lines of a .jsonl, documents of a .txt, pages of a dump, rows of a table."""
    documents: int = 0
    """Documents found in these records."""


@dataclass(frozen=True)
class Damage:
    """What could not be read: the file, the place in it ("" for the file as a whole), and why, as a sentence's end."""

    place: str
    where: str
    why: str

    def __str__(self) -> str:
        return f"{self.place}, {self.where} {self.why}" if self.where else f"{self.place} {self.why}"


@dataclass(frozen=True)
class Options:
    """What to read of the files; the same options and files give the same documents. Can be pickled and compared."""

    text_column: str = "text"
    """The key (.jsonl) or column (.csv, .parquet) that holds the text; "a.b" is the key b of the object a."""
    whole_files: bool = False
    """Whether a .txt is one document, whatever blank lines it has: a book whose chapters stand apart."""
    namespaces: tuple[int, ...] = (0,)
    """Namespaces of a MediaWiki dump whose pages are read."""
    template_rules: Mapping[str, str] = field(default_factory=dict)
    """Templates of a wiki and how to render them, beside the built-in ones (mediawiki.wikitext)."""
    speakers: str = "names"
    """How a transcript's turns begin: "names" (« Nom : texte »), "dashes" (« — texte ») or "none"."""
    keep_events: bool = False
    """Whether a transcript's noises are kept, as [rire]."""

    def as_json(self) -> str:
        """One line, the same for equal options: for hashes."""
        values = vars(self) | {"template_rules": dict(self.template_rules)}
        return json.dumps(values, ensure_ascii=False, sort_keys=True)


@dataclass
class Source:
    """A file for a reader. `name` goes into ids, `place` (something to paste into a command) into messages.

    Without `on_damage` a damaged record is an error; with it, it is handed over, and the reader goes on with the next.
    """

    name: str
    place: str
    mark: Mark = field(default_factory=Mark)
    options: Options = field(default_factory=Options)
    on_damage: Callable[[Damage], None] | None = None
    passed_over: Counter[str] = field(default_factory=Counter)
    """Records that are no damage and no text either, by kind: "redirect", "namespace"…"""
    unknown_templates: Counter[str] = field(default_factory=Counter)
    """Uses of templates that no rule renders, by name."""

    @property
    def is_tolerant(self) -> bool:
        """Whether damage is handed over rather than raised."""
        return self.on_damage is not None

    def damaged(self, where: str, why: str) -> None:
        """Hand over the damage at `where` ("line 3"; "" is the whole file); UserError "place, where why" if strict."""
        found = Damage(self.place, where, why)
        if self.on_damage is None:
            raise UserError(str(found))
        self.on_damage(found)


Reader = Callable[[BinaryIO, Source], Iterator[Document]]
"""Documents of an open file after `source.mark`, which the reader moves on before each of them."""
