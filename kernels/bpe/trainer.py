"""BpeTrainer: learns byte-level merges from texts. Checks what it is given; csrc/bpe_train.cpp does the work.

Writing the folder of a tokenizer is jarvis_nano/tokenizer_training.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Sequence

from jarvis_nano.errors import UserError

from .op import extension
from .patterns import TRAINABLE, byte_alphabet

__all__ = ["BpeTrainer"]

BATCH_CHARACTERS = 8 << 20  # texts are handed over in batches of about this many, for the threads to share
BATCH_TEXTS = 65_536

Merges = list[tuple[str, str]]
Vocab = dict[str, int]


class BpeTrainer:
    """The merges of `tokenizers.trainers.BpeTrainer` for a byte-level tokenizer, in the same order, with the same ids.

        trainer = BpeTrainer(vocab_size=16_384, special_tokens=("<unk>",))
        trainer.feed(texts)
        merges, vocab = trainer.train()
        tokenizers.models.BPE(vocab=vocab, merges=merges)

    pattern: how texts are cut into words, a name of patterns.TRAINABLE. vocab_size: tokens in all, special tokens and
    bytes among them. min_frequency: pairs that occur less often are not merged. limit_alphabet: keep only so many
    bytes, the commonest; the others drop out of the words they stand in. (Of equally common ones the library keeps any,
    ours those whose characters come first.) special_tokens: they get the first ids; a merge that spells one reuses its
    id. initial_alphabet: the bytes that get an id though the corpus lack them; by default all 256.
    max_token_length: in bytes; as in the library, merges of two bytes are made at any rate and longer tokens stay
    under the limit by one pair's rule: left + right < limit when the pair comes to be. n_threads: for counting the
    words; by default the cores this process may use. It changes nothing in the result.

    Special tokens are not looked for in the texts, as in the library: what spells one is cut and counted like the rest.
    Each text is cut alone. Memory: the texts of one batch, and 40 to 80 bytes for each distinct word and thread.

    UserError (a ValueError) on settings that cannot be, and where the extension is not built.
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        pattern: str = "french",
        min_frequency: int = 2,
        limit_alphabet: int | None = None,
        special_tokens: Sequence[str] = (),
        initial_alphabet: Collection[int] = range(256),
        max_token_length: int | None = None,
        n_threads: int | None = None,
    ) -> None:
        self.pattern, self.vocab_size, self.min_frequency = pattern, vocab_size, min_frequency
        self.limit_alphabet, self.max_token_length = limit_alphabet, max_token_length
        if isinstance(special_tokens, str):
            raise UserError(f"special_tokens is one text, {special_tokens!r}; expected a sequence of texts")
        self.special_tokens = tuple(special_tokens)
        wrong = [byte for byte in initial_alphabet if not 0 <= byte < 256]
        if wrong:
            raise UserError(f"initial_alphabet: {wrong[0]} is no byte; expected 0 to 255")
        self.initial_alphabet = bytes(sorted(set(initial_alphabet)))
        self.n_threads = _cores() if n_threads is None else n_threads
        self._check()
        module, why_not = extension()
        if module is None:
            raise UserError(why_not)
        self._counter = module.WordCounter(pattern, self.n_threads)
        self.n_texts = self.n_bytes = 0
        self._half_done = False

    def feed(
        self, texts: str | bytes | Iterable[str | bytes], *, progress: Callable[[int], object] | None = None
    ) -> None:
        """Count the words of one text or of many, read once as they come.

        `progress(bytes)` is called after each batch with the bytes of UTF-8 read so far. UserError with the number of
        the text, from 1, and the place in it on bytes that are not UTF-8 and on lone surrogates; TypeError on what
        is no text. After any error or Ctrl-C the counts are half done: the trainer then refuses to go on.
        """
        self._check_whole()
        self._half_done = True
        batch: list[str | bytes] = []
        n_characters = 0
        for text in [texts] if isinstance(texts, (str, bytes)) else texts:
            batch.append(text)
            n_characters += len(text) if isinstance(text, (str, bytes)) else 0  # any other is refused below
            if n_characters >= BATCH_CHARACTERS or len(batch) >= BATCH_TEXTS:
                self._count(batch, progress)
                batch, n_characters = [], 0
        self._count(batch, progress)
        self._half_done = False

    def train(
        self, *, progress: Callable[[int, int], object] | None = None, allow_fewer: bool = False
    ) -> tuple[Merges, Vocab]:
        """(merges in their order, vocabulary) in the characters of a byte-level tokenizer.json.

        `progress(done, wanted)` counts merges. UserError if no text was fed, if the bytes and special tokens alone are
        more than vocab_size, and if the corpus runs out of pairs before it (unless `allow_fewer`).
        """
        self._check_whole()
        if self.n_bytes == 0:
            raise UserError("the corpus holds no text; feed texts before training")
        merges, vocab = self._counter.learn(
            vocab_size=self.vocab_size,
            min_frequency=self.min_frequency,
            limit_alphabet=self.limit_alphabet,
            max_token_length=self.max_token_length,
            initial_alphabet=self.initial_alphabet,
            special_tokens=[(text, _bytes_of(text)) for text in self.special_tokens],
            alphabet="".join(byte_alphabet()),
            progress=progress,
        )
        if len(vocab) > self.vocab_size:
            raise UserError(self._too_small(len(vocab)))
        if len(vocab) < self.vocab_size and not allow_fewer:
            raise UserError(
                f"the corpus of {self.n_bytes} bytes reaches only {len(vocab)} of {self.vocab_size} tokens at "
                f"min_frequency {self.min_frequency}; ask for {len(vocab)} or fewer, or give more text"
            )
        return merges, vocab

    @property
    def n_words(self) -> int:
        """How many distinct words were counted."""
        return self._counter.distinct_words

    @property
    def n_table_bytes(self) -> int:
        """The memory of the word counts, in bytes."""
        return self._counter.memory

    def _count(self, batch: list[str | bytes], progress: Callable[[int], object] | None) -> None:
        try:
            self.n_bytes += self._counter.add(batch)
        except ValueError as error:
            raise UserError(str(error)) from None
        self.n_texts += len(batch)
        if progress and batch:
            progress(self.n_bytes)

    def _check_whole(self) -> None:
        if self._half_done:
            raise UserError("a feed was interrupted or a text refused; start again with a new trainer")

    def _check(self) -> None:
        if self.pattern not in TRAINABLE:
            raise UserError(f"no pattern {self.pattern!r}; choose one of {', '.join(TRAINABLE)}")
        for name, least in (("min_frequency", 0), ("limit_alphabet", 0), ("max_token_length", 0), ("n_threads", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UserError(f"{name} is {value}; expected {least} or more")
        twice = {text for text in self.special_tokens if self.special_tokens.count(text) > 1}
        if twice or "" in self.special_tokens:
            what = f"{min(twice)!r} is given twice" if twice else "one is empty"
            raise UserError(f"special_tokens: {what}; give each once")
        n_first = len(self.special_tokens) + len(self.initial_alphabet)
        n_shared = sum(len(_bytes_of(text) or b"") == 1 for text in self.special_tokens)
        if self.limit_alphabet is None and self.vocab_size < n_first - n_shared:
            raise UserError(self._too_small(n_first))

    def _too_small(self, n_first: int) -> str:
        return (
            f"a vocabulary of {self.vocab_size} is too small: the bytes and {len(self.special_tokens)} special tokens "
            f"need {n_first}"
        )


def _cores() -> int:
    # macOS has no affinities.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _bytes_of(special: str) -> bytes | None:
    """The bytes that a token of this text stands for in a byte-level vocabulary, if it stands for any."""
    byte_of = {character: byte for byte, character in enumerate(byte_alphabet())}
    return bytes([byte_of[c] for c in special]) if all(c in byte_of for c in special) else None
