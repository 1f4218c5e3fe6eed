"""Which tokens are accented, elided, digits…: the held-out loss split by what French writing asks of a model.

A token is judged by its own text alone, for the loss is summed by id: the same id falls into the same categories
wherever it stands. Not for computing losses: the validation sums them. No torch here.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from jarvis_nano.tokenizer import Tokenizer

CATEGORIES = ("accents", "elision", "digits", "punctuation", "word_start", "continuation", "capitals", "rare")
RARE_SHARE = 0.01
N_DECILES = 10

Table = tuple[tuple[str, ...], np.ndarray]
"""(names of K categories, bool (V, K): which ids belong to which)."""

_LIGATURES = frozenset("œŒæÆ")
# The apostrophe at the end of a piece (l'), as the French pattern cuts, or within one (l'eau), as others do.
_ELISION = re.compile(r"(?:[cdjlmnst]|qu|^u)['’](?=$|[^\W\d_])", re.IGNORECASE)
_ELIDED_WORD = re.compile(r"(?:[cdjlmnst]|(?:lors|puis|quoi|jus|quel|pres)?qu)['’]", re.IGNORECASE)
_ONE_WORD = re.compile(r"aujourd['’]hui", re.IGNORECASE)  # its apostrophe elides nothing


def table(tokenizer: Tokenizer, counts: np.ndarray | None = None) -> Table:
    """The categories of each id of a tokenizer; they overlap, and special tokens are in none.

    counts (V,): how often each id occurs in the training text; without them there is no category `rare`.
    ValueError where there is not one count an id.
    """
    names = CATEGORIES if counts is not None else CATEGORIES[:-1]
    members = np.zeros((tokenizer.vocab_size, len(names)), dtype=bool)
    special = set(tokenizer.encoder.added_tokens.values())
    for index in range(tokenizer.vocab_size):
        if index not in special:
            for name in categories(token_bytes(tokenizer, index)):
                members[index, CATEGORIES.index(name)] = True
    if counts is not None:
        ordinary = np.ones(tokenizer.vocab_size, dtype=bool)
        ordinary[list(special)] = False
        members[:, CATEGORIES.index("rare")] = _rare(_checked(counts, tokenizer.vocab_size), ordinary)
    return names, members


def token_bytes(tokenizer: Tokenizer, index: int) -> bytes:
    """The UTF-8 of one id, which may begin or end within a character; a SentencePiece ▁ is read as a space."""
    if tokenizer.encoder.byte_level:
        return tokenizer.encoder.decode_bytes([index])
    return tokenizer.piece(index).replace("\u2581", " ").encode()


def categories(token: bytes) -> set[str]:
    """The categories of a token that its bytes show: all but `rare`.

    Only whole characters are judged: of the bytes c3 and a9, which are é together, neither is an accent, and a token
    of such bytes alone is in no category. A token that begins with the end of a character goes on within a word.

    accents       a letter with a mark (é, ç), œ or æ, anywhere in it
    elision       c d j l m n s t or qu, then an apostrophe that ends the token or stands before a letter
    digits        a digit or other number in it
    punctuation   marks and symbols without letters or digits; a space beside them does not matter
    word_start    letters after a space, a hyphen or a mark; a capital first; or an elided word (l', qu') in front
    continuation  letters first, and none of that: what follows within a word. A word after an elision or at the
                  beginning of a line looks the same, and counts here
    capitals      its first letter is a capital, and begins the token or follows a space, a hyphen or a mark
    """
    text = token.decode("utf-8", "ignore")
    kinds = [unicodedata.category(character)[0] for character in text]
    found = set()
    if any(_is_accented(character) for character in text):
        found.add("accents")
    if _ELISION.search(_ONE_WORD.sub("", text)):
        found.add("elision")
    if "N" in kinds:
        found.add("digits")
    if not {"L", "M", "N"} & set(kinds) and {"P", "S"} & set(kinds):
        found.add("punctuation")
    if "L" in kinds:
        found |= _place_in_word(text, kinds, within=0x80 <= token[0] < 0xC0)
    return found


def _is_accented(character: str) -> bool:
    if character in _LIGATURES:
        return True
    return any(unicodedata.category(part) == "Mn" for part in unicodedata.normalize("NFD", character))


def _place_in_word(text: str, kinds: list[str], *, within: bool) -> set[str]:
    """word_start or continuation, and capitals, of a text with a letter; `within`: a cut character comes before it."""
    first = kinds.index("L")
    before = set(kinds[:first])
    if "N" in before:
        return set()
    goes_on = within or "M" in before  # a mark belongs to the letter before the token
    capital = text[first].isupper() or text[first].istitle()
    if not goes_on and (first or capital or _ELIDED_WORD.match(text)):
        return {"word_start", "capitals"} if capital else {"word_start"}
    return {"continuation"}


def _rare(counts: np.ndarray, ordinary: np.ndarray) -> np.ndarray:
    """(V,) bool: the rarest ids, which together make RARE_SHARE of the training tokens at most; unseen ones too.

    Ids of one count are in or out together, so that their order does not matter.
    """
    counts = np.where(ordinary, counts, 0)
    levels, level_of = np.unique(counts, return_inverse=True)
    tokens = np.bincount(level_of, weights=counts, minlength=len(levels))
    is_rare = np.cumsum(tokens) <= RARE_SHARE * counts.sum()
    return is_rare[level_of] & ordinary


def frequency_deciles(counts: np.ndarray) -> np.ndarray:
    """Which tenth of the training tokens an id belongs to, int64 (V,): 0 for the rarest ids, 9 for the commonest.

    Tenths of the tokens, not of the ids: each of the ten curves then rests on about as many held-out tokens, and the
    mean of the ten is about the loss. (The commonest tenth of the ids makes most of a text; the rarest tenth is hardly
    ever seen, and its curve would be noise.) An id falls where the middle of its tokens lies, in the order of counts,
    then of ids; one that makes more than a tenth leaves its neighbours' tenths empty. Ids never seen are in 0.
    ValueError on negative counts, or where all are 0.
    """
    counts = _checked(counts, len(counts))
    order = np.argsort(counts, kind="stable")
    ends = np.cumsum(counts[order])
    if not len(counts) or ends[-1] == 0:
        raise ValueError("every count is 0; expected how often each id occurs in the training text")
    middles = ends - counts[order] / 2
    deciles = np.empty(len(counts), dtype=np.int64)
    deciles[order] = np.minimum(middles * N_DECILES / ends[-1], N_DECILES - 1).astype(np.int64)
    return deciles


def losses(by_id: Tensor, table: Table) -> dict[str, float]:
    """Mean loss of each category: `categories/loss/<category>` -> nats. One without a held-out target is left out.

    by_id (2, V): for each id, the sum of its losses as a held-out target, in nats, and how often it was one.
    """
    names, members = table
    nats, n_targets = _sums(by_id, len(members))
    return _means(nats, n_targets, {f"categories/loss/{name}": members[:, k] for k, name in enumerate(names)})


def _means(nats: np.ndarray, n_targets: np.ndarray, groups: dict[str, np.ndarray]) -> dict[str, float]:
    means = {}
    for tag, members in groups.items():
        n = n_targets[members].sum()
        if n:
            means[tag] = float(nats[members].sum() / n)
    return means


def _sums(by_id: Tensor, n_ids: int) -> tuple[np.ndarray, np.ndarray]:
    if by_id.ndim != 2 or by_id.shape[0] != 2 or by_id.shape[1] < n_ids:
        raise ValueError(f"sums by id of shape {tuple(by_id.shape)}; expected (2, {n_ids})")
    nats, n_targets = by_id[:, :n_ids].double().cpu().numpy()  # a model's rows beyond the tokenizer's are no targets
    return nats, n_targets


def _checked(counts: np.ndarray, n_ids: int) -> np.ndarray:
    counts = np.asarray(counts)
    if counts.shape != (n_ids,) or (counts < 0).any():
        raise ValueError(f"counts of shape {counts.shape}; expected ({n_ids},), none of them negative")
    return counts.astype(np.float64)  # exact up to 2^53 tokens
