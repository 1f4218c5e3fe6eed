"""Answers to held-out instructions of the built-in corpus, counted right or wrong by kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jarvis_nano.chat import encode_prompt, stop_ids
from jarvis_nano.corpus import assistant
from jarvis_nano.generation import generate_batch
from jarvis_nano.model import Transformer
from jarvis_nano.tokenizer import Tokenizer

MAX_TOKENS = 64


@dataclass(frozen=True)
class Answered:
    """One instruction, and what the model said."""

    example: assistant.Example
    answer: str

    @property
    def right(self) -> bool:
        return assistant.is_right(self.example, self.answer)


def answer(model: Transformer, tokenizer: Tokenizer, examples: Sequence[assistant.Example]) -> list[Answered]:
    """The model's most likely answer to each instruction."""
    prompts = [encode_prompt(tokenizer, [{"role": "user", "content": e.instruction}]) for e in examples]
    stop = stop_ids(tokenizer)
    rows = generate_batch(model, prompts, max_new_tokens=MAX_TOKENS, temperature=0.0, stop=stop)
    return [Answered(e, tokenizer.decode(ids).strip()) for e, ids in zip(examples, rows, strict=True)]


def percent_by_kind(answered: Sequence[Answered]) -> dict[str, float]:
    """Share of right answers of each kind, in percent."""
    kinds: dict[str, list[bool]] = {}
    for one in answered:
        kinds.setdefault(one.example.kind, []).append(one.right)
    return {kind: 100 * sum(right) / len(right) for kind, right in sorted(kinds.items())}
