"""Checks French of the built-in grammar, sentence by sentence: elision, contraction, agreement, auxiliary, government.

A sentence that the grammar cannot parse counts as wrong: this is a judge of texts written in the stories' French, not
a checker of all French. The words are those of lexicon.py; whether a fox can eat a chair is not looked at.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import NamedTuple

from .grammar.nouns import Fault
from .grammar.readings import Readings, Token, readings, tokenize
from .grammar.sentences import SentenceParser
from .morphology import vowel_sound


class Flaw(NamedTuple):
    """One wrong sentence: its text, the character where the fault lies, and what is wrong, in French."""

    sentence: str
    position: int
    message: str


class Report(NamedTuple):
    """What a check found: the sentences, how many are correct, and one entry for each wrong one."""

    sentences: list[str]
    correct: int
    faults: list[Flaw]

    @property
    def percent(self) -> float:
        return 100 * self.correct / len(self.sentences) if self.sentences else 0.0


_BOUNDARY = re.compile(r"[.!?…]+|«|»|\n")
_NEXT_STARTS = re.compile(r"\s*(?:$|\n|«|[A-ZÀÂÄÇÉÈÊËÎÏÔŒÙÛÜ])")


def sentences(text: str) -> list[str]:
    """Split a text: direct speech stays in one piece with what introduces or follows it.

    « Où vas-tu ? » demande Marie. is one sentence; a line end, or a second opening guillemet, ends an unclosed one.
    """
    found = []
    start = depth = 0

    def cut(end: int) -> None:
        nonlocal start
        piece = " ".join(text[start:end].split())
        if piece:
            found.append(piece)
        start = end

    for match in _BOUNDARY.finditer(text):
        mark, end = match.group(), match.end()
        if mark == "\n":
            cut(end)
            depth = 0
        elif mark == "«":
            if depth:
                cut(match.start())
            depth = 1
        elif mark == "»":
            depth = 0
            closed = text[start : match.start()].rstrip()[-1:]
            if closed in ".!?…" and _NEXT_STARTS.match(text, end):
                cut(end)
        elif not depth and (end == len(text) or text[end].isspace()):
            cut(end)
    cut(len(text))
    return found


# -- joints: what can be seen between two words ----------------------------------------------------------------------

_ELIDE = frozenset(["le", "la", "de", "que", "je", "me", "te", "se", "ne", "lorsque", "puisque", "jusque"])
_SPACED = re.compile(r"[^\s«(][;:!?»]|«\S|\s[,.]|[^\s\W][.,](?=[^\W\d_])|  ")


def _joint_fault(tokens: list[Token], r: Readings) -> Fault | None:
    """Elision and contraction between neighbours, the same for every sentence."""
    for i, (token, following) in enumerate(pairwise(tokens)):
        word, written = token.word, token.written.lower()
        following_word = following.word
        if not following_word[0].isalpha():
            if written.endswith("'"):
                return i, f"« {token.written} » ne précède aucun mot"
            continue
        vowel = vowel_sound(following.written)
        if written.endswith("'") and not vowel:
            return i, f"« {token.written} » ne s'élide pas devant « {following.written} »"
        if vowel and not written.endswith("'"):
            if written in _ELIDE:
                return i, f"« {token.written} » s'élide devant « {following.written} »"
            if written in ("ma", "ta", "sa"):
                return i, f"« {token.written} » devient « {written[0]}on » devant « {following.written} »"
            if written == "si" and following_word in ("il", "ils"):
                return i, "« si » s'élide devant « il »"
            if written in ("du", "au") and following_word in r.nouns | r.adjectives:
                return i, f"« {written} » ne va pas devant la voyelle de « {following.written} »"
            if written == "ce" and following_word in ("est", "était", "étaient"):
                return i, f"« ce » s'élide devant « {following.written} »"
        if word in ("de", "à") and written in ("de", "à") and following_word in ("le", "les"):
            third = tokens[i + 2].word if i + 2 < len(tokens) else ""
            if third not in r.infinitives and third not in ("lui", "leur", "y", "en"):
                return i, f"« {written} {following_word} » se contracte"
    return None


# -- one sentence ----------------------------------------------------------------------------------------------------


def _innermost(tokens: list[Token]) -> tuple[int, int] | Fault | None:
    """Where the guillemets stand, None without any, or what is wrong with them."""
    opened = [i for i, t in enumerate(tokens) if t.word == "«"]
    closed = [i for i, t in enumerate(tokens) if t.word == "»"]
    if not opened and not closed:
        return None
    if len(opened) > len(closed):
        return opened[-1], "guillemet fermant manquant"
    if len(closed) > len(opened):
        return closed[0], "guillemet ouvrant manquant"
    if len(opened) > 1 or opened[0] > closed[0]:
        return opened[0], "guillemets mal placés"
    return opened[0], closed[0]


def _pieces(tokens: list[Token]) -> list[tuple[list[Token], str]]:
    """The sentences of a direct speech with their final marks; "" for one without."""
    pieces = []
    start = 0
    for i, token in enumerate(tokens):
        if token.word in (".", "!", "?", "…"):
            pieces.append((tokens[start:i], token.word))
            start = i + 1
    if start < len(tokens):
        pieces.append((tokens[start:], ""))
    return pieces


_READ, _ATTRIBUTE, _ANNOUNCE = "phrase", "incise", "annonce"


def _parse(tokens: list[Token], mark: str, part: str) -> Fault | None:
    """None if the tokens are the part named, else the fault: a precise one if a single one explains it."""
    if not tokens:
        return 0, "phrase vide"
    size = len(tokens)
    furthest = 0
    for relaxed in (False, True):
        parser = SentenceParser(tokens, relaxed)
        if part == _ATTRIBUTE:
            results = parser.attribution(0)
        else:
            results = parser.announce() if part == _ANNOUNCE else parser.whole(mark)
        if size in results:
            return results[size]
        furthest = max(furthest, parser.furthest)
    at = min(furthest, size - 1)
    return at, f"phrase non reconnue à partir de « {tokens[at].written} »"


def _shift(fault: Fault | None, by: int) -> Fault | None:
    return (fault[0] + by, fault[1]) if fault else None


def _capital(tokens: list[Token]) -> Fault | None:
    if tokens and not tokens[0].written[0].isupper():
        return 0, f"majuscule attendue : « {tokens[0].written} »"
    return None


def _known(tokens: list[Token], r: Readings) -> Fault | None:
    """A capital inside a sentence must be a name's."""
    for i, token in enumerate(tokens[1:], 1):
        if token.written[0].isupper() and token.word.lower() not in r.names:
            before = tokens[i - 1].word
            if before not in ("«", ".", "!", "?", "…"):
                return i, f"majuscule inattendue : « {token.written} »"
    return None


def _plain(tokens: list[Token]) -> Fault | None:
    """A sentence without direct speech."""
    mark = tokens[-1].word
    if mark not in (".", "!", "?", "…"):
        return len(tokens) - 1, "point final manquant"
    return _capital(tokens) or _parse(tokens[:-1], mark, _READ)


def _spoken(tokens: list[Token], opened: int, closed: int) -> Fault | None:
    """A sentence with direct speech: announced, alone, or followed by who says it."""
    before, inside, after = tokens[:opened], tokens[opened + 1 : closed], tokens[closed + 1 :]
    pieces = _pieces(inside)
    if not pieces:
        return opened, "guillemets vides"
    offset = opened + 1
    for piece, mark in pieces:
        last_open = not mark
        if last_open and not (after and after[0].word == ","):
            return closed, "il manque un signe de ponctuation avant « » »"
        fault = _capital(piece) or _parse(piece, mark or ".", _READ)
        if fault:
            return _shift(fault, offset)
        offset += len(piece) + 1
    if before:
        if before[-1].word != ":":
            return opened, "deux-points attendus avant « « »"
        if after:
            return closed, "rien ne suit un discours annoncé"
        return _capital(before) or _parse(before[:-1], ".", _ANNOUNCE)
    if not after:
        return None
    skip = 1 if after[0].word == "," else 0
    if skip and pieces[-1][1] in ("!", "?", "."):
        return closed, "virgule inattendue après « » »"
    if after[-1].word != ".":
        return len(tokens) - 1, "point final manquant"
    return _shift(_parse(after[skip:-1], ".", _ATTRIBUTE), closed + 1 + skip)


def fault(sentence: str) -> Flaw | None:
    """The first fault of one sentence, or None if it is correct."""
    r = readings()
    spacing = _SPACED.search(sentence)
    if spacing:
        return Flaw(sentence, spacing.start(), "espace manquante ou de trop autour d'un signe")
    tokens = tokenize(sentence, r)
    if not tokens:
        return Flaw(sentence, 0, "phrase vide")
    for token in tokens:
        if token.word[0].isalpha() and token.word not in r.known and token.word.lower() not in r.names:
            return Flaw(sentence, token.start, f"mot inconnu : « {token.written} »")
    quotes = _innermost(tokens)
    if quotes and isinstance(quotes[1], str):
        found: Fault | None = quotes  # type: ignore[assignment]
    else:
        found = _joint_fault(tokens, r) or _known(tokens, r)
        if not found:
            found = _spoken(tokens, *quotes) if quotes else _plain(tokens)  # type: ignore[arg-type]
    if not found:
        return None
    return Flaw(sentence, tokens[min(found[0], len(tokens) - 1)].start, found[1])


def check(text: str) -> Report:
    """Check every sentence of a text."""
    pieces = sentences(text)
    flaws = [flaw for flaw in map(fault, pieces) if flaw]
    return Report(pieces, len(pieces) - len(flaws), flaws)
