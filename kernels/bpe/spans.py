"""Where in the text each id comes from: byte spans, character spans, and both shown piece by piece."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Offsets(NamedTuple):
    """For each id the part of the text that it stands for: two int64 arrays (n, 2) of begin and end."""

    bytes: np.ndarray
    """In the UTF-8 of the text."""
    characters: np.ndarray
    """In the text; an id that holds a part of a character has the whole character."""


class Piece(NamedTuple):
    """One id, for reading: what it is and where it comes from."""

    id: int
    text: str
    """Readable: bytes that are only part of a character show as \\xc3."""
    bytes: bytes
    """The bytes of the text under it."""
    span: tuple[int, int]
    """Begin and end in the text, in characters."""


def spans_of_lengths(lengths: np.ndarray, utf8: bytes) -> Offsets:
    """Offsets of ids whose bytes, of these lengths (n,), lie one after the other and are the whole text."""
    ends = np.cumsum(lengths, dtype=np.int64)
    begins = ends - lengths
    # character_of[i]: how many characters begin before byte i; with one entry more for the end.
    begins_here = (np.frombuffer(utf8, np.uint8) & 0xC0) != 0x80
    character_of = np.concatenate([[0], np.cumsum(begins_here, dtype=np.int64)])
    first = character_of[np.minimum(begins + 1, len(utf8))] - 1
    last = np.where(lengths > 0, character_of[ends], first)
    return Offsets(_pairs(begins, ends), _pairs(first, last))


def spans_of_characters(characters: list[tuple[int, int]], utf8: bytes) -> Offsets:
    """Offsets of ids whose character spans are known."""
    spans = np.array(characters, dtype=np.int64).reshape(-1, 2)
    begins_here = (np.frombuffer(utf8, np.uint8) & 0xC0) != 0x80
    byte_of = np.concatenate([np.flatnonzero(begins_here), [len(utf8)]])  # of each character, and of the end
    return Offsets(byte_of[spans], spans)


def _pairs(begins: np.ndarray, ends: np.ndarray) -> np.ndarray:
    return np.stack([begins, ends], axis=1).astype(np.int64)
