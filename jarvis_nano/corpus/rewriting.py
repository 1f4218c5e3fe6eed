"""Rewriting a sentence: into the plural, the negative, the imperfect or the passé composé. Held out by sentence."""

from __future__ import annotations

import random

from .sentences import FOODS, OBJECTS, PEOPLE, WALKERS, Sentence, act, attribute, described, handle, move, somebody
from .split import Split, side

WORDINGS = {
    "plural": (
        "Mets au pluriel : {s}",
        "Mets cette phrase au pluriel : {s}",
        "Écris au pluriel : {s}",
        "Écris cette phrase au pluriel : {s}",
        "Mets la phrase au pluriel : {s}",
        "Récris au pluriel : {s}",
        "Quel est le pluriel de cette phrase ? {s}",
        "Transforme au pluriel : {s}",
        "Peux-tu mettre cette phrase au pluriel ? {s}",
        "Donne le pluriel : {s}",
        "{s} Mets cette phrase au pluriel.",
        "Au pluriel : {s}",
    ),
    "negation": (
        "Mets à la forme négative : {s}",
        "Mets cette phrase à la forme négative : {s}",
        "Écris à la forme négative : {s}",
        "Dis le contraire avec une négation : {s}",
        "Mets la phrase à la forme négative : {s}",
        "Récris à la forme négative : {s}",
        "Transforme en phrase négative : {s}",
        "Quelle est la forme négative de cette phrase ? {s}",
        "Peux-tu mettre cette phrase à la forme négative ? {s}",
        "Donne la forme négative : {s}",
        "{s} Mets cette phrase à la forme négative.",
        "À la forme négative : {s}",
    ),
    "imperfect": (
        "Mets à l'imparfait : {s}",
        "Mets cette phrase à l'imparfait : {s}",
        "Écris à l'imparfait : {s}",
        "Écris cette phrase à l'imparfait : {s}",
        "Mets la phrase à l'imparfait : {s}",
        "Récris à l'imparfait : {s}",
        "Transforme à l'imparfait : {s}",
        "Peux-tu mettre cette phrase à l'imparfait ? {s}",
        "Conjugue à l'imparfait : {s}",
        "Donne l'imparfait : {s}",
        "{s} Mets cette phrase à l'imparfait.",
        "À l'imparfait : {s}",
    ),
    "perfect": (
        "Mets au passé composé : {s}",
        "Mets cette phrase au passé composé : {s}",
        "Écris au passé composé : {s}",
        "Écris cette phrase au passé composé : {s}",
        "Mets la phrase au passé composé : {s}",
        "Récris au passé composé : {s}",
        "Transforme au passé composé : {s}",
        "Peux-tu mettre cette phrase au passé composé ? {s}",
        "Conjugue au passé composé : {s}",
        "Donne le passé composé : {s}",
        "{s} Mets cette phrase au passé composé.",
        "Au passé composé : {s}",
    ),
}


def _plural_source(rng: random.Random) -> Sentence:
    """A singular sentence whose subject has a plural: no name, no object whose number would be in doubt."""
    roll = rng.random()
    if roll < 0.4:
        return act(rng, described(rng, rng.choice((WALKERS, PEOPLE)), rng.choice(("le", "le", "un"))))
    if roll < 0.55:
        return move(rng, described(rng, rng.choice((WALKERS, PEOPLE))))
    things = rng.choice((WALKERS, PEOPLE, OBJECTS, FOODS))
    return attribute(rng, described(rng, things, bare=1.0))


def _source(rng: random.Random) -> Sentence:
    """A sentence for the negative and the past."""
    subject = somebody(rng, bare=0.8)
    return rng.choice((act, move, handle, attribute))(rng, subject)


def _past_source(rng: random.Random) -> Sentence:
    """Without an attribute: « Le roi a été content » is right but seldom said."""
    subject = somebody(rng, bare=0.8)
    return rng.choice((act, move, handle))(rng, subject)


def rewrite(rng: random.Random, split: Split, form: str) -> tuple[str, str]:
    """A sentence of a split and the same in a form: plural, negation, imperfect, perfect."""
    make = {"plural": _plural_source, "negation": _source}.get(form, _past_source)
    while True:
        sentence = make(rng)
        source = sentence.write()
        if side(source) == split:
            return source, sentence.write(form)


def draw(rng: random.Random, split: Split, kind: str) -> tuple[str, str]:
    """kind: plural, negation, or past (imperfect and passé composé)."""
    form = rng.choice(("imperfect", "perfect")) if kind == "past" else kind
    source, rewritten = rewrite(rng, split, form)
    return rng.choice(WORDINGS[form]).format(s=source), rewritten
