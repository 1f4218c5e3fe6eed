"""A story of one to three sentences and a question on it: who, where, what, how. Held out by story."""

from __future__ import annotations

import random

from .morphology import PRESENT, conjugate, elide
from .sentences import Sentence, attribute, handle, located, place, somebody
from .split import Split, side
from .wording import normalise

_LAYOUTS = (
    "{story} {question}",
    "{story} {question}",
    "{story} {question}",
    "Lis bien : {story} {question}",
    "Voici une histoire. {story} {question}",
    "{story} Question : {question}",
)


def _sentence(rng: random.Random) -> Sentence:
    """One sentence of a story, whose subject carries no adjective in most cases."""
    subject = somebody(rng, bare=0.85)
    roll = rng.random()
    if roll < 0.5:
        made = handle(rng, subject, rng.choice(("un", "un", "le")))
        return Sentence(subject, made.verb, made.object, place=place(rng) if rng.random() < 0.4 else "")
    return located(rng, subject) if roll < 0.75 else attribute(rng, subject)


def _story(rng: random.Random) -> list[Sentence]:
    """Sentences about different subjects with different verbs, so that each question has one answer."""
    n_sentences = rng.choice((1, 1, 2, 2, 3))
    story: list[Sentence] = []
    while len(story) < n_sentences:
        sentence = _sentence(rng)
        if all(_apart(sentence, other) for other in story):
            story.append(sentence)
    return story


def _apart(one: Sentence, other: Sentence) -> bool:
    """No shared subject noun, object, place or attribute; « être » may occur twice."""
    same_subject = one.subject.words == other.subject.words or (
        one.subject.noun is not None and one.subject.noun is other.subject.noun
    )
    shared = any(a and a == b for a, b in ((one.object, other.object), (one.place, other.place)))
    same_verb = one.verb == other.verb != "être"
    return not (same_subject or shared or same_verb or (one.attribute and one.attribute is other.attribute))


def _questions(sentence: Sentence) -> list[tuple[str, str]]:
    """What the sentence answers, as (question, answer)."""
    who, verb = sentence.subject.words, conjugate(sentence.verb, PRESENT, 3)
    pairs = []
    if sentence.object:
        pairs += [
            (f"Qui {verb} {sentence.object} ?", f"C'est {who}."),
            (f"{elide('Que', verb)} {who} ?", Sentence.join(who, verb, sentence.object)),
        ]
    if sentence.place:
        pairs.append((f"Où est {who} ?", Sentence.join(who, "est", sentence.place)))
    if sentence.place and not sentence.object:
        pairs.append((f"Qui est {sentence.place} ?", f"C'est {who}."))
    if sentence.attribute:
        attribute_form = sentence.attribute.form(sentence.subject.gender, "s")
        pairs += [
            (f"Comment est {who} ?", Sentence.join(who, "est", attribute_form)),
            (f"Qui est {attribute_form} ?", f"C'est {who}."),
        ]
    return pairs


def ask(rng: random.Random, split: Split) -> tuple[str, str, str]:
    """A story, a question and the answer in a sentence."""
    while True:
        sentences = _story(rng)
        story = " ".join(sentence.write() for sentence in sentences)
        if side(story) == split:
            return story, *rng.choice(_questions(rng.choice(sentences)))


def draw(rng: random.Random, split: Split) -> tuple[str, str]:
    """A story with a question, and the answer."""
    story, question, answer = ask(rng, split)
    return rng.choice(_LAYOUTS).format(story=story, question=question), answer


def judge(instruction: str, response: str, answer: str) -> bool:
    """The expected sentence; « C'est Paul » may be « Paul »; a sentence may go on as the story has it."""
    expected, given = normalise(response), normalise(answer)
    if given == expected or given == expected.removeprefix("c'est "):
        return True
    return given.startswith(expected + " ") and f"{given}." in normalise(instruction)
