"""Wordings: filling a template so that the French holds, an address around it, and when two texts say the same."""

from __future__ import annotations

import random
import re

from .morphology import capitalize, vowel_sound

_QUOTES = str.maketrans({"’": "'", "ʼ": "'", "\u00a0": " ", "\u202f": " "})
_CONTRACTED = {"de le": "du", "de les": "des", "à le": "au", "à les": "aux"}


def fill(template: str, **slots: str) -> str:
    """The template with its slots, then elided and contracted: "{x}" = "Alice" in "l'âge de {x}" gives « d'Alice »."""
    text = template.format(**slots)
    text = re.sub(r"\b(de|à) (les?)(?= )", lambda found: _CONTRACTED[found[0]], text)
    text = re.sub(r"\b([Dd]|[Qq]u|[Jj])e (?=(\w+))", _elide, text)
    return capitalize(text)


def _elide(found: re.Match[str]) -> str:
    return found[1] + "'" if vowel_sound(found[2]) else found[0]


def words(text: str) -> tuple[str, ...]:
    """The words of a line, for tables."""
    return tuple(text.split())


_ORDERS = words(
    "Additionne Ajoute Allume Calcule Cherche Compte Donne Donne-moi Décris Décris-moi Dis Dis-moi Démarre Écris "
    "Efface Envoie Éteins Explique-moi Ferme Joue Lance Mets Mets-moi Montre-moi Nomme Note Ouvre Ouvre-moi Parle-moi "
    "Passe Pirate Quitte Rappelle-moi Règle Supprime Trouve Trouve-moi"
)


def address(rng: random.Random, instruction: str) -> str:
    """The instruction, sometimes with « Jarvis, », or an order with « s'il te plaît ». Its split does not change."""
    roll = rng.random()
    if roll < 0.10:
        return f"Jarvis, {instruction[0].lower()}{instruction[1:]}"
    if roll < 0.20 and instruction.endswith(".") and instruction.split()[0] in _ORDERS:
        return instruction[:-1] + ", s'il te plaît."
    return instruction


def normalise(text: str) -> str:
    """Lower case, one apostrophe, single spaces, no final punctuation: what two answers may differ in."""
    text = " ".join(text.translate(_QUOTES).lower().split())
    text = re.sub(r" ?([,;:?!.]) ?", r"\1 ", text)
    return text.strip().rstrip(".! ")


def same(answer: str, *accepted: str) -> bool:
    """Whether the answer is one of the accepted ones, up to normalise()."""
    return normalise(answer) in {normalise(text) for text in accepted}
