"""The grammar scores of one model, printed: a table for people, or one JSON object."""

from __future__ import annotations

import json
from typing import Literal

from rich.console import Console
from rich.table import Table

from jarvis_nano.errors import UserError
from jarvis_nano.evaluation import grammar
from jarvis_nano.model import Transformer
from jarvis_nano.tokenizer import Tokenizer

_WORDS = {
    "fr": ("Phénomène", "Juste", "Paires", "Exemple", "moyenne", "{} paires trop longues pour le contexte"),
    "en": ("Phenomenon", "Right", "Pairs", "Example", "mean", "{} pairs are too long for the context"),
}


def show(model: Transformer, tokenizer: Tokenizer, *, lang: Literal["fr", "en"] = "fr", as_json: bool = False) -> None:
    """Score all pairs and print the share that the model gets right. UserError where no pair fits the context."""
    pairs = grammar.load()
    found = grammar.accuracy(model, tokenizer, pairs)
    if not found:
        raise UserError(f"no pair of sentences fits the model's context of {model.config.context} tokens")
    mean = sum(found.values()) / len(found)
    left_out = grammar.too_long(tokenizer, pairs, model.config.context)
    if as_json:
        print(json.dumps({"grammar": mean, "accuracy": found, "too_long": left_out}))
        return
    phenomenon, right, count, example, mean_, note = _WORDS[lang]
    table = Table(phenomenon, right, count, example, caption=note.format(left_out) if left_out else None)
    for column in table.columns[1:3]:
        column.justify = "right"
    for name, share in found.items():
        title = grammar.TITLES[name]
        table.add_row(
            title.fr if lang == "fr" else title.en, f"{share:.0%}", str(len(pairs[name])), f"*{title.example.bad}"
        )
    table.add_section()
    table.add_row(mean_, f"{mean:.1%}", str(sum(len(pairs[name]) for name in found)), "")
    Console().print(table)
