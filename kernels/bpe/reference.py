"""Byte-pair encoding as one explains it: the readable twin of csrc/bpe.cpp. Slow, and meant to be read.

Sennrich, Haddow, Birch, "Neural Machine Translation of Rare Words with Subword Units" (2016); on bytes: Radford et
al., "Language Models are Unsupervised Multitask Learners" (2019), section 2.2.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

from tokenizers import Regex, pre_tokenizers

from .patterns import PATTERNS, byte_alphabet
from .tokenizer_file import BYTE_TOKENS, AddedToken, BpeFile, library_part

Merges = dict[tuple[int, int], tuple[int, int]]  # (left, right) -> (rank, the id of the two joined)

WHITE_SPACE = (
    "\t\n\x0b\x0c\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
)


def cut(text: str, pattern: str) -> list[str]:
    """The words of a text under a pattern of patterns.py, by name. Joined they are the text.

    >>> cut("L'été, dit-il", "french")
    ["L'", 'été', ',', ' dit', '-il']
    """
    splitter = pre_tokenizers.Split(Regex(PATTERNS[pattern]), behavior="isolated")
    return [word for word, _ in splitter.pre_tokenize_str(text)]


def merge_steps(ids: list[int], merges: Merges) -> Iterator[list[int]]:
    """The ids after each merge: always the pair of lowest rank, the leftmost of equals, until no pair has a rank."""
    while True:
        ranked = [(merges[pair][0], place) for place, pair in enumerate(pairwise(ids)) if pair in merges]
        if not ranked:
            return
        _, place = min(ranked)
        _, joined = merges[ids[place], ids[place + 1]]
        ids = [*ids[:place], joined, *ids[place + 2 :]]
        yield ids


def learn(words: Iterable[str], n_merges: int) -> list[tuple[bytes, bytes]]:
    """The merges that a corpus teaches: again and again the commonest neighbours become one.

    Of equally common pairs the one that begins with the older token comes first, then the one that ends with it; single
    bytes are as old as their characters in the vocabulary. That is the library's rule, and the trainer's.

    >>> learn(["bas", "bas", "bal"], 2)
    [(b'b', b'a'), (b'ba', b's')]
    """
    counts = Counter(words)
    spelt = {word: [bytes([byte]) for byte in word.encode()] for word in counts}
    age = {bytes([byte]): ord(character) for byte, character in enumerate(byte_alphabet())}
    merges = []
    for rank in range(n_merges):
        pairs: Counter[tuple[bytes, bytes]] = Counter()
        for word, parts in spelt.items():
            for pair in pairwise(parts):
                pairs[pair] += counts[word]
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], age[pair[0]], age[pair[1]]))
        merges.append(best)
        age.setdefault(best[0] + best[1], 0x200 + rank)  # past every character that stands for a byte
        spelt = {word: _joined(parts, best) for word, parts in spelt.items()}
    return merges


def _joined(parts: list[bytes], pair: tuple[bytes, bytes]) -> list[bytes]:
    out: list[bytes] = []
    for part in parts:
        if out and (out[-1], part) == pair:
            out[-1] += part
        else:
            out.append(part)
    return out


class Reference:
    """One tokenizer.json, encoded step by step. Only for files that `BpeFile.why_not` has no objection to.

    Normalizing and cutting are the `tokenizers` library's own; added tokens, units and merges are done here.
    """

    def __init__(self, file: BpeFile) -> None:
        self.file = file
        rows = file.merges.tolist()
        self.merges: Merges = {(left, right): (rank, new) for rank, (left, right, new) in enumerate(rows)}
        self.sought = file.sought()
        self.bytes = (
            dict(zip(BYTE_TOKENS, file.base.tolist(), strict=True)) if len(file.base) and not file.in_bytes else {}
        )
        parts = file.sections
        self.normalizer = library_part(parts, "normalizer") if parts["normalizer"] else None
        self.cutter = library_part(parts, "pre_tokenizer") if parts["pre_tokenizer"] else None
        # Metaspace puts its mark before the first word of a text; the library's object takes every piece for one.
        self.later_cutter = self.cutter
        if any(step.get("prepend") == "first" for step in file.cuts):
            self.later_cutter = library_part(_never_first(parts), "pre_tokenizer")

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """The ids of a text: added tokens are cut out first, the rest is cut into words, each word is merged."""
        ids: list[int] = []
        for place, piece in enumerate(self.cut_added(text, special=special)):
            if isinstance(piece, int):
                ids.append(piece)
                continue
            for word in self.words(piece, first=place == 0):
                ids.extend(self.encode_word(word))
        return ids

    def words(self, piece: str, *, first: bool = True) -> list[str]:
        """The words of normalized text, as the vocabulary spells them: in the byte alphabet where that is its way."""
        cutter = self.cutter if first else self.later_cutter
        return [word for word, _ in cutter.pre_tokenize_str(piece)] if cutter else [piece]

    def encode_word(self, word: str) -> list[int]:
        """The ids of one word: what it comes to after its last merge."""
        if self.file.ignore_merges and word in self.file.vocab:
            return [self.file.vocab[word]]
        return [self.start(word), *self.steps(word)][-1]

    def start(self, word: str) -> list[int]:
        """The ids of a word's single characters before any merge; of its bytes, or unknown, where it has none."""
        vocab, ids, was_known = self.file.vocab, [], True
        for character in word:
            known = character in vocab or bool(self.bytes)
            if character in vocab:
                ids.append(vocab[character])
            elif self.bytes:
                ids += [self.bytes[f"<0x{byte:02X}>"] for byte in character.encode()]
            elif self.file.unknown is not None and (was_known or not self.file.fuse_unknown):
                ids.append(self.file.unknown)
            was_known = known
        return ids

    def steps(self, word: str) -> Iterator[list[int]]:
        """The ids of a word after each merge."""
        return merge_steps(self.start(word), self.merges)

    def cut_added(self, text: str, *, special: bool) -> list[str | int]:
        """The text, normalized, with added tokens as their ids: those that skip normalization first."""
        pieces: list[str | int] = [text] if text else []
        for normalized in (False, True):
            tokens = [(content, token) for content, token in self.sought if token.normalized == normalized]
            cut: list[str | int] = []
            for piece in pieces:
                if isinstance(piece, int):
                    cut.append(piece)
                    continue
                if normalized and self.normalizer:
                    piece = self.normalizer.normalize_str(piece)
                cut += _cut_tokens(piece, tokens, special)
            pieces = cut
        return pieces


def _never_first(sections: dict[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(sections).replace('"prepend_scheme": "first"', '"prepend_scheme": "never"'))


def _cut_tokens(text: str, tokens: list[tuple[str, AddedToken]], special: bool) -> Iterator[str | int]:
    done = at = 0
    while at < len(text):
        here = [(content, token) for content, token in tokens if text.startswith(content, at)]
        if not here:
            at += 1
            continue
        content, token = max(here, key=lambda pair: len(pair[0]))
        start, at = at, at + len(content)
        if token.special and not special:  # plain text; like the library, do not look inside it again
            continue
        if token.single_word and (_ends_in_word(text[:start]) or _ends_in_word(text[at : at + 1])):
            continue
        if token.lstrip:  # the white space may belong to the token before already
            start = max(len(text[:start].rstrip(WHITE_SPACE)), done)
        if done < start:
            yield text[done:start]
        yield token.id
        done = len(text) - len(text[at:].lstrip(WHITE_SPACE)) if token.rstrip else at
    if done < len(text):
        yield text[done:]


def _ends_in_word(text: str) -> bool:
    r"""Whether the last character is one of \w, as the library sees it: it keeps such a one together with an x."""
    if not text or text[-1] in WHITE_SPACE:
        return False
    return len(pre_tokenizers.Whitespace().pre_tokenize_str(text[-1] + "x")) == 1
