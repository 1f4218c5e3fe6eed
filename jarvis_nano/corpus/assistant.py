"""Instruction pairs in French for tuning a small model, what is right about an answer, and texts that teach the facts.

    python -m jarvis_nano.corpus.assistant --count 5 --seed 1 --show

Every kind is split by what would make it a mere repetition: sums by their operands, facts and small talk by their
wording, rewriting and stories by their sentences, actions by the whole command. exercises() likewise.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from jarvis_nano.errors import UserError, main

from . import actions, describing, facts, intents, questions, rewriting, sums
from .split import Split, pick
from .wording import address, same


@dataclass(frozen=True)
class Example:
    """An instruction, one right response to it, and its kind (a key of KINDS)."""

    instruction: str
    response: str
    kind: str

    def as_json(self) -> str:
        """One line of instruction JSONL."""
        return json.dumps({"instruction": self.instruction, "response": self.response}, ensure_ascii=False)


@dataclass(frozen=True)
class Kind:
    """How one kind is drawn and judged; `weight` is its share in training, `direct` says that « Jarvis, » fits."""

    draw: Callable[[random.Random, Split], tuple[str, str]]
    judge: Callable[[Example, str], bool]
    weight: int
    direct: bool = False


def _draw_fact(rng: random.Random, split: Split, relations: tuple[facts.Relation, ...]) -> tuple[str, str]:
    relation = rng.choice(relations)
    fact = rng.choice(facts.facts_of(relation))
    return fact.fill(pick(rng, relation.questions, split)), fact.statement


def _judge_fact(example: Example, answer: str) -> bool:
    """The fact in any of its wordings, or the word asked for alone, with or without « C'est »."""
    fact = facts.by_statement()[example.response]
    return same(answer, *facts.told(fact), fact.answer, f"C'est {fact.answer}")


def _rewriting(kind: str) -> Kind:
    def judge(example: Example, answer: str) -> bool:
        return same(answer, example.response)

    return Kind(lambda rng, split: rewriting.draw(rng, split, kind), judge, weight=3)


KINDS: dict[str, Kind] = {
    "greeting": Kind(
        lambda rng, split: intents.draw(rng, split, intents.GREETINGS),
        lambda example, answer: intents.judge(example.response, answer),
        weight=3,
    ),
    "story": Kind(
        questions.draw, lambda example, answer: questions.judge(example.instruction, example.response, answer), weight=4
    ),
    "arithmetic": Kind(sums.draw, lambda example, answer: sums.judge(example.response, answer), weight=4, direct=True),
    "capital": Kind(lambda rng, split: _draw_fact(rng, split, (facts.CAPITAL,)), _judge_fact, weight=2, direct=True),
    "fact": Kind(lambda rng, split: _draw_fact(rng, split, facts.RELATIONS), _judge_fact, weight=4, direct=True),
    "plural": _rewriting("plural"),
    "negation": _rewriting("negation"),
    "past": _rewriting("past"),
    "action": Kind(
        actions.draw, lambda example, answer: actions.judge(example.response, answer), weight=4, direct=True
    ),
    "refusal": Kind(
        lambda rng, split: intents.draw(rng, split, intents.REFUSALS),
        lambda example, answer: intents.judge(example.response, answer),
        weight=3,
        direct=True,
    ),
    "description": Kind(
        describing.draw, lambda example, answer: describing.judge(example.response, answer), weight=2, direct=True
    ),
}


def examples(count: int, seed: int, split: Split = "train") -> Iterator[Example]:
    """`count` examples, the same for the same seed.

    "train" draws kinds by weight and may repeat an instruction; "held_out" takes the kinds in turn and repeats none
    within a call while new ones are found. No instruction of one split occurs in the other.
    """
    if split not in get_args(Split):
        raise UserError(f"split {split!r}; expected train or held_out")
    rng = random.Random(f"assistant {split} {seed}")
    names, weights = list(KINDS), [kind.weight for kind in KINDS.values()]
    seen: set[str] = set()
    for index in range(count):
        name = names[index % len(names)] if split == "held_out" else rng.choices(names, weights)[0]
        example = _draw(rng, split, name)
        if split == "held_out":
            for _ in range(50):
                if example.instruction not in seen:
                    break
                example = _draw(rng, split, name)
            seen.add(example.instruction)
        yield example


def _draw(rng: random.Random, split: Split, name: str) -> Example:
    kind = KINDS[name]
    instruction, response = kind.draw(rng, split)
    return Example(address(rng, instruction) if kind.direct else instruction, response, name)


def is_right(example: Example, answer: str) -> bool:
    """Whether an answer to the example's instruction is right: the fact, number, form, call or reply asked for.

    Letter case, spaces and the final punctuation do not count; anything beside the answer makes it wrong.
    """
    return KINDS[example.kind].judge(example, answer.strip())


# -- what can be learnt before tuning ------------------------------------------------------------------------------


def exercises(count: int, seed: int) -> Iterator[str]:
    """`count` texts of exercises done in plain sentences, all of the train split.

    A text says each sentence and its plural (or negative, or past), asks about little stories and answers, or
    describes: a model that has met them copies and inflects, and tuning only has to say when.
    """
    rng = random.Random(f"exercises {seed}")
    kinds = (*rewriting.WORDINGS, "story", "story", "description")
    for _ in range(count):
        kind = rng.choice(kinds)
        if kind == "description":
            texts = [one.text for one in rng.sample(describing.descriptions(), rng.randint(2, 4))]
        elif kind == "story":
            texts = [" ".join(questions.ask(rng, "train")) for _ in range(rng.randint(2, 4))]
        else:
            texts = [" ".join(rewriting.rewrite(rng, "train", kind)) for _ in range(rng.randint(4, 7))]
        yield " ".join(texts)


# -- command line --------------------------------------------------------------------------------------------------


def _write(lines: Iterable[str], out: Path | None) -> None:
    """To the standard output, or to a file that appears when it is whole."""
    if out is None:
        for line in lines:
            print(line)
        return
    if not out.parent.is_dir():
        raise UserError(f"{out.parent} is no folder; make it first, or choose another --out")
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.writelines(line + "\n" for line in lines)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


def _show(count: int, seed: int, split: Split) -> None:
    """`count` examples of each kind under its name."""
    rng = random.Random(f"show {split} {seed}")
    for name in KINDS:
        print(f"{name}")
        for _ in range(count):
            example = _draw(rng, split, name)
            print(f"  {example.instruction}\n    {example.response}")


def run(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m jarvis_nano.corpus.assistant",
        description="Write French instruction pairs as JSONL.",
        epilog="example: python -m jarvis_nano.corpus.assistant --count 12000 --seed 1 --out instructions.jsonl",
    )
    parser.add_argument("--count", type=int, default=20, help="how many examples (of each kind with --show)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", choices=get_args(Split), default="train")
    parser.add_argument("--out", type=Path, help="a file to write; the standard output without it")
    parser.add_argument("--show", action="store_true", help="print examples of each kind to read")
    parser.add_argument("--exercises", action="store_true", help="write the texts for pretraining instead, one a line")
    options = parser.parse_args(arguments)
    if options.count < 1:
        raise UserError(f"--count {options.count}; expected at least 1")
    if options.show:
        _show(options.count, options.seed, options.split)
    elif options.exercises:
        _write(exercises(options.count, options.seed), options.out)
    else:
        _write((example.as_json() for example in examples(options.count, options.seed, options.split)), options.out)
    if options.out:
        print(f"wrote {options.out}", file=sys.stderr)


if __name__ == "__main__":
    main(run)
