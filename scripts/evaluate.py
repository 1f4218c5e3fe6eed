"""How well a model knows a file: bits per byte of texts, or loss and right answers of instructions.

    python scripts/evaluate.py demo --data roman.txt
    python scripts/evaluate.py demo --data instructions.jsonl --json
"""

import json
from dataclasses import dataclass
from typing import Annotated

import tyro

from jarvis_nano import runs
from jarvis_nano.errors import UserError, main


@dataclass(frozen=True)
class Settings:
    """Evaluate a run on files. Example: python scripts/evaluate.py demo --data roman.txt"""

    run: Annotated[str, tyro.conf.Positional]
    """Name under runs/ (or $JARVIS_NANO_RUNS), or a folder."""
    data: tuple[str, ...] = ()
    """Texts (.txt, .jsonl, folders; also packed), or one .jsonl file of instructions."""
    json: bool = False
    """Print one JSON object."""


def run() -> None:
    settings = tyro.cli(Settings)
    if not settings.data:
        raise UserError("nothing to evaluate on: name files with --data")
    runs.resolve(settings.run)
    from jarvis_nano.evaluation.files import evaluate_instructions, evaluate_texts, is_instructions

    model, tokenizer = runs.load(settings.run)
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
