"""Let a model continue a text, or with no text write a new one.

    python scripts/sample.py demo "Il était une fois" --tokens 100 --temperature 0.8
    python scripts/sample.py demo --count 5 --seed 7 --json
"""

import json
from dataclasses import dataclass
from typing import Annotated

import tyro

from jarvis_nano import runs
from jarvis_nano.errors import UserError, main


@dataclass(frozen=True)
class Settings:
    """Let a model continue a text. Example: python scripts/sample.py demo "Il était une fois" --tokens 100"""

    run: Annotated[str, tyro.conf.Positional]
    """Name under runs/ (or $JARVIS_NANO_RUNS), or a folder."""
    prompt: Annotated[str, tyro.conf.Positional] = ""
    """The beginning; empty: a new document."""
    tokens: int = 200
    """At most so many tokens; a text ends earlier where the model ends it."""
    temperature: float = 0.8
    """0: always the most probable token; 1: as the model learnt; above: wilder."""
    top_k: int = 0
    """Only the k most probable tokens; 0: all."""
    top_p: float = 1.0
    """Only the most probable tokens that together reach p; 1: all."""
    seed: int = 0
    """Text r of this seed is always the same, whatever the count."""
    count: int = 1
    """How many texts."""
    json: bool = False
    """One JSON object {"text", "tokens"} a line."""


def run() -> None:
    settings = tyro.cli(Settings)
    if settings.count < 1:
        raise UserError(f"--count is {settings.count}; it must be at least 1")
    folder = runs.resolve(settings.run)
    from jarvis_nano.chat import stop_ids  # only now: torch takes two seconds to import
    from jarvis_nano.generation import generate_batch

    model, tokenizer = runs.load(folder)
    prompts = [[tokenizer.special_id("</s>"), *tokenizer.encode_list(settings.prompt)]] * settings.count
    texts = generate_batch(model, prompts, max_new_tokens=settings.tokens, temperature=settings.temperature,
                           top_k=settings.top_k, top_p=settings.top_p, seed=settings.seed, stop=stop_ids(tokenizer))
    for number, ids in enumerate(texts):
        text = settings.prompt + tokenizer.decode(ids)
        line = json.dumps({"text": text, "tokens": len(ids)}, ensure_ascii=False)
        print(line if settings.json else ("\n" if number else "") + text)


if __name__ == "__main__":
    main(run)
