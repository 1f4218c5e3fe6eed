"""Byte-pair encoding as one explains it: the readable twin of csrc/bpe.cpp. Slow, and meant to be read.

Sennrich, Haddow, Birch, "Neural Machine Translation of Rare Words with Subword Units" (2016); on bytes: Radford et
al., "Language Models are Unsupervised Multitask Learners" (2019), section 2.2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise

from tokenizers import Regex, pre_tokenizers

from .patterns import PATTERNS, byte_alphabet
from .tokenizer_file import AddedToken, BpeFile

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
    """One tokenizer.json, encoded step by step. Only for files that `BpeFile.why_not` has no objection to."""

    def __init__(self, file: BpeFile) -> None:
        self.file = file
        rows = file.merges.tolist()
        self.merges: Merges = {(left, right): (rank, new) for rank, (left, right, new) in enumerate(rows)}
        self.words = file.words() if file.ignore_merges else {}

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """The ids of a text: added tokens are cut out first, the rest is cut into words, each word is merged."""
        ids: list[int] = []
        for piece in self.cut_added(text, special=special):
            if isinstance(piece, int):
                ids.append(piece)
                continue
            for word in cut(piece, self.file.scanner):
                ids.extend(self.encode_word(word))
        return ids

    def encode_word(self, word: str) -> list[int]:
        """The ids of one word: what it comes to after its last merge."""
        whole = self.words.get(word.encode())
        if whole is not None:
            return [whole]
        return [self.start(word), *self.steps(word)][-1]

    def start(self, word: str) -> list[int]:
        """The ids of a word's single bytes, before any merge."""
        return [int(self.file.base[byte]) for byte in word.encode()]

    def steps(self, word: str) -> Iterator[list[int]]:
        """The ids of a word after each merge."""
        return merge_steps(self.start(word), self.merges)

    def cut_added(self, text: str, *, special: bool) -> list[str | int]:
        """The text with added tokens as their ids: those that skip normalization first, then the others."""
        pieces: list[str | int] = [text] if text else []
        for normalized in (False, True):
            tokens = [token for token in self.file.added if token.normalized == normalized]
            pieces = [
                part
                for piece in pieces
                for part in ([piece] if isinstance(piece, int) else _cut_tokens(piece, tokens, special))
            ]
        return pieces


def _cut_tokens(text: str, tokens: list[AddedToken], special: bool) -> Iterator[str | int]:
    done = at = 0
    while at < len(text):
        here = [token for token in tokens if text.startswith(token.content, at)]
        if not here:
            at += 1
            continue
        token = max(here, key=lambda token: len(token.content))
        start, at = at, at + len(token.content)
        if token.special and not special:  # plain text; like the library, do not look inside it again
            continue
        before = text[done:start]
        if token.lstrip:
            before = before.rstrip(WHITE_SPACE)
        if token.rstrip:
            at = len(text) - len(text[at:].lstrip(WHITE_SPACE))
        if before:
            yield before
        yield token.id
        done = at
    if done < len(text):
        yield text[done:]
