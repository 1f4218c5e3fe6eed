"""The loss microscope: how much each token of the same held-out passages surprises the model, at every evaluation.

readings.py keeps what it sees, microscope_page.py and microscope_text.py show it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from jarvis_nano.errors import UserError
from jarvis_nano.observe.readings import Passage, Reading

if TYPE_CHECKING:
    from jarvis_nano.data.shards import Shards
    from jarvis_nano.model import Transformer
    from jarvis_nano.tokenizer import Tokenizer

# How many ids are read in search of each passage: of a validation split of gigabytes, a part is enough.
SEARCHED = 1 << 16


class Microscope:
    """Looks at a model through passages that stay the same for the whole run."""

    def __init__(self, tokenizer: Tokenizer, passages: Sequence[np.ndarray]) -> None:
        """passages: ids (n,) of each, from the beginning of a document on; choose_passages finds some.

        The model reads `</s>` before each, as it does between documents, so that the first token counts too.
        UserError where there is no passage, one is empty, or the tokenizer has no `</s>`.
        """
        if not len(passages) or not all(len(ids) for ids in passages):
            raise UserError("no held-out text for the microscope; add text, so that some is held out")
        end = tokenizer.special_id("</s>")
        self.tokenizer = tokenizer
        self.targets = [torch.from_numpy(np.asarray(ids).astype(np.int64)) for ids in passages]
        self.inputs = [torch.cat((torch.tensor([end]), ids[:-1])) for ids in self.targets]
        self.texts = [texts_of(tokenizer, ids.tolist()) for ids in self.targets]

    @torch.inference_mode()
    def look(self, model: Transformer, step: int) -> Reading:
        """Read the passages under the model as it is; `step`: how many optimizer steps it has had.

        Draws no random number, and leaves the model in the mode it was in. One passage after the other: at most
        (T, V) logits are in memory. UserError where a passage is longer than the model's context.
        """
        device = next(model.parameters()).device
        was_training = model.training
        model.eval()
        try:
            with torch.autocast("cuda", torch.bfloat16, enabled=device.type == "cuda"):  # as in training
                seen = [
                    _measure(model, ids.to(device), targets.to(device))
                    for ids, targets in zip(self.inputs, self.targets, strict=True)
                ]
        finally:
            model.train(was_training)
        rows = torch.cat(seen, dim=1).cpu()  # the one wait for the device
        pieces = rows.split([len(ids) for ids in self.targets], dim=1)
        return Reading(step, time.time(), tuple(map(self._passage, self.texts, pieces)))

    def _passage(self, texts: tuple[str, ...], rows: Tensor) -> Passage:
        losses, guesses, ranks = rows.tolist()
        return Passage(texts, tuple(losses), tuple(map(self._piece, map(int, guesses))), tuple(map(int, ranks)))

    def _piece(self, index: int) -> str:
        # A model may have more rows than its tokenizer has ids.
        return self.tokenizer.piece(index) if index < self.tokenizer.vocab_size else f"<{index}>"


def _measure(model: Transformer, ids: Tensor, targets: Tensor) -> Tensor:
    """ids, targets (T,) -> (3, T) float64: loss, first guess, rank of the target."""
    logits = model(ids[None])[0].float()  # (T, V)
    of_target = logits.gather(1, targets[:, None])  # (T, 1)
    loss = logits.logsumexp(1) - of_target[:, 0]
    n_above = (logits > of_target).sum(1)
    rank = torch.where(loss.isfinite(), n_above + 1, 0)
    return torch.stack((loss.double(), logits.argmax(1).double(), rank.double()))


def texts_of(tokenizer: Tokenizer, ids: Sequence[int]) -> tuple[str, ...]:
    """What each id adds to the text: a character belongs to the id that completes it. Joined, they are decode(ids)."""
    stream = tokenizer.decode_stream()
    texts = [stream.push(index) for index in ids]
    texts[-1] += stream.flush()
    return tuple(texts)


def choose_passages(held_out: Shards, *, n: int = 4, length: int = 96) -> list[np.ndarray]:
    """The first `length` ids of `n` held-out documents, spread evenly over the split; the same at every call.

    From each n-th of the split: of the documents that begin in it, the first with `length` ids or more, else the
    longest. Fewer than n where the split has fewer documents; none where it is empty.
    """
    total = len(held_out)
    bounds = [total * k // n for k in range(n + 1)]
    found = [_passage_from(held_out, start, stop, length) for start, stop in pairwise(bounds)]
    return [ids for ids in found if len(ids)]


def _passage_from(held_out: Shards, start: int, stop: int, length: int) -> np.ndarray:
    """The best passage of the documents that begin in [start, stop), of the first SEARCHED ids there."""
    best = np.zeros(0, dtype=np.int64)
    for begin in _beginnings(held_out, start, min(stop, start + SEARCHED)):
        ids = held_out.read(begin, min(length, len(held_out) - begin))
        ends = np.flatnonzero(ids == held_out.end_id)
        ids = ids[: ends[0]] if len(ends) else ids
        if len(ids) > len(best):
            best = ids
        if len(best) == length:
            break
    return best


def _beginnings(held_out: Shards, start: int, stop: int) -> Iterator[int]:
    """Where documents begin in [start, stop): at 0, and after each `</s>`."""
    if start == 0 and stop:
        yield 0
    before = max(start - 1, 0)
    if stop > before + 1:
        ends = np.flatnonzero(held_out.read(before, stop - 1 - before) == held_out.end_id)
        yield from (before + int(end) + 1 for end in ends)
