"""How well a model knows a file: bits per byte of texts, or loss and right answers of instructions; or its grammar.

    python scripts/evaluate.py demo --data roman.txt
    python scripts/evaluate.py demo --data instructions.jsonl --json
    python scripts/evaluate.py demo --grammar
"""

import json
from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from jarvis_nano import runs
from jarvis_nano.corpus.instructions import is_instructions
from jarvis_nano.errors import UserError, main


@dataclass(frozen=True)
class Settings:
    """Evaluate a run on files. Example: python scripts/evaluate.py demo --data roman.txt"""

    run: Annotated[str, tyro.conf.Positional]
    """Name under runs/ (or $JARVIS_NANO_RUNS), or a folder."""
    data: tuple[str, ...] = ()
    """Texts in any format of docs/sources.md, folders of them, or one file of instructions."""
    grammar: bool = False
    """Score French grammar by pairs of sentences instead: needs no --data."""
    json: bool = False
    """Print one JSON object."""
    lang: Literal["fr", "en"] = "fr"
    """Language of the table of --grammar."""


def run() -> None:
    settings = tyro.cli(Settings)
    if bool(settings.data) == settings.grammar:
        raise UserError("nothing to evaluate on: name files with --data, or give --grammar; one of the two")
    runs.resolve(settings.run)
    from jarvis_nano.evaluation import grammar_table
    from jarvis_nano.evaluation.files import evaluate_instructions, evaluate_texts

    model, tokenizer = runs.load(settings.run)
    if settings.grammar:
        grammar_table.show(model, tokenizer, lang=settings.lang, as_json=settings.json)
        return
    if len(settings.data) == 1 and is_instructions(settings.data[0]):
        result = evaluate_instructions(model, tokenizer, settings.data[0])
    else:
        result = evaluate_texts(model, tokenizer, settings.data)
    if settings.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:>24}  {value:.3f}" if isinstance(value, float) else f"{name:>24}  {value}")


if __name__ == "__main__":
    main(run)
