"""What only shows over a whole file: rows that repeat, contradict or leak. 28 bytes a row, and what near.py needs."""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from jarvis_nano.corpus.instructions.messages import Fault, Message
from jarvis_nano.corpus.instructions.near import NearRows

REPEATED_AT_LEAST = 10
REPEATED_SHARE = 0.01
_REPEATED_LENGTH = 20  # characters: « Oui. » may be the answer to many questions
_NOT_WORD = re.compile(r"[\W_]+")


def text_key(text: str) -> int:
    """A 64-bit number for a text, the same for the same text everywhere; two of 2³² differing texts share one."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def conversation_key(messages: Sequence[Message]) -> int:
    """The same for conversations whose roles and texts are equal, white space at their ends aside."""
    return text_key("\0".join(f"{message['role']}\1{message['content'].strip()}" for message in messages))


def prompt_of(messages: Sequence[Message]) -> str:
    """What the first answer answers to: the system's message and the user's."""
    return "\n".join(message["content"] for message in messages[: 2 if messages[0]["role"] == "system" else 1])


def prompt_key(prompt: str) -> int:
    """The same for prompts that differ in case, white space and punctuation only."""
    return text_key(_NOT_WORD.sub(" ", prompt.lower()).strip() or prompt)


class Repeats:
    """Rows added one by one, and what they say about each other."""

    def __init__(self, *, against: Iterable[tuple[int, Sequence[Message]]] = (), name: str = "") -> None:
        """against: (line, messages) of the evaluation file called `name`, whose prompts must not be here."""
        self._lines, self._rows = array("q"), array("Q")
        self._prompts, self._answers = array("Q"), array("Q")
        self._near = NearRows()
        self._against_name = name
        self._against: dict[int, int] = {}
        self._against_lines: list[int] = []
        self._near_prompts: NearRows | None = None
        for line, messages in against:
            prompt = prompt_of(messages)
            self._against.setdefault(prompt_key(prompt), line)
            self._against_lines.append(line)
            self._near_prompts = self._near_prompts or NearRows()
            self._near_prompts.add(prompt)

    def add(self, line: int, messages: Sequence[Message]) -> None:
        """A conversation in good order."""
        prompt = prompt_of(messages)
        answer = next(message["content"] for message in messages if message["role"] == "assistant").strip()
        self._lines.append(line)
        self._rows.append(conversation_key(messages))
        self._prompts.append(prompt_key(prompt))
        # The lowest bit tells the answers that are long enough to be the same by mistake.
        self._answers.append(text_key(answer) & ~1 | (len(answer) >= _REPEATED_LENGTH))
        self._near.add("\n".join(message["content"] for message in messages))
        if self._near_prompts is not None:
            self._near_prompts.add(prompt)

    def faults(self) -> Iterator[tuple[int, Fault]]:
        """(line, fault), a rule after the other."""
        n = len(self._lines)
        if not n:
            return
        lines = np.frombuffer(self._lines, dtype=np.int64)
        rows, prompts, answers = (
            np.frombuffer(keys, dtype=np.uint64) for keys in (self._rows, self._prompts, self._answers)
        )
        leaking = np.zeros(n, dtype=bool)
        if self._against:
            yield from self._leaks(lines, prompts, leaking)
        first_row, first_prompt = _first_with(rows), _first_with(prompts)
        repeated = first_row != np.arange(n)
        for row in np.flatnonzero(repeated):
            yield int(lines[row]), Fault("duplicate", f"the conversation of line {lines[first_row[row]]} again")
        differing = ~repeated & (first_prompt != np.arange(n)) & (answers != answers[first_prompt])
        for row in np.flatnonzero(differing):
            found = f"the prompt of line {lines[first_prompt[row]]} with another answer"
            yield int(lines[row]), Fault("conflict", found)
        for number, other, likeness in self._near.pairs(~repeated):
            if differing[number]:
                continue
            shared = f"shares {likeness:.0%} of its 3-word sequences with line {lines[other]}"
            yield int(lines[number]), Fault("near-duplicate", shared)
        yield from _repeated_answers(lines, prompts, answers)

    def _leaks(self, lines: np.ndarray, prompts: np.ndarray, leaking: np.ndarray) -> Iterator[tuple[int, Fault]]:
        for number, key in enumerate(prompts.tolist()):
            if (line := self._against.get(key)) is not None:
                leaking[number] = True
                yield int(lines[number]), Fault("leak", f"the prompt of line {line} of {self._against_name}")
        if self._near_prompts is None:
            return
        before = len(self._against_lines)
        eligible = np.concatenate([np.zeros(before, dtype=bool), ~leaking])
        for number, other, likeness in self._near_prompts.pairs(eligible, only_before=before):
            line = self._against_lines[other]
            found = f"its prompt shares {likeness:.0%} of its 3-word sequences with line {line} of {self._against_name}"
            yield int(lines[number - before]), Fault("near-leak", found)


def _first_with(keys: np.ndarray) -> np.ndarray:
    """For each row the first that has the same key: itself, where it is the first."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return first[inverse]


def _repeated_answers(lines: np.ndarray, prompts: np.ndarray, answers: np.ndarray) -> Iterator[tuple[int, Fault]]:
    """One fault for each answer that many different prompts have, at the first."""
    together = (answers * np.uint64(0x9E3779B97F4A7C15)) ^ prompts
    unique_pairs = np.sort(np.unique(together, return_index=True)[1])
    keys, first, counts = np.unique(answers[unique_pairs], return_index=True, return_counts=True)
    limit = max(REPEATED_AT_LEAST, REPEATED_SHARE * len(lines))
    for at in np.flatnonzero((counts >= limit) & (keys & np.uint64(1) == 1)):
        row = unique_pairs[first[at]]
        found = f"{counts[at]} different prompts have this answer; expected fewer than {limit:.0f}"
        yield int(lines[row]), Fault("repeated-answer", found)
