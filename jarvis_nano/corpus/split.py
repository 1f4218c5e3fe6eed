"""Which of the assistant's instructions are trained on and which held out: decided by a hash, the same for every seed.

Not the validation split of documents (holdout.py).
"""

from __future__ import annotations

import hashlib
import random
from functools import cache
from typing import Literal

Split = Literal["train", "held_out"]
ONE_IN = 8  # open keys
ONE_WORDING_IN = 5


def rank(key: str) -> int:
    """A number from the key alone; Python's own hash() of a string changes with every process."""
    return int.from_bytes(hashlib.sha256(key.encode("utf-8")).digest()[:8], "big")


def side(key: str) -> Split:
    """The split that an open key belongs to: a pair of operands, a sentence, a command."""
    return "held_out" if rank(key) % ONE_IN == 0 else "train"


@cache
def share(wordings: tuple[str, ...], split: Split) -> tuple[str, ...]:
    """The wordings of one split: the lowest ranks are held out, as a dozen is too short for tossing coins.

    The first wording, the plainest, is always trained on: it is what people type into a chat.
    """
    ordered = sorted(wordings[1:], key=rank)
    n_held_out = -(-len(wordings) // ONE_WORDING_IN)
    return tuple(ordered[:n_held_out]) if split == "held_out" else (wordings[0], *ordered[n_held_out:])


def pick(rng: random.Random, wordings: tuple[str, ...], split: Split) -> str:
    """One wording of a split."""
    return rng.choice(share(wordings, split))
