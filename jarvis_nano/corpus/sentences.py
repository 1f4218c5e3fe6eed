"""Short present-tense sentences that know their parts, so that they can be asked about and rewritten.

The words and their forms are those of the stories. What may do what is listed here: a fish does not walk.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from .lexicon import (
    FEMALE_NAMES,
    MALE_NAMES,
    PLURAL,
    SINGULAR,
    Adjective,
    F,
    M,
    Noun,
    adjectives,
    nouns,
    suitable,
    verb,
)
from .morphology import IMPERFECT, PRESENT, capitalize, compound, noun_phrase, simple, with_preposition
from .wording import words

_SLOW = words("poisson escargot papillon cygne crabe baleine abeille fourmi araignée cigale aigle castor")
WALKERS = tuple(n for n in nouns("animal") if n.singular not in _SLOW)
PEOPLE = nouns("person", "family")
OBJECTS, FOODS = nouns("object"), nouns("food")
_ACTS = words("danser jouer pleurer dormir rire courir sauter crier travailler trembler rêver marcher chanter")
_ANIMAL_ACTS = words("jouer dormir courir sauter crier trembler marcher rêver")
_MOVES = ("partir", "arriver", "tomber", "rentrer", "se promener", "se reposer", "s'arrêter", "se cacher")
_ANIMAL_HANDLES = words("chercher regarder perdre cacher garder trouver prendre")
_HANDLES = words("chercher porter regarder laver perdre cacher garder trouver ramasser casser prendre")
_ANIMAL_EATS = ("manger", "goûter", "partager", "trouver")
_EATS = words("manger goûter partager préparer acheter couper")
_OF_THINGS = words("léger lourd solide fragile propre sale neuf précieux brillant ancien rare utile cassé usé")
_PLACES = tuple(n for n in nouns("room") if n.singular not in ("couloir", "cour", "tour"))
_SOLID = tuple(a for a in adjectives("thing") if a.ms in _OF_THINGS)
_DESCRIBES = {k: adjectives("size") + suitable(k) for k in ("animal", "person", "family", "object", "food")}
_FEELS = adjectives("mood", "trait")
_SAID = {"object": adjectives("size", "color") + _SOLID, "food": suitable("food")}


@dataclass(frozen=True)
class Subject:
    """A name, or a noun with its determiner and at most one adjective."""

    words: str
    gender: str
    noun: Noun | None = None
    adjective: Adjective | None = None
    determiner: str = "le"
    number: str = SINGULAR

    @property
    def person(self) -> int:
        return 3 if self.number == SINGULAR else 6

    def pluralised(self) -> Subject:
        """The same in the plural; a name has none."""
        assert self.noun is not None, self.words
        described = [self.adjective] if self.adjective else []
        phrase = noun_phrase(self.noun, self.determiner, PLURAL, described)
        return replace(self, words=phrase, number=PLURAL)


@dataclass(frozen=True)
class Sentence:
    """subject + verb + object or attribute + place, each of the last three possibly absent."""

    subject: Subject
    verb: str
    object: str = ""
    attribute: Adjective | None = None
    place: str = ""

    def write(self, form: str = "present") -> str:
        """The sentence in a form: present, negation, plural, imperfect, perfect (passé composé)."""
        subject = self.subject.pluralised() if form == "plural" else self.subject
        return self.join(subject.words, self._verb(subject, form), self.object, self._attribute(subject), self.place)

    @staticmethod
    def join(*parts: str) -> str:
        """Words to a sentence with its capital and full stop."""
        return capitalize(" ".join(part for part in parts if part)) + "."

    def _verb(self, subject: Subject, form: str) -> str:
        v = verb(self.verb)
        if form == "perfect":
            return compound(v, subject.person, subject.gender)
        tense = IMPERFECT if form == "imperfect" else PRESENT
        return simple(v, tense, subject.person, negation="pas" if form == "negation" else "")

    def _attribute(self, subject: Subject) -> str:
        return self.attribute.form(subject.gender, subject.number) if self.attribute else ""


def named(rng: random.Random) -> Subject:
    """Somebody with a name."""
    male = rng.random() < 0.5
    return Subject(rng.choice(MALE_NAMES if male else FEMALE_NAMES), M if male else F)


def described(rng: random.Random, kinds: tuple[Noun, ...], determiner: str = "le", *, bare: float = 0.6) -> Subject:
    """A noun with an article, and with an adjective in 1 - bare of the cases."""
    chosen = rng.choice(kinds)
    added = None if rng.random() < bare else rng.choice(_DESCRIBES[chosen.kind])
    phrase = noun_phrase(chosen, determiner, SINGULAR, [added] if added else [])
    return Subject(phrase, chosen.gender, chosen, added, determiner)


def somebody(rng: random.Random, *, bare: float = 0.6) -> Subject:
    """An animal that walks, a person or a name."""
    roll = rng.random()
    if roll < 0.25:
        return named(rng)
    return described(rng, WALKERS if roll < 0.65 else PEOPLE, bare=bare)


def place(rng: random.Random) -> str:
    """« dans la forêt »"""
    return with_preposition("dans", noun_phrase(rng.choice(_PLACES)))


def act(rng: random.Random, subject: Subject) -> Sentence:
    """« Le renard dort », « Le renard dort dans la forêt »"""
    animal = subject.noun is not None and subject.noun.kind == "animal"
    where = place(rng) if rng.random() < 0.5 else ""
    return Sentence(subject, rng.choice(_ANIMAL_ACTS if animal else _ACTS), place=where)


def move(rng: random.Random, subject: Subject) -> Sentence:
    """A verb with être or a pronominal one, without more."""
    return Sentence(subject, rng.choice(_MOVES))


def handle(rng: random.Random, subject: Subject, determiner: str = "le") -> Sentence:
    """« La reine porte la couronne », « Paul mange la pomme »"""
    animal = subject.noun is not None and subject.noun.kind == "animal"
    if rng.random() < 0.4:
        thing, verbs = rng.choice(FOODS), _ANIMAL_EATS if animal else _EATS
    else:
        thing, verbs = rng.choice(OBJECTS), _ANIMAL_HANDLES if animal else _HANDLES
    return Sentence(subject, rng.choice(verbs), object=noun_phrase(thing, determiner))


def attribute(rng: random.Random, subject: Subject) -> Sentence:
    """« La fillette est contente », « La clé est petite »"""
    kind = subject.noun.kind if subject.noun else "person"
    said = _SAID.get(kind, _FEELS)
    chosen = rng.choice([a for a in said if a is not subject.adjective])
    return Sentence(subject, "être", attribute=chosen)


def located(rng: random.Random, subject: Subject) -> Sentence:
    """« Le roi est dans le jardin »"""
    return Sentence(subject, "être", place=place(rng))
