"""Findings of the level "cost": what a tokenizer that loses nothing makes French text pay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jarvis_nano.tokenizer import Tokenizer
from jarvis_nano.tokenizer_lab.cuts import Cuts, count_cuts, number_shapes, shown, tokens_each
from jarvis_nano.tokenizer_lab.doctor.finding import RETRAIN, Finding
from jarvis_nano.tokenizer_lab.settings import FileSettings

# A tokenizer of 16,384 ids trained on French has 1.2 tokens a word on novels, GPT-2's own 1.9 (docs/tokenizer_lab.md).
MOST_TOKENS_PER_WORD = 1.5
ENOUGH = 20  # words or elisions, below which nothing is said
_SIGNS = "œ«»…’"


def costs(tokenizer: Tokenizer, settings: FileSettings, texts: Sequence[str]) -> Iterator[Finding]:
    """What the texts cost, where it is more than it need be."""
    cuts = count_cuts(tokenizer, texts)
    pattern = _pattern(settings)
    if cuts.words >= ENOUGH and cuts.fertility > MOST_TOKENS_PER_WORD:
        yield Finding(
            "cost",
            "fertility",
            f"a word takes {cuts.fertility:.2f} tokens (a tokenizer made for French: 1.2): longer to train, "
            "and less text in the model's context",
            (_cut(tokenizer, "Aujourd'hui, la boulangère souriait."),),
            f"model.merges: {len(settings.model['merges'])} of them, and the text that they were learnt on",
            f"{RETRAIN} --vocab-size 16384, on French",
        )
    if tokenizer.encoder.scanner != "french":  # that pattern keeps and parts them; what it lacks is merges
        yield from _pattern_costs(tokenizer, cuts, pattern)
    if tokens_each(tokenizer, _SIGNS) > 2:
        yield Finding(
            "cost",
            "signs",
            f"each of {' '.join(_SIGNS)} takes {tokens_each(tokenizer, _SIGNS):.1f} tokens",
            (_cut(tokenizer, "« L’œuvre… »"),),
            "model.merges: none of these characters was learnt whole",
            f"{RETRAIN}, on French with its own signs",
        )


def _pattern_costs(tokenizer: Tokenizer, cuts: Cuts, pattern: str) -> Iterator[Finding]:
    if cuts.elisions >= ENOUGH and cuts.kept_share < 0.5:
        yield Finding(
            "cost",
            "elisions",
            f"of {cuts.elisions} elisions {cuts.apart} leave the apostrophe alone, {cuts.with_next} put it on the next "
            f"word, which then needs two tokens (eau and 'eau), and {cuts.joined} are not cut",
            tuple(_cut(tokenizer, text) for text in ("l'eau", "qu'il", "aujourd'hui")),
            pattern,
            f"{RETRAIN} --pattern french",
        )
    shapes = number_shapes(tokenizer)
    if len(shapes) > 1:
        yield Finding(
            "cost",
            "numbers",
            f"numbers of four digits are cut in {len(shapes)} ways, so that a model cannot see columns: "
            + ", ".join(f"{number} as {shape}" for shape, number in shapes[:4]),
            tuple(_cut(tokenizer, text) for text in ("1789", "1790", "3,14")),
            pattern,
            f"a pattern that parts digits; {RETRAIN} --pattern french",
        )


def _pattern(settings: FileSettings) -> str:
    steps = settings.steps("pre_tokenizer")
    return ", ".join(f"{step.path}: {_named(step.part)}" for step in steps) or "pre_tokenizer: null"


def _named(part: dict) -> str:
    pattern = part.get("pattern")
    text = next(iter(pattern.values())) if isinstance(pattern, dict) and pattern else None
    if part["type"] == "ByteLevel" and part.get("use_regex", True):
        return "ByteLevel, with GPT-2's pattern"
    return f"{part['type']} {str(text)[:40]}…" if text else str(part["type"])


def _cut(tokenizer: Tokenizer, text: str) -> tuple[str, str]:
    return text, shown(tokenizer, text)
