"""Plants one fault of a named kind in a correct sentence: what the checker is tested on, and minimal pairs.

Each kind finds the places where it can strike and be sure that the result is wrong French, and returns every such
sentence; a sentence without such a place gives none. Works on the tokens of grammar/readings.py.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from itertools import pairwise

from .grammar.readings import BEFORE_VOWEL, NOT_BEFORE_VOWEL, Token, readings, tokenize
from .lexicon import ADJECTIVES, NOUNS, PLURAL, SINGULAR, VERBS, F, M, words
from .morphology import forms, participle, vowel_sound

Planter = Callable[[str, list[Token]], Iterator[str]]
KINDS: dict[str, Planter] = {}

_PERSONS = {"je": 1, "tu": 2, "il": 3, "elle": 3, "on": 3, "nous": 4, "vous": 5, "ils": 6, "elles": 6}
_SWAPPED = {
    "le": "la", "la": "le", "un": "une", "une": "un", "cette": "ce", "ce": "cette", "quel": "quelle", "quelle": "quel",
    "du": "de la",
}  # fmt: skip
_POSSESSIVES = {"mon": "ma", "ton": "ta", "son": "sa", "ma": "mon", "ta": "ton", "sa": "son"}
_FULL = {"l'": ("le", "la"), "d'": ("de",), "qu'": ("que",), "j'": ("je",), "s'": ("se",), "n'": ("ne",), "m'": ("me",)}
_SHORT = {"le": "l'", "la": "l'", "de": "d'", "que": "qu'", "je": "j'", "se": "s'", "ne": "n'"}


def planter(kind: str) -> Callable[[Planter], Planter]:
    def register(function: Planter) -> Planter:
        KINDS[kind] = function
        return function

    return register


def plant(sentence: str, kind: str, chance: random.Random) -> str | None:
    """The sentence with one fault of this kind, at a random place; None where there is none for it."""
    found = [wrong for wrong in KINDS[kind](sentence, tokenize(sentence)) if wrong != sentence]
    return chance.choice(found) if found else None


def _replace(sentence: str, token: Token, by: str) -> str:
    """Another word in the token's place, with its capital; "" takes the word away with its space."""
    end = token.start + len(token.written)
    if token.written[0].isupper():
        by = by[:1].upper() + by[1:]
    if not by:
        rest = sentence[end:].lstrip(" ")
        if token.written[0].isupper():
            rest = rest[:1].upper() + rest[1:]
        return sentence[: token.start] + rest
    gap = "" if by.endswith("'") or not token.written.endswith("'") else " "
    tail = sentence[end:].lstrip(" ") if by.endswith("'") else sentence[end:]
    return sentence[: token.start] + by + gap + tail


def _pure_noun(token: Token) -> bool:
    """A word that can only be a noun here (« la porte » could be a verb)."""
    r, word = readings(), token.word
    others = (r.verbs, r.infinitives, r.adjectives, r.participles, r.fixed)
    return word in r.nouns and not any(word in table for table in others)


def _gender(word: str) -> str:
    """The gender of a noun, "" if its forms leave it open."""
    genders = {g for g, _, _ in readings().nouns.get(word, ())}
    return genders.pop() if len(genders) == 1 else ""


def _pairs(tokens: list[Token]) -> Iterator[tuple[Token, Token]]:
    yield from pairwise(tokens)


# -- agreement in the noun phrase ------------------------------------------------------------------------------------


@planter("article gender")
def _article(sentence: str, tokens: list[Token]) -> Iterator[str]:
    for article, noun in _pairs(tokens):
        word = article.written.lower()
        if word in _SWAPPED and _pure_noun(noun) and _gender(noun.word) and not vowel_sound(noun.word):
            yield _replace(sentence, article, _SWAPPED[word])


@planter("possessive gender")
def _possessive(sentence: str, tokens: list[Token]) -> Iterator[str]:
    for possessive, noun in _pairs(tokens):
        word = possessive.written.lower()
        if word in _POSSESSIVES and _pure_noun(noun) and not vowel_sound(noun.word):
            yield _replace(sentence, possessive, _POSSESSIVES[word])


def _other_forms(word: str, *, gender: bool) -> Iterator[str]:
    """The forms of an adjective that differ from `word` in gender only, or in number only."""
    for a in ADJECTIVES:
        for g in (M, F):
            for n in (SINGULAR, PLURAL):
                if a.form(g, n) == word:
                    changed = (F if g == M else M, n) if gender else (g, PLURAL if n == SINGULAR else SINGULAR)
                    other = a.form(*changed)
                    if other != word:
                        yield other


def _adjectives(sentence: str, tokens: list[Token], gender: bool) -> Iterator[str]:
    """Adjectives beside a noun, or after il/elle est."""
    r = readings()
    for i, token in enumerate(tokens):
        if token.word not in r.adjectives or token.word in r.nouns or token.word in r.participles:
            continue
        after_noun = i > 1 and _pure_noun(tokens[i - 1]) and tokens[i - 2].word not in ("de", "et")
        before_noun = i + 1 < len(tokens) and _pure_noun(tokens[i + 1])
        attribute = i > 1 and tokens[i - 1].word in ("est", "était", "sont", "étaient") and tokens[i - 2].word in (
            "il", "elle", "ils", "elles",
        )  # fmt: skip
        if not (after_noun or before_noun or attribute):
            continue
        for other in _other_forms(token.word, gender=gender):
            fits = {(g, n) for g, n, _ in r.adjectives[other]}
            noun = tokens[i - 1] if after_noun else tokens[i + 1]
            if not attribute and any((g, n) in fits for g, n, _ in r.nouns[noun.word]):
                continue
            yield _replace(sentence, token, other)


@planter("adjective gender")
def _adjective_gender(sentence: str, tokens: list[Token]) -> Iterator[str]:
    yield from _adjectives(sentence, tokens, True)


@planter("adjective number")
def _adjective_number(sentence: str, tokens: list[Token]) -> Iterator[str]:
    yield from _adjectives(sentence, tokens, False)


@planter("noun number")
def _noun_number(sentence: str, tokens: list[Token]) -> Iterator[str]:
    other = {n.singular: n.plural for n in NOUNS} | {n.plural: n.singular for n in NOUNS}
    determiners = words("un une ce cette mon ma son sa deux trois quatre ces mes ses leurs")
    for determiner, noun in _pairs(tokens):
        if determiner.word in determiners and _pure_noun(noun):
            yield _replace(sentence, noun, other[noun.word])


@planter("form before a vowel")
def _before_vowel(sentence: str, tokens: list[Token]) -> Iterator[str]:
    """bel → beau, cet → ce, mon amie → ma amie."""
    for token, following in _pairs(tokens):
        word = token.word
        if word in BEFORE_VOWEL:
            yield _replace(sentence, token, BEFORE_VOWEL[word])
        elif word == "cet":
            yield _replace(sentence, token, "ce")
        elif word in ("mon", "ton", "son") and vowel_sound(following.word) and _pure_noun(following):
            yield _replace(sentence, token, _POSSESSIVES[word])
        elif word in NOT_BEFORE_VOWEL and _pure_noun(following) and not vowel_sound(following.word):
            masculine = readings().nouns[following.word][0][:2] == (M, SINGULAR)
            if masculine:
                yield _replace(sentence, token, NOT_BEFORE_VOWEL[word])


# -- joints ----------------------------------------------------------------------------------------------------------


@planter("missing elision")
def _missing_elision(sentence: str, tokens: list[Token]) -> Iterator[str]:
    for token in tokens:
        for full in _FULL.get(token.written.lower(), ()):
            if token.word != "si":
                yield _replace(sentence, token, full)


@planter("wrong elision")
def _wrong_elision(sentence: str, tokens: list[Token]) -> Iterator[str]:
    for token, following in _pairs(tokens):
        word = token.written.lower()
        if word in _SHORT and following.word[0].isalpha() and not vowel_sound(following.word):
            yield _replace(sentence, token, _SHORT[word])


@planter("missing contraction")
def _missing_contraction(sentence: str, tokens: list[Token]) -> Iterator[str]:
    full = {"du": "de le", "au": "à le", "aux": "à les"}
    for token, following in _pairs(tokens):
        if token.word in full and following.word in readings().nouns and _pure_noun(following):
            yield _replace(sentence, token, full[token.word])


# -- verbs -----------------------------------------------------------------------------------------------------------


def _finite(tokens: list[Token]) -> Iterator[tuple[Token, int, str, str]]:
    """Finite verbs right after a subject pronoun: (verb, person, infinitive, tense)."""
    r = readings()
    for pronoun, token in _pairs(tokens):
        person = _PERSONS.get(pronoun.word)
        if person and token.word in r.verbs:
            for infinitive, tense in {(inf, t) for inf, t, p in r.verbs[token.word] if p == person}:
                yield token, person, infinitive, tense


def _inflected(infinitive: str, tense: str) -> dict[int, str]:
    return dict(enumerate(forms(infinitive, tense), 1))


def _misinflected(sentence: str, tokens: list[Token], persons: Callable[[int], tuple[int, ...]]) -> Iterator[str]:
    r = readings()
    for token, person, infinitive, tense in _finite(tokens):
        for other in persons(person):
            form = _inflected(infinitive, tense)[other]
            if not any(p == person for _, _, p in r.verbs[form]):
                yield _replace(sentence, token, form)


@planter("verb number")
def _verb_number(sentence: str, tokens: list[Token]) -> Iterator[str]:
    yield from _misinflected(sentence, tokens, lambda p: (p + 3,) if p <= 3 else (p - 3,))
    r = readings()
    for i, token in enumerate(tokens[2:], 2):  # after « le chat », « Marie »
        noun, determiner = tokens[i - 1], tokens[i - 2]
        starts = i == 2 or tokens[i - 3].word in (",", "«")
        if starts and _pure_noun(noun) and determiner.word in ("le", "la", "l'", "les") and token.word in r.verbs:
            for infinitive, tense, p in r.verbs[token.word]:
                if p in (3, 6):
                    form = _inflected(infinitive, tense)[9 - p]
                    if not any(q == p for _, _, q in r.verbs[form]):
                        yield _replace(sentence, token, form)


@planter("verb person")
def _verb_person(sentence: str, tokens: list[Token]) -> Iterator[str]:
    same = {1: (2, 3), 2: (1, 3), 3: (1, 2), 4: (5, 6), 5: (4, 6), 6: (4, 5)}
    yield from _misinflected(sentence, tokens, lambda p: same[p])


def _rejoined(sentence: str) -> str:
    """« j'suis » → « je suis », « se a » → « s'a »: the fault is to be the auxiliary alone."""
    sentence = re.sub(r"\b([jJmtsn])'(?=[bcdfglmnpqrstvz])", r"\1e ", sentence)
    return re.sub(r"\b([jJmtsn])e (?=[aeéèêiouhy])", r"\1'", sentence)


@planter("wrong auxiliary")
def _auxiliary(sentence: str, tokens: list[Token]) -> Iterator[str]:
    r = readings()
    swap = dict(zip(words("ai as a avons avez ont"), words("suis es est sommes êtes sont"), strict=True))
    swap |= {"avait": "était", "avais": "étais", "avaient": "étaient"}
    swap |= {v: k for k, v in swap.items()}
    for i, (token, following) in enumerate(_pairs(tokens)):
        if token.word not in swap or following.word not in r.participles or following.word in r.adjectives:
            continue
        infinitive = r.participles[following.word][0][0]
        reflexive = i > 0 and tokens[i - 1].word in ("se", "me", "te")
        transitive = "t" in r.frames.get((infinitive, False), ())
        having = token.word in ("ai", "as", "a", "avons", "avez", "ont", "avait", "avais", "avaient")
        has_object = i + 2 < len(tokens) and tokens[i + 2].word in (
            "le", "la", "l'", "les", "un", "une", "mon", "ma", "mes", "son", "sa", "deux", "trois",
        )  # fmt: skip
        certain = (has_object or not transitive) if having else reflexive or r.auxiliary.get(infinitive) == "être"
        if certain:
            yield _rejoined(_replace(sentence, token, swap[token.word]))


@planter("participle agreement")
def _participle(sentence: str, tokens: list[Token]) -> Iterator[str]:
    r = readings()
    having = {"ai", "as", "a", "avons", "avez", "ont", "avait", "avais"}
    being = {"est": SINGULAR, "sont": PLURAL, "était": SINGULAR}
    gender_of = {"il": M, "elle": F, "ils": M, "elles": F}
    for i, token in enumerate(tokens[2:], 2):
        for infinitive, gender, number in r.participles.get(token.word, ()):
            if token.word in r.adjectives or token.word in r.nouns:
                continue
            agreed = {(g, n): participle(infinitive, g, n) for g in (M, F) for n in (SINGULAR, PLURAL)}
            before = tokens[i - 1].word
            clitic = tokens[i - 2].word in ("l'", "la", "les", "le", "me", "te", "nous", "vous")
            if before in having and not clitic and (gender, number) == (M, SINGULAR):
                yield _replace(sentence, token, agreed[F, SINGULAR])
            subject = tokens[i - 3].word if i > 2 and tokens[i - 2].word == "se" else tokens[i - 2].word
            if before in being and gender_of.get(subject) == gender:
                yield _replace(sentence, token, agreed[F if gender == M else M, number])


@planter("negation")
def _negation(sentence: str, tokens: list[Token]) -> Iterator[str]:
    for i, token in enumerate(tokens):
        if token.word == "ne":
            particle = next((t for t in tokens[i + 1 : i + 5] if t.word in ("pas", "plus", "jamais", "rien")), None)
            if particle and tokens[i + 1] is not particle:
                yield _replace(sentence, particle, "")
                if particle.word == "pas":
                    yield _without(sentence, token)


def _without(sentence: str, token: Token) -> str:
    """Without a small word before the verb, its neighbours elided again."""
    return _rejoined(sentence[: token.start] + sentence[token.start + len(token.written) :].lstrip(" "))


@planter("missing reflexive")
def _reflexive(sentence: str, tokens: list[Token]) -> Iterator[str]:
    r = readings()
    only = {v.infinitive for v in VERBS if v.reflexive and (v.infinitive, False) not in r.frames}
    for i, (token, following) in enumerate(_pairs(tokens)):
        if token.word == "se" and i and any(inf in only for inf, _, _ in r.verbs.get(following.word, ())):
            yield _without(sentence, token)


@planter("infinitive")
def _infinitive(sentence: str, tokens: list[Token]) -> Iterator[str]:
    """« veut manger » → « veut mangé », « pour manger » → « pour mangé »."""
    modal = words("veux veut voulait peux peut pouvait doit dois aime aimait pour va vais faut")
    for before, token in _pairs(tokens):
        if before.word in modal and token.word in readings().infinitives and token.word.endswith("er"):
            yield _replace(sentence, token, participle(token.word))


# -- whole words and marks -------------------------------------------------------------------------------------------


@planter("missing guillemet")
def _guillemet(sentence: str, tokens: list[Token]) -> Iterator[str]:
    for token in tokens:
        if token.word in "«»":
            cut = sentence[: token.start].rstrip() + " " + sentence[token.start + 1 :].lstrip()
            yield re.sub(r" ([.,])", r"\1", cut).strip()


@planter("missing determiner")
def _determiner(sentence: str, tokens: list[Token]) -> Iterator[str]:
    for i, (token, following) in enumerate(_pairs(tokens)):
        if token.written.lower() not in words("le la un une cette sa son ma mon"):
            continue
        before = tokens[i - 1].word if i else ""
        options = readings().nouns.get(following.word, ())
        singular = any(n == SINGULAR and kind in ("object", "room", "landmark") for _, n, kind in options)
        if singular and _pure_noun(following) and before not in ("de", "en", ",", "ou", "et", "comme", "sans", "à"):
            yield _replace(sentence, token, "")


@planter("missing noun")
def _noun(sentence: str, tokens: list[Token]) -> Iterator[str]:
    after = (".", "!", "?", "»", "qui", "dans", "près", "avec")
    for i, (token, following) in enumerate(_pairs(tokens[:-1])):
        determined = token.written.lower() in words("le la cette ma sa du au") and _pure_noun(following)
        if determined and tokens[i + 2].word in after:
            yield _replace(sentence, following, "").replace(" .", ".").replace(" ,", ",")


@planter("missing verb")
def _verb(sentence: str, tokens: list[Token]) -> Iterator[str]:
    r = readings()
    for i, (token, following) in enumerate(_pairs(tokens)):
        if i and tokens[i - 1].word in ("il", "elle", "tu", "ils", "elles") and token.word in r.verbs:
            other = following.word in r.verbs or following.word in r.participles or not following.word[0].isalpha()
            if not other and following.word not in words("le la l' les lui leur ne"):
                yield _replace(sentence, token, "")


@planter("unknown word")
def _unknown(sentence: str, tokens: list[Token]) -> Iterator[str]:
    for token in tokens:
        if len(token.written) > 5 and token.word.islower() and token.word.isalpha():
            wrong = token.written[:2] + token.written[3] + token.written[2] + token.written[4:]
            if wrong.lower() not in readings().known and wrong != token.written:
                yield _replace(sentence, token, wrong)
