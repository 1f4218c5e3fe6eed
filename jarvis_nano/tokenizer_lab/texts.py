"""The text that tokenizers are measured on: the user's files, or stories of the built-in corpus; pieces, bounded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jarvis_nano.corpus import stories
from jarvis_nano.corpus.documents import Document, pieces
from jarvis_nano.corpus.sources import read_documents
from jarvis_nano.errors import UserError
from jarvis_nano.tokenizer_lab.sampling import Sample, rank

MEASURED_BYTES = 4 << 20  # more changes no figure by a hundredth
LEARNT_BYTES = 8 << 20  # bounds the n-gram model: 2 million tokens, 300 MB; at worst a token a byte, 1.2 GB
PIECE = 4096  # characters: what one tokenizer must bring back at a time
BUILTIN_BYTES = 600_000
BUILTIN_SEED = 7919  # not that of the demo's corpus


@dataclass(frozen=True)
class Texts:
    """measured: what all figures are of. learnt: what the n-gram model learns from, apart from it.

    source says in words where they come from.
    """

    measured: list[str]
    learnt: list[str]
    source: str

    @property
    def n_bytes(self) -> int:
        """Bytes of UTF-8 that are measured on."""
        return sum(len(text.encode()) for text in self.measured)


def read_texts(data: Sequence[Path], learn_from: Sequence[Path] = ()) -> Texts:
    """The texts of the user's files; without any, of the built-in stories.

    Without `learn_from` the n-gram model learns from four fifths of the pieces, chosen by hash, and is measured on the
    fifth. More than 4 MiB (8 MiB to learn from) are sampled. UserError on files that cannot be read or hold too
    little.
    """
    if not data and not learn_from:
        found = _cut(text for text in _builtin())
        source = f"{sum(len(text.encode()) for text in found) / 1e6:.1f} MB of built-in stories: give --data for yours"
    else:
        if not data:
            raise UserError("--learn-from needs texts to measure on as well: name them with --data")
        found = _cut(_sampled(data, MEASURED_BYTES))
        source = ", ".join(map(str, data[:3])) + (f" and {len(data) - 3} more" if len(data) > 3 else "")
    if not found:
        raise UserError("the data holds no text to measure on; give files with text in them")
    if learn_from:
        return Texts(found, _cut(_sampled(learn_from, LEARNT_BYTES)), source)
    return Texts(found, [], source)


def halves(texts: Texts) -> tuple[list[str], list[str]]:
    """(what a language model learns from, what it is measured on); the second without --learn-from a fifth."""
    if texts.learnt:
        return texts.learnt, texts.measured
    ranked = sorted(texts.measured, key=lambda text: rank(text.encode()))
    n_measured = max(1, len(ranked) // 5)
    return ranked[n_measured:], ranked[:n_measured]


def _sampled(paths: Sequence[Path], n_bytes: int) -> Iterable[str]:
    return Sample(read_documents(paths), n_bytes=n_bytes).texts()


def _builtin() -> Iterable[str]:
    documents = (Document(f"story-{n}", text, "stories") for n, text in enumerate(_stories()))
    return Sample(documents).texts()


def _stories() -> Iterable[str]:
    n_bytes = 0
    for text in stories.generate(1 << 20, BUILTIN_SEED):
        yield text
        n_bytes += len(text.encode())
        if n_bytes > BUILTIN_BYTES:
            return


def _cut(texts: Iterable[str]) -> list[str]:
    # Equal pieces would let the model learn what it is measured on.
    return list(dict.fromkeys(piece for text in texts for piece in pieces(text, PIECE) if piece.strip()))
