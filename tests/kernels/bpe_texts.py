"""Texts and tokenizers that the BPE tests share: hostile pieces, a strategy over them, and small trained tokenizers."""

from __future__ import annotations

import functools
import json
import random

import tokenizers
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, models, pre_tokenizers, trainers

from jarvis_nano.kernels.bpe.patterns import PATTERNS

SPECIAL = ("<unk>", "</s>", "<|user|>", "<|end|>", "<|end|>>")

FRENCH = (
    "L'été, d'aujourd'hui à demain, qu'il pleuve ou qu'il vente, l'eau coule. « Où vas-tu ? » dit-il. Jusqu’ici, rien. "
    "Aujourd’hui l'école est fermée ; c'est 1789, 3,14 et 2026 ! — Peut-être… Elle s'en est allée. It's they'll we'VE. "
)

# What patterns stumble over: apostrophes, digits, every kind of space, marks, letters of case without case.
WORDS = (
    r"""'s 'S 'ſ 'll 'LL 're 'Ve 'm 'd 't ' ’ l' qu’il aujourd'hui Aujourd’hui aujourd'huit aujourd' """
    r"""prud'homme é ß ﬆ İ ı K Ω 中 文 😀 👨‍👩‍👧 1 12 123 1234 ½ ² ٣ Ⅷ - -- -t-il — « » … 。 ، । ۔ 、 ， ( ) | """
    r"""[ ] . , ! ? <|end|> <|end|>> </s> <| a b Z mot ǅ ʰ ª """
)
PIECES = WORDS.split()
PIECES += [" ", "  ", "\n", "\r", "\r\n", "\n\n", "\t", "\x0b", "\x85", "\xa0", "\u202f", "\u2028", "\u3000"]
PIECES += ["\0", "\x7f", "\ufeff", "\u200d", "\U0010ffff", "\u0301", "e\u0301", "\u0903", " l", "\ue000", "\U00020000"]

# Whatever UTF-8 can hold, and what a tokenizer is likely to get wrong.
any_text = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
    st.lists(st.sampled_from(PIECES), max_size=40).map("".join),
    st.tuples(st.sampled_from(PIECES), st.integers(1, 120)).map(lambda pair: pair[0] * pair[1]),
)


def corpus(seed: int = 0) -> list[str]:
    """Texts that teach merges over French and over the hostile pieces, long runs among them."""
    rng = random.Random(seed)
    hostile = ["".join(rng.choices(PIECES, k=40)) for _ in range(300)]
    runs = [piece * rng.randint(2, 30) for piece in PIECES for _ in range(2)]
    return [FRENCH * 20, *hostile, *runs]


@functools.cache
def tokenizer_json(pattern: str, vocab_size: int = 1200) -> bytes:
    """A byte-level tokenizer.json trained on `corpus` under a pattern of kernels/bpe/patterns.py."""
    split = pre_tokenizers.Split(tokenizers.Regex(PATTERNS[pattern]), behavior="isolated")
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[AddedToken(text, special=True, normalized=False) for text in SPECIAL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer.to_str().encode()


def changed(pattern: str, change) -> bytes:
    """tokenizer_json(pattern) after change(data) has edited it in place."""
    data = json.loads(tokenizer_json(pattern))
    change(data)
    return json.dumps(data, ensure_ascii=False).encode()


class Library:
    """The oracle: the tokenizers library on the same bytes."""

    def __init__(self, raw: bytes) -> None:
        self.special, self.plain = (tokenizers.Tokenizer.from_buffer(raw) for _ in range(2))
        self.plain.encode_special_tokens = True

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        return (self.special if special else self.plain).encode(text, add_special_tokens=False).ids
