"""Descriptions: « Décris un renard. » What is true of a thing stands in a table; the wording is what is held out."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache

from .lexicon import SINGULAR, Noun, adjective, noun
from .morphology import capitalize, noun_phrase, pronoun
from .split import Split, pick
from .wording import fill, normalise

WORDINGS = (
    "Décris {un}.",
    "Décris-moi {un}.",
    "Peux-tu décrire {un} ?",
    "Parle-moi de {le}.",
    "Comment est {un} ?",
    "À quoi ressemble {un} ?",
    "Dis-moi comment est {un}.",
    "Fais la description de {le}.",
    "Donne-moi une description de {le}.",
    "Je voudrais une description de {le}.",
    "Fais le portrait de {le}.",
    "Que sais-tu de {le} ?",
    "Dis-moi ce que tu sais de {le}.",
    "Décris {le} en quelques mots.",
    "Présente-moi {le}.",
)

# noun: two adjectives in the masculine singular: what he, she or it does
_TABLE = """
renard: roux, rusé: vit dans la forêt
loup: gris, malin: vit dans la forêt
ours: brun, lourd: dort en hiver
chat: petit, doux: attrape les souris
chien: gentil, fidèle: garde la maison
lapin: petit, timide: mange des carottes
souris: petit, gris: mange du fromage
vache: gros, calme: donne du lait
poule: petit, bavard: donne des œufs
mouton: blanc, doux: vit dans la prairie
cheval: grand, beau: vit dans la prairie
âne: gris, patient: porte des sacs
hibou: silencieux, sage: vole la nuit
corbeau: noir, malin: vole dans la forêt
écureuil: roux, adroit: mange des noisettes
abeille: petit, utile: fait du miel
fourmi: petit, courageux: travaille en été
tortue: patient, prudent: porte une maison sur le dos
grenouille: vert, léger: saute dans la mare
lion: beau, courageux: dort au soleil
éléphant: énorme, gris: boit beaucoup d'eau
singe: malin, adroit: mange des noix
cochon: rose, gros: aime les pommes
cygne: blanc, beau: nage sur le lac
girafe: grand, calme: mange des feuilles
baleine: énorme, calme: vit dans la mer
soleil: jaune, chaud: brille le jour
lune: rond, blanc: brille la nuit
neige: blanc, froid: tombe en hiver
pomme: rond, sucré: pousse sur un arbre
cerise: rond, rouge: pousse sur un arbre
citron: jaune, frais: pousse sur un arbre
rose: beau, fragile: pousse dans le jardin
herbe: vert, doux: pousse dans la prairie
mer: bleu, profond: nourrit les poissons
forêt: grand, sombre: protège les oiseaux
miel: doux, sucré: vient des abeilles
horloge: rond, utile: donne l'heure
"""


@dataclass(frozen=True)
class Description:
    """Two sentences on one noun."""

    noun: Noun
    adjectives: tuple[str, str]
    habit: str

    def opening(self, first: str, second: str) -> str:
        return capitalize(f"{noun_phrase(self.noun)} est {first} et {second}.")

    @property
    def closing(self) -> str:
        return capitalize(f"{pronoun(self.noun.gender, SINGULAR)} {self.habit}.")

    @property
    def text(self) -> str:
        return f"{self.opening(*self.adjectives)} {self.closing}"


def _agreed(word: str, thing: Noun) -> str:
    return adjective(word).form(thing.gender, SINGULAR)


@cache
def descriptions() -> tuple[Description, ...]:
    """The table, agreed."""
    read = []
    for line in _TABLE.strip().splitlines():
        lemma, pair, habit = line.split(": ")
        thing = noun(lemma)
        first, second = (_agreed(word, thing) for word in pair.split(", "))
        read.append(Description(thing, (first, second), habit))
    return tuple(read)


@cache
def _by_text() -> dict[str, Description]:
    return {normalise(description.text): description for description in descriptions()}


def draw(rng: random.Random, split: Split) -> tuple[str, str]:
    """A request to describe something, and its description."""
    chosen = rng.choice(descriptions())
    only = chosen.noun.kind in ("sky", "mass", "water") or chosen.noun.singular == "herbe"  # nobody says « une neige »
    un, le = noun_phrase(chosen.noun, "le" if only else "un"), noun_phrase(chosen.noun)
    return fill(pick(rng, WORDINGS, split), un=un, le=le), chosen.text


def judge(response: str, answer: str) -> bool:
    """Both sentences of the thing asked for; the two adjectives may change places."""
    right = _by_text()[normalise(response)]
    first, second = right.adjectives
    accepted = {f"{right.opening(*pair)} {right.closing}" for pair in ((first, second), (second, first))}
    return normalise(answer) in {normalise(text) for text in accepted}
