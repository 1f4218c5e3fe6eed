"""The vocabulary, merges and added tokens of a tokenizer.json, checked."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .steps import BpeFileError, short


class AddedToken(NamedTuple):
    """A token that is found in the text before any pattern or merge, when its kind is asked for."""

    content: str
    id: int
    special: bool
    lstrip: bool
    rstrip: bool
    normalized: bool
    single_word: bool = False


FLAGS = AddedToken._fields[2:]


def vocabulary(vocab: object) -> dict[str, int]:
    """Token to id. BpeFileError unless ids are integers from 0, each of one token, without absurd gaps."""
    if not isinstance(vocab, dict) or not vocab:
        raise BpeFileError('no "vocab" in the model; the file is damaged')
    ids = list(vocab.values())
    # bool is an int to Python; True is no id.
    wrong = next((text for text, index in vocab.items() if type(index) is not int or index < 0), None)
    if wrong is not None:
        raise BpeFileError(f"token {wrong!r} has the id {short(vocab[wrong])}; expected an integer from 0")
    if len(set(ids)) != len(ids):
        seen: dict[int, str] = {}
        for text, index in vocab.items():
            if index in seen:
                raise BpeFileError(
                    f"{len(ids) - len(set(ids))} ids belong to two tokens (id {index}: {seen[index]!r} and {text!r}); "
                    "the vocabulary is damaged"
                )
            seen[index] = text
    check_density(max(ids), len(ids))
    return vocab


def check_density(largest: int, count: int) -> None:
    """BpeFileError on a hostile id of two thousand million: a table by id must not ask for that much memory."""
    if largest > 16 * count + 65_536:
        raise BpeFileError(f"the largest id is {largest} for {count} tokens; the vocabulary is damaged")


def added_tokens(entries: object, vocab: dict[str, int]) -> list[AddedToken]:
    """The added tokens with the ids that the `tokenizers` library gives them: in a sound file, those of the file.

    The library keeps the id of a token that the vocabulary has; a new one gets the id after the vocabulary's size or
    after the largest added id, whichever is more. Empty tokens and exact repeats are passed over, as it does.
    """
    if not isinstance(entries, list):
        raise BpeFileError(f'"added_tokens" is {short(entries)}; expected a list')
    added: list[AddedToken] = []
    ids: dict[str, int] = {}
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("content"), str) or type(entry.get("id")) is not int:
            raise BpeFileError(f"added token {short(entry)} lacks its content or id")
        content = entry["content"]
        if not 0 <= entry["id"] < 1 << 32:
            raise BpeFileError(f"added token {content!r} has the id {entry['id']}; expected an integer from 0")
        flags = [entry.get(name, False) for name in FLAGS]
        if any(type(flag) is not bool for flag in flags):
            raise BpeFileError(f"added token {content!r} has settings that are neither true nor false")
        if not content or any(token.content == content and list(token[2:]) == flags for token in added):
            continue
        index = ids.get(content, vocab.get(content))
        if index is None:
            largest = max(ids.values(), default=-1)
            index = largest + 1 if largest >= len(vocab) else len(vocab)
        ids[content] = index
        added.append(AddedToken(content, index, *flags))
    if added:
        check_density(max(ids.values()), len(vocab) + len(added))
    return added


def merge_rows(merges: object, vocab: dict[str, int], prefix: str = "") -> np.ndarray:
    """(n, 3) uint32: left id, right id, id of the two joined; the row is the rank.

    Merges are pairs or "left right". `prefix` is dropped from the right part when joining (continuing_subword_prefix).
    """
    if not isinstance(merges, list):
        raise BpeFileError('no "merges" in the model; the file is damaged')
    rows: list[tuple[int, int, int]] = []
    for merge in merges:
        if isinstance(merge, str) and merge.startswith("#version"):
            continue
        pair = merge.split(" ") if isinstance(merge, str) else merge
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair)):
            raise BpeFileError(f"merge {len(rows)} is {short(merge)}; expected two tokens")
        left, right = pair
        try:
            rows.append((vocab[left], vocab[right], vocab[left + right[len(prefix) :]]))
        except KeyError as error:
            raise BpeFileError(f"merge {len(rows)} ({left!r}, {right!r}): {error} is not in the vocabulary") from error
    return np.array(rows, dtype=np.uint32).reshape(-1, 3)
