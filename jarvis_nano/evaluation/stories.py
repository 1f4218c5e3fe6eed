"""Stories that a model makes up, judged by the grammar's checker: right, varied, and not learnt by heart."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass

from jarvis_nano.corpus import checker
from jarvis_nano.generation import generate_batch
from jarvis_nano.model import Transformer
from jarvis_nano.tokenizer import Tokenizer

MAX_TOKENS = 220


@dataclass(frozen=True)
class StoryScore:
    """Shares are of sentences, in percent."""

    stories: int
    sentences: int
    grammar_percent: float
    """Sentences that the checker accepts."""
    distinct_percent: float
    """Different sentences among all."""
    new_percent: float
    """Sentences that do not stand in the training text."""
    faults: tuple[str, ...]
    """The first few refused sentences, each with what is wrong."""


def write_stories(model: Transformer, tokenizer: Tokenizer, count: int, *, temperature: float, seed: int) -> list[str]:
    """`count` texts without a prompt; one that had not ended at the limit is cut after its last whole sentence."""
    end = tokenizer.special_id("</s>")
    room = min(MAX_TOKENS, model.config.context - 1)
    rows = generate_batch(
        model, [[end]] * count, max_new_tokens=room, temperature=temperature, seed=seed, stop=(end,), batch_size=100
    )
    return [_whole(tokenizer.decode(ids), ended=len(ids) < room) for ids in rows]


def _whole(text: str, *, ended: bool) -> str:
    if ended:
        return text
    return " ".join(checker.sentences(text)[:-1])  # the last one was cut by the limit


def score(stories: Iterable[str], training: Container[str], *, shown: int = 5) -> StoryScore:
    """Judge each sentence of the stories; `training` holds the sentences of the training text."""
    reports = [checker.check(story) for story in stories]
    sentences = [sentence for report in reports for sentence in report.sentences]
    n = max(1, len(sentences))
    faults = [f"{fault.sentence} — {fault.message}" for report in reports for fault in report.faults]
    return StoryScore(
        len(reports),
        len(sentences),
        100 * sum(report.correct for report in reports) / n,
        100 * len(set(sentences)) / n,
        100 * sum(sentence not in training for sentence in sentences) / n,
        tuple(faults[:shown]),
    )
