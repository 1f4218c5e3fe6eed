"""What ids stand for by themselves, and where in a text they come from, also for files on which offsets() fails."""

from __future__ import annotations

from jarvis_nano.kernels.bpe.patterns import byte_alphabet
from jarvis_nano.kernels.bpe.spans import Offsets, spans_of_characters
from jarvis_nano.tokenizer import Tokenizer
from jarvis_nano.tokenizer_lab.settings import FileSettings


class OwnTexts:
    """The text that ids stand for by themselves, whatever the decoder makes of them."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        settings = FileSettings(tokenizer.encoder.raw)
        self._marks_spaces, self._in_bytes = settings.marks_spaces, settings.in_bytes
        self._byte_of = {character: byte for byte, character in enumerate(byte_alphabet())}

    def joined(self, ids: list[int]) -> str:
        if self._tokenizer.encoder.byte_level:
            return self._tokenizer.encoder.decode_bytes(ids).decode("utf-8", "replace")
        parts = b"".join(self._bytes(self._tokenizer.piece(index)) for index in ids)
        return parts.decode("utf-8", "replace")

    def _bytes(self, piece: str) -> bytes:
        if self._in_bytes and all(character in self._byte_of for character in piece):
            return bytes(self._byte_of[character] for character in piece)
        if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
            return bytes([int(piece[3:5], 16)])
        return (piece.replace("▁", " ") if self._marks_spaces else piece).encode()


def token_spans(tokenizer: Tokenizer, text: str) -> Offsets:
    """offsets(text); where the `tokenizers` library gives wrong ones, each id's own text sought from left to right.

    Wrong they are for suffixes of words and for added tokens that take spaces along.
    """
    try:
        return tokenizer.offsets(text)
    except (AssertionError, IndexError):
        return spans_of_characters(_sought(tokenizer, text), text.encode())


def _sought(tokenizer: Tokenizer, text: str) -> list[tuple[int, int]]:
    own = OwnTexts(tokenizer)
    at = 0
    spans = []
    for index in tokenizer.encode(text).tolist():
        part = own.joined([index])
        found = text.find(part, at, at + len(part) + 64) if part else -1  # further away it is another one
        spans.append((at, at) if found < 0 else (found, found + len(part)))
        at = spans[-1][1]
    return spans
