"""Reads a Hugging Face tokenizer.json into the arrays that an encoder needs, and says what our own path lacks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .patterns import byte_alphabet, scanner_of


class BpeFileError(ValueError):
    """The file is not a tokenizer.json with a byte-pair model, or is damaged. The message says where."""


class AddedToken(NamedTuple):
    """A token that is found in the text before any pattern or merge, when its kind is asked for."""

    content: str
    id: int
    special: bool
    lstrip: bool
    rstrip: bool
    normalized: bool


@dataclass(frozen=True)
class BpeFile:
    """One parsed tokenizer.json. `why_not` is empty when `scanner`, `base` and `merges` describe it completely."""

    vocab: dict[str, int]
    added: list[AddedToken]
    merges: np.ndarray  # (n, 3) uint32: left id, right id, id of the two joined; the row is the rank
    base: np.ndarray  # (256,) uint32: the id of each single byte; empty if the vocabulary lacks one
    scanner: str
    ignore_merges: bool
    byte_level_decoder: bool
    why_not: str

    @property
    def n_ids(self) -> int:
        """One more than the largest id: the width of a table indexed by id."""
        return 1 + max([*self.vocab.values(), *(token.id for token in self.added)])

    def texts(self) -> list[str | None]:
        """The vocabulary's own spelling of each id, None where an id is unused."""
        by_id: list[str | None] = [None] * self.n_ids
        for text, index in self.vocab.items():
            by_id[index] = text
        for token in self.added:
            by_id[token.id] = token.content
        return by_id

    def words(self) -> dict[bytes, int]:
        """The id of each byte string that the vocabulary spells in the byte alphabet."""
        to_byte = {ord(character): byte for byte, character in enumerate(byte_alphabet())}
        spelt = {
            text.translate(to_byte): index
            for text, index in self.vocab.items()
            if to_byte.keys() >= set(map(ord, text))
        }
        return {text.encode("latin-1"): index for text, index in spelt.items()}

    def token_bytes(self) -> list[bytes]:
        """The bytes that each id stands for under a byte-level decoder; added tokens stand for their own text."""
        by_id = [b""] * self.n_ids
        for text, index in self.vocab.items():
            by_id[index] = text.encode("utf-8", "replace")
        for word, index in self.words().items():
            by_id[index] = word
        for token in self.added:
            by_id[token.id] = token.content.encode("utf-8", "replace")
        return by_id


def parse(raw: bytes) -> BpeFile:
    """BpeFile of the bytes of a tokenizer.json; BpeFileError if they are damaged or hold another kind of model."""
    try:
        data = json.loads(raw)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BpeFileError(f"not valid JSON ({error}); the file is damaged or half-written") from error
    model = data.get("model") if isinstance(data, dict) else None
    if not isinstance(model, dict):
        raise BpeFileError('no "model" section; expected a Hugging Face tokenizer.json')
    if model.get("type", "BPE") != "BPE":
        raise BpeFileError(f"a {model['type']} model; expected byte-pair encoding (BPE)")
    vocab = _vocab(model.get("vocab"))
    added = _added_tokens(data.get("added_tokens") or [], vocab)
    merges = _merges(model.get("merges"), vocab)
    base = [vocab[character] for character in byte_alphabet() if character in vocab]
    scanner, no_scanner = scanner_of(data.get("pre_tokenizer"))
    no_bytes = f"{256 - len(base)} of the 256 bytes have no id" if len(base) < 256 else ""
    return BpeFile(
        vocab=vocab,
        added=added,
        merges=merges,
        base=np.array([] if no_bytes else base, dtype=np.uint32),
        scanner=scanner,
        ignore_merges=bool(model.get("ignore_merges", False)),
        byte_level_decoder=(data.get("decoder") or {}).get("type") == "ByteLevel",
        why_not=_uncovered(data, model, vocab, added) or no_scanner or no_bytes,
    )


def _vocab(vocab: object) -> dict[str, int]:
    if not isinstance(vocab, dict) or not vocab:
        raise BpeFileError('no "vocab" in the model; the file is damaged')
    ids = list(vocab.values())
    # bool is an int to Python; True is no id.
    wrong = next((text for text, index in vocab.items() if type(index) is not int or index < 0), None)
    if wrong is not None:
        raise BpeFileError(f"token {wrong!r} has the id {vocab[wrong]!r}; expected an integer from 0")
    if len(set(ids)) != len(ids):
        raise BpeFileError(f"{len(ids) - len(set(ids))} ids belong to two tokens; the vocabulary is damaged")
    _check_density(max(ids), len(ids))
    return vocab


def _check_density(largest: int, count: int) -> None:
    # A table by id is made below: a hostile id of two thousand million must not ask for that much memory.
    if largest > 16 * count + 65_536:
        raise BpeFileError(f"the largest id is {largest} for {count} tokens; the vocabulary is damaged")


def _added_tokens(entries: list, vocab: dict[str, int]) -> list[AddedToken]:
    added = []
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("content"), str) or type(entry.get("id")) is not int:
            raise BpeFileError(f"added token {entry!r} lacks its content or id")
        flags = (bool(entry.get(name, False)) for name in ("special", "lstrip", "rstrip", "normalized"))
        added.append(AddedToken(entry["content"], entry["id"], *flags))
    if added:
        _check_density(max(token.id for token in added), len(vocab) + len(added))
        if min(token.id for token in added) < 0:
            raise BpeFileError("an added token has a negative id")
    return added


def _merges(merges: object, vocab: dict[str, int]) -> np.ndarray:
    if not isinstance(merges, list):
        raise BpeFileError('no "merges" in the model; the file is damaged')
    rows: list[tuple[int, int, int]] = []
    for merge in merges:
        if isinstance(merge, str) and merge.startswith("#version"):
            continue
        pair = merge.split(" ") if isinstance(merge, str) else merge
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair)):
            raise BpeFileError(f"merge {len(rows)} is {merge!r}; expected two tokens")
        left, right = pair
        try:
            rows.append((vocab[left], vocab[right], vocab[left + right]))
        except KeyError as error:
            raise BpeFileError(f"merge {len(rows)} ({left!r}, {right!r}): {error} is not in the vocabulary") from error
    return np.array(rows, dtype=np.uint32).reshape(-1, 3)


def _uncovered(data: dict, model: dict, vocab: dict[str, int], added: list[AddedToken]) -> str:
    """What of this file only the `tokenizers` library knows how to do; empty when there is nothing."""
    normalizer = data.get("normalizer")
    if normalizer and normalizer.get("normalizers") != []:
        return f"normalizer {normalizer.get('type')}"
    if model.get("dropout"):
        return f"merge dropout {model['dropout']}"
    for affix in ("continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(affix):
            return f"{affix} {model[affix]!r}"
    if any(entry.get("single_word") for entry in data.get("added_tokens") or []):
        return "an added token with single_word"
    # The library gives new added tokens the ids after the vocabulary and ignores what the file says: then so do we.
    next_id = len(vocab)
    for token in added:
        if token.content == "":
            return "an empty added token"
        expected = vocab.get(token.content, next_id)
        next_id += token.content not in vocab
        if token.id != expected:
            return f"added token {token.content!r} has the id {token.id}, the library would give {expected}"
    return ""
