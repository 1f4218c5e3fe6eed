"""Conversations and ids: the template, and Chat, which talks. Files: corpus/instructions; the screen: terminal.py.

The template, segment by segment, with T(…) the tokens of an ordinary text and the special tokens as single ids:

    [<|system|> T(system) <|end|>]  <|user|> T(question) <|end|>  <|assistant|> T(answer) <|end|>  …  </s>

Segments are tokenised apart, so that no merge crosses a joint, and their text is always ordinary text: "<|end|>"
typed by a user becomes the tokens of seven characters. Only the assistant's tokens and its <|end|> are learnt; the
token `ids[i]` is what a model must predict at position i - 1 (data/batches.py shifts, nobody else).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from jarvis_nano.corpus.instructions import Message, check_messages, text_fault
from jarvis_nano.errors import UserError
from jarvis_nano.generation import KVCache, stream
from jarvis_nano.tokenizer import SPECIAL_TOKENS, Tokenizer

if TYPE_CHECKING:
    from jarvis_nano.model import Transformer


class Piece(NamedTuple):
    """A segment of a rendered conversation: an ordinary text, or the name of one special token."""

    text: str
    special: bool
    learnt: bool


def render(messages: Sequence[Message], *, answer_next: bool = False) -> list[Piece]:
    """The conversation as pieces of the template.

    A whole conversation ends with the assistant's answer and </s>; with `answer_next` it ends with the user's message
    and an open <|assistant|>. UserError on roles out of order and on empty messages.
    """
    check_messages(messages, last="user" if answer_next else "assistant")
    pieces: list[Piece] = []
    for message in messages:
        learnt = message["role"] == "assistant"
        pieces.append(Piece(f"<|{message['role']}|>", special=True, learnt=False))
        pieces.append(Piece(message["content"], special=False, learnt=learnt))
        pieces.append(Piece("<|end|>", special=True, learnt=learnt))
    pieces.append(Piece("<|assistant|>" if answer_next else "</s>", special=True, learnt=False))
    return pieces


def encode_conversation(tokenizer: Tokenizer, messages: Sequence[Message]) -> tuple[np.ndarray, np.ndarray]:
    """A whole conversation as (ids (n,), loss_mask (n,) bool): the mask is true where the id is to be learnt."""
    return _encode(tokenizer, render(messages))


def encode_prompt(tokenizer: Tokenizer, messages: Sequence[Message]) -> np.ndarray:
    """The ids (n,) that an answer to the last user message continues."""
    return _encode(tokenizer, render(messages, answer_next=True))[0]


def stop_ids(tokenizer: Tokenizer) -> tuple[int, ...]:
    """The ids that end an answer: <|end|>, </s>, and every other special token, for none belongs into a text."""
    return tuple(tokenizer.special_id(token) for token in SPECIAL_TOKENS)


def _encode(tokenizer: Tokenizer, pieces: Sequence[Piece]) -> tuple[np.ndarray, np.ndarray]:
    segments = [_segment(tokenizer, piece) for piece in pieces]
    mask = np.repeat([piece.learnt for piece in pieces], [len(segment) for segment in segments])
    return np.concatenate(segments), mask


def _segment(tokenizer: Tokenizer, piece: Piece) -> np.ndarray:
    if piece.special:
        return np.array([tokenizer.special_id(piece.text)], dtype=tokenizer.dtype)
    return tokenizer.encode(piece.text)


class _Turn(NamedTuple):
    """A question and its answer as the model saw them: sampled ids, for a text may have other ids than its own."""

    question: str
    answer: str
    ids: list[int]


class Chat:
    """A conversation with a model: it remembers the turns and reads only what is new to the KV cache.

    When the context is full the oldest turns are left out (`forgotten` counts them); the system prompt always stays.
    Turn n draws from the generator (seed, n): the same messages get the same answers.
    """

    def __init__(
        self,
        model: Transformer,
        tokenizer: Tokenizer,
        system: str | None = None,
        *,
        temperature: float = 0.7,
        top_k: int = 0,
        top_p: float = 0.95,
        seed: int = 0,
        max_tokens: int = 256,
    ) -> None:
        """max_tokens: of one answer. UserError on settings out of range, and where the system prompt is too long."""
        if max_tokens < 1:
            raise UserError(f"max_tokens is {max_tokens}; it must be at least 1")
        self.model, self.tokenizer, self.system = model, tokenizer, system
        self.temperature, self.top_k, self.top_p, self.seed = temperature, top_k, top_p, seed
        self.max_tokens = max_tokens
        self._stops = stop_ids(tokenizer)
        self._end = tokenizer.special_id("<|end|>")
        if system and (fault := text_fault(system)):
            raise UserError(f"the system prompt is {fault}")
        self._system = self._ids("system", system) if system else []
        if len(self._system) > model.config.context // 2:
            raise UserError(
                f"the system prompt takes {len(self._system)} tokens, more than half of the model's context of "
                f"{model.config.context}; shorten it"
            )
        self._cache = KVCache()
        self._read: list[int] = []  # what the cache holds
        self.restart()

    def restart(self) -> None:
        """Forget all turns."""
        self._turns: list[_Turn] = []
        self.forgotten = 0
        """How many of the oldest turns the model no longer sees."""
        self.finish: Literal["stop", "length", "interrupted"] = "stop"
        """How the last answer ended: by itself, for want of tokens, or because its reader left."""

    @property
    def messages(self) -> list[Message]:
        """The whole conversation, forgotten turns included."""
        system = [Message(role="system", content=self.system)] if self.system else []
        pairs = [(("user", turn.question), ("assistant", turn.answer)) for turn in self._turns]
        return system + [Message(role=role, content=content) for pair in pairs for role, content in pair]

    def reply(self, text: str) -> Generator[str, None, None]:
        """The answer to a message, in pieces of whole characters. Closed early, the chat keeps what was given so far.

        UserError at once on an empty message and on one that does not fit the context.
        """
        if fault := text_fault(text):
            raise UserError(f"the message is {fault}")
        question = [*self._ids("user", text), self.tokenizer.special_id("<|assistant|>")]
        context, needed = self.model.config.context, len(self._system) + len(question)
        if needed >= context:
            beside = f" and the system prompt {len(self._system)}" if self._system else ""
            raise UserError(
                f"the message takes {len(question)} tokens{beside}; the model's context is {context}, "
                "and the answer needs room too: shorten it"
            )
        return self._answer(text, question)

    def _answer(self, text: str, question: list[int]) -> Generator[str, None, None]:
        self._forget(len(question))
        seen = [token for turn in self._turns[self.forgotten :] for token in turn.ids]
        prompt = self._system + seen + question
        self._cache.truncate(min(_common_prefix(self._read, prompt), len(prompt) - 1))
        # The last token drawn is never read, hence the 1. So the window of `stream` cannot slide.
        limit = min(self.max_tokens, self.model.config.context - len(prompt) + 1)
        answer: list[int] = []
        parts: list[str] = []
        decoder = self.tokenizer.decode_stream()
        self.finish = "interrupted"
        try:
            for token in self._sampled(prompt, limit):
                answer.append(token)
                if piece := decoder.push(token):
                    parts.append(piece)
                    yield piece
            self.finish = "stop" if len(answer) < limit else "length"
            # A character cut off by the limit is left out.
            if rest := decoder.flush().replace("\ufffd", ""):
                parts.append(rest)
                yield rest
        finally:
            self._read = (prompt + answer)[: self._cache.length]
            if answer or self.finish != "interrupted":
                self._turns.append(_Turn(text, "".join(parts), [*question, *answer, self._end]))

    def _sampled(self, prompt: list[int], limit: int) -> Iterator[int]:
        return stream(
            self.model,
            prompt,
            max_new_tokens=limit,
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            seed=self.seed,
            stop=self._stops,
            row=len(self._turns),
            cache=self._cache,
        )

    def _forget(self, n_question: int) -> None:
        """Leave out the oldest turns until an answer has max_tokens, or at least half of the context, as its room."""
        context = self.model.config.context
        room = context - len(self._system) - n_question - min(self.max_tokens, context // 2)
        used = sum(len(turn.ids) for turn in self._turns[self.forgotten :])
        while used > room and self.forgotten < len(self._turns):
            used -= len(self._turns[self.forgotten].ids)
            self.forgotten += 1

    def _ids(self, role: str, text: str) -> list[int]:
        tokens = _segment(self.tokenizer, Piece(text, special=False, learnt=False))
        return [self.tokenizer.special_id(f"<|{role}|>"), *tokens.tolist(), self._end]


def _common_prefix(first: list[int], second: list[int]) -> int:
    for index, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return index
    return min(len(first), len(second))
