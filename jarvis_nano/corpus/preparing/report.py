"""What is left beside a corpus for its maker to read: report/index.html, counts.json, unknown_templates.tsv."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.table import Table

from jarvis_nano.corpus.documents import write_json
from jarvis_nano.corpus.preparing.cleaning import EMPTY, OTHER_LANGUAGE
from jarvis_nano.corpus.preparing.counts import Counts
from jarvis_nano.corpus.preparing.finishing import EXACT, NEAR
from jarvis_nano.corpus.preparing.page import page
from jarvis_nano.corpus.quality.filters import REASONS
from jarvis_nano.corpus.sources.source import printable

SENTENCES = {
    **REASONS,
    EMPTY: "Nothing but white space is left.",
    OTHER_LANGUAGE: "It is not in the language asked for.",
    EXACT: "Its text is that of a document before it.",
    NEAR: "Nearly all of its three-word sequences are those of a document before it.",
}

_CLASSES = (
    ("letters a to z", lambda c: c.isascii() and c.isalpha()),
    ("accented letters, œ, æ", lambda c: c.isalpha() and "LATIN" in unicodedata.name(c, "")),
    ("letters of other scripts", lambda c: c.isalpha()),
    ("digits", lambda c: unicodedata.category(c) == "Nd"),
    ("spaces", lambda c: c == " "),
    ("line ends", lambda c: c == "\n"),
    ("« » and other quotes", lambda c: unicodedata.category(c) in ("Pi", "Pf") or c == '"'),
    ("punctuation", lambda c: unicodedata.category(c)[0] == "P"),
    ("symbols", lambda c: unicodedata.category(c)[0] in "SN"),
)
_OTHER = "other (invisible, combining, control)"


def character_classes(characters: Mapping[str, int]) -> dict[str, int]:
    """How many characters of each class, the classes in a fixed order; those without any are left out."""
    found = dict.fromkeys([*(name for name, _ in _CLASSES), _OTHER], 0)
    for character, count in characters.items():
        found[next((name for name, holds in _CLASSES if holds(character)), _OTHER)] += count
    return {name: count for name, count in found.items() if count}


def write(folder: Path, manifest: Mapping[str, Any], counts: Counts) -> None:
    """All of it into the folder."""
    figures = counts.as_json()
    write_json(folder / "counts.json", figures)
    templates = counts["templates"].most_common()
    if templates:
        lines = [
            "uses\ttemplate",
            *(f"{uses}\t{name}" for name, uses in sorted(templates, key=lambda t: (-t[1], t[0]))),
        ]
        (folder / "unknown_templates.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    html = page(manifest, figures, SENTENCES, character_classes(counts.characters))
    (folder / "index.html").write_text(html, encoding="utf-8")


def show(manifest: Mapping[str, Any], out: Path) -> None:
    """The summary that a terminal is given, on stdout."""
    found = manifest["counts"]
    console = Console(highlight=False, markup=False, emoji=False)
    table = Table("documents", "", "", box=None, pad_edge=False, show_header=False)
    table.columns[1].justify = "right"
    table.add_row("read", f"{found['read']:,}", "")
    for reason, count in sorted(found["reasons"].items(), key=lambda entry: -entry[1]):
        table.add_row(f"  {reason}", f"{count:,}", SENTENCES.get(reason, ""), style="dim")
    table.add_row("kept", f"{found['kept']:,}", f"{manifest['text_bytes'] / 1e6:,.1f} MB of text", style="bold")
    notes, place = [], printable(str(out))
    if found["damaged"]:
        n = sum(found["damaged"].values())
        notes.append(f"{n:,} damaged records were passed over: {place}/report/damaged.jsonl names them")
    if found["passed_over"]:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(found["passed_over"].items()))
        notes.append(f"passed over, as no text: {kinds}")
    notes.append(f"{place}: {len(manifest['files'])} files; the report is {place}/report/index.html")
    console.print(Group(table, *notes), soft_wrap=True)
