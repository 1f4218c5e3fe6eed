"""Talk to a model. Bare, it takes the newest run that has been tuned on instructions.

    python scripts/chat.py demo --temperature 0.5 --system "Tu es Jarvis."
    printf 'Bonjour\n' | python scripts/chat.py demo
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from jarvis_nano import runs
from jarvis_nano.errors import UserError, main


@dataclass(frozen=True)
class Settings:
    """Talk to a model. Example: python scripts/chat.py demo --temperature 0.5"""

    run: Annotated[str, tyro.conf.Positional] = ""
    """Name under runs/ (or $JARVIS_NANO_RUNS), or a folder; default: the newest tuned run."""
    temperature: float = 0.7
    """0: always the most probable token; 1: as the model learnt; above: wilder."""
    top_k: int = 0
    """Only the k most probable tokens; 0: all."""
    top_p: float = 0.95
    """Only the most probable tokens that together reach p; 1: all."""
    seed: int = 0
    """The same seed and the same messages give the same answers."""
    system: str = ""
    """What the model is told before the conversation."""
    max_tokens: int = 256
    """Longest answer, in tokens."""
    lang: Literal["fr", "en"] = "fr"
    """Language of the program's own texts."""


def newest() -> Path:
    """The newest tuned run, or the newest at all where none is tuned."""
    try:
        return runs.newest(tuned=True)
    except UserError:
        return runs.newest()


def run() -> None:
    settings = tyro.cli(Settings)
    folder = runs.resolve(settings.run) if settings.run else newest()
    from jarvis_nano.chat import Chat  # only now: torch takes two seconds to import
    from jarvis_nano.terminal import Terminal

    chat = Chat(*runs.load(folder), settings.system or None, temperature=settings.temperature, top_k=settings.top_k,
                top_p=settings.top_p, seed=settings.seed, max_tokens=settings.max_tokens)
    Terminal(chat, settings.lang).talk(folder)


if __name__ == "__main__":
    main(run)
