"""Compiles the schema lines of tales.py and scenes.py, and joins words: elision, contraction, capitals.

A line becomes a list of constants and small functions of the cast, so that writing a text is calling and joining.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from . import scenes, tales
from .lexicon import PLURAL, SINGULAR, SUITABLE, Adjective, F, M, adjective, adjectives, suitable, verb
from .morphology import (
    CONDITIONAL,
    FUTURE,
    IMPERFECT,
    PAST,
    PRESENT,
    REFLEXIVES,
    SUBJECTS,
    compound,
    elide,
    participle,
    pronoun,
    simple,
)
from .phrases import Entity, Place, pool

Piece = str | Callable[["Cast"], str]
Act = tuple[Callable[["Cast"], str], tuple[Piece, ...]]

_TENSES = {"p": PRESENT, "i": IMPERFECT, "s": PAST, "f": FUTURE, "k": CONDITIONAL}
_PERSONS = {"je": (1, 4), "tu": (2, 5)}  # singular, plural; third person otherwise
_FORMS = ((M, SINGULAR), (F, SINGULAR), (M, PLURAL), (F, PLURAL))


class Cast:
    """Who and what one text is about, and its source of chance."""

    __slots__ = ("a", "b", "chance", "d", "f", "h", "l", "m", "o", "p", "q", "r", "t", "v")
    a: Entity
    b: Entity
    d: Entity
    f: Entity
    h: Entity
    l: Place  # noqa: E741
    m: Entity
    o: Entity
    p: Entity
    q: Place
    r: Entity
    t: Entity
    v: Entity

    def __init__(self, chance: Callable[[], float]):
        self.chance = chance


# -- compiling schemas -----------------------------------------------------------------------------------------------


def _chooser(items: tuple[str, ...]) -> Callable[[Cast], str]:
    count = len(items)
    return lambda cast: items[int(cast.chance() * count)]


def _agreeing(who: str, forms: tuple[str, ...]) -> Callable[[Cast], str]:
    """A word in four forms (ms, fs, mp, fp) that agrees with a character."""
    return lambda cast: forms[getattr(cast, who).agreement]


def _agreeing_choice(who: str, items: list[tuple[str, ...]]) -> Callable[[Cast], str]:
    count = len(items)
    return lambda cast: items[int(cast.chance() * count)][getattr(cast, who).agreement]


def _verb_forms(infinitive: str, tense: str, persons: tuple[int, int], negation: str) -> tuple[str, ...]:
    """The verb, with ne and its reflexive pronoun, for ms fs mp fp subjects in the singular or plural person."""
    v = verb(infinitive)
    out = []
    for gender, number in _FORMS:
        person = persons[number == PLURAL]
        if tense in "cq":
            out.append(compound(v, person, gender, PRESENT if tense == "c" else IMPERFECT, negation=negation))
        else:
            out.append(simple(v, _TENSES[tense], person, negation=negation))
    return tuple(out)


def inverted(infinitive: str, tense: str, person: int, gender: str = M) -> str:
    """Verb and subject turned round: « vas-tu », « demande-t-elle », « te caches-tu »."""
    v = verb(infinitive)
    form = simple(v, tense, person)
    number = SINGULAR if person < 4 else PLURAL
    word = pronoun(gender, number) if person in (3, 6) else SUBJECTS[person]
    return f"{form}-t-{word}" if person == 3 and form[-1] in "aec" else f"{form}-{word}"


def _verb_slot(who: str, role: str, words: str) -> Callable[[Cast], str]:
    """« h partir.s », « h.je voir.c !pas », « h.q aller.p », « h.inv dire.s »."""
    match = re.fullmatch(r"(.+)\.(\w)(?: !(\w+))?", words)
    assert match, f"a verb slot reads « infinitive.tense », not {words!r}"
    infinitive, tense, negation = match.group(1), match.group(2), match.group(3) or ""
    if role in ("q", "inv"):
        persons = (2, 5) if role == "q" else (3, 6)
        return _agreeing(who, tuple(inverted(infinitive, _TENSES[tense], persons[n == PLURAL], g) for g, n in _FORMS))
    persons = _PERSONS.get(role, (3, 6))
    forms = _verb_forms(infinitive, tense, persons, negation)
    return _agreeing(who, _with_pronoun(forms, role))


def _with_pronoun(forms: tuple[str, ...], role: str) -> tuple[str, ...]:
    pronouns = {"je": ("je", "je", "nous", "nous"), "tu": ("tu", "tu", "vous", "vous")}.get(role)
    return tuple(elide(p, f) for p, f in zip(pronouns, forms, strict=True)) if pronouns else forms


def _actions(who: str, role: str, lines: list[str], tense: str, negation: str) -> tuple[Act, ...]:
    """Each action line as its verb, inflected, and what follows it."""
    choices = []
    for line in lines:
        match = re.match(r"(s'|se )?\S+", line)
        assert match
        head, rest = match.group(0), compile_schema(line[match.end() :])
        if tense in ("", "n"):
            if not tense and match.group(1):
                continue  # « me promener » or « te promener »: only a slot with a subject knows
            choices.append((_infinitive(who, role, head), rest))
        else:
            choices.append((_verb_slot(who, role, f"{head}.{tense}" + (f" !{negation}" if negation else "")), rest))
    return tuple(choices)


def _infinitive(who: str, role: str, head: str) -> Callable[[Cast], str]:
    """An infinitive; of a pronominal verb with the pronoun of its subject: « me promener »."""
    v = verb(head)
    if not v.reflexive:
        return _constant(head)
    persons = _PERSONS.get(role, (3, 6))
    return _agreeing(who, tuple(elide(REFLEXIVES[persons[n == PLURAL]], v.infinitive) for _, n in _FORMS))


def _action_slot(who: str, role: str, name: str, tense: str, negation: str) -> Callable[[Cast], str]:
    """A random action of tales.ACTIONS in a tense, agreed, or in the infinitive (tense "" or "n")."""
    if name == "trade":
        return _trade_slot(who, tense)
    choices = _actions(who, role, tales.ACTIONS[name].strip().splitlines(), tense, negation)
    count = len(choices)

    def act(cast: Cast) -> str:
        head, rest = choices[int(cast.chance() * count)]
        return head(cast) + render(rest, cast)

    return act


def _trade_slot(who: str, tense: str) -> Callable[[Cast], str]:
    """What the character does by trade."""
    trades: dict[str, tuple[Act, ...]] = {}
    for names, lines in scenes.TRADES.items():
        trades |= dict.fromkeys(names.split(), _actions(who, "", lines.split("|"), tense, ""))

    def act(cast: Cast) -> str:
        choices = trades[getattr(cast, who).lemma]
        head, rest = choices[int(cast.chance() * len(choices))]
        return head(cast) + render(rest, cast)

    return act


def _use_slot(who: str) -> Callable[[Cast], str]:
    """What the thing is for, in the infinitive."""
    uses = {name: compile_schema(line) for name, line in scenes.USES.items()}
    return lambda cast: render(uses[getattr(cast, who).lemma], cast)


def _constant(text: str) -> Callable[[Cast], str]:
    return lambda cast: text


def _adjective_slot(who: str, word: str) -> Callable[[Cast], str]:
    """« h=triste » or « h=:mood »."""
    if not word.startswith(":"):
        one = adjective(word)
        return _agreeing(who, (one.ms, one.fs, one.mp, one.fp))
    kind = word[1:]
    if kind == "trait trait":
        traits = adjectives("trait")
        return _agreeing_choice(who, [_and(a, b) for a in traits for b in traits if a is not b])
    found = suitable(kind) if kind in SUITABLE else adjectives(kind)
    return _agreeing_choice(who, [(a.ms, a.fs, a.mp, a.fp) for a in found])


def _and(a: Adjective, b: Adjective) -> tuple[str, ...]:
    return tuple(f"{a.form(g, n)} et {b.form(g, n)}" for g, n in _FORMS)


def _possession(who: str, owner: str, thing: str) -> Callable[[Cast], str]:
    base = ("mon", "ton", "son").index(owner)
    return lambda cast: getattr(cast, thing).possessed[base + 3 * (getattr(cast, who).agreement > 1)]


def _attribute(who: str, name: str) -> Callable[[Cast], str]:
    if name == "use":
        return _use_slot(who)
    if name == "someone":
        return _agreeing(who, ("un homme", "une femme", "des hommes", "des femmes"))
    if name in ("un", "to", "where", "where_un"):

        def introduce(cast: Cast) -> str:
            items = getattr(getattr(cast, who), name)
            return items[int(cast.chance() * len(items))]

        return introduce
    return lambda cast: getattr(getattr(cast, who), name)


def _answer(name: str) -> Callable[[Cast], str]:
    """One of the answers that fit the question before it."""
    answers = [compile_schema(line) for line in scenes.ANSWERS[name].strip().splitlines()]

    def answer(cast: Cast) -> str:
        text = render(answers[int(cast.chance() * len(answers))], cast)
        return text[0].upper() + text[1:]

    return answer


def _slot(text: str) -> Callable[[Cast], str]:
    """The function behind what stands in braces."""
    if text.isupper():
        return _answer(text)
    if text.startswith(":"):
        return _chooser(pool(text[1:]))
    if text.startswith("@"):
        return _action_slot("", "", text[1:], "", "")
    if "|" in text:
        who, *forms = text.split("|")
        return _agreeing(who, (forms[0], forms[0], forms[1], forms[1]) if len(forms) == 2 else tuple(forms))
    if "=" in text:
        return _adjective_slot(*text.split("=", 1))
    if "+" in text:
        who, infinitive = text.split("+")
        return _agreeing(who, tuple(participle(infinitive, g, n) for g, n in _FORMS))
    action = re.fullmatch(r"(\w)(?:\.(\w+))? ?@(\w+)\.(\w)(?: !(\w+))?", text)
    if action:
        who, role, name, tense, negation = action.groups()
        return _action_slot(who, role or "", name, tense, negation or "")
    owned = re.fullmatch(r"(\w)\.(mon|ton|son) (\w)", text)
    if owned:
        return _possession(*owned.groups())
    who, _, words = text.partition(" ")
    who, _, role = who.partition(".")
    return _verb_slot(who, role, words) if words else _attribute(who, role or "le")


def compile_schema(text: str) -> tuple[Piece, ...]:
    """A schema line as constants and functions of the cast."""
    parts = re.split(r"\{([^}]+)\}", text.replace(" / ", "\n"))
    return tuple(_slot(part) if i % 2 else part for i, part in enumerate(parts) if part)


def render(pieces: tuple[Piece, ...], cast: Cast) -> str:
    return "".join([p if type(p) is str else p(cast) for p in pieces])  # type: ignore[operator]


# -- joining words ---------------------------------------------------------------------------------------------------

_CONTRACT = re.compile(r"(?<![-\w])([DdÀà])(?:e)? (le|les)~")
_ELIDE = re.compile(
    r"(?<![-\w])(?:([LlMmTtSsNnDdJjCc]|[Qq]u|[Ll]orsqu|[Pp]uisqu)e|([Ll])a)[ ~]"
    r"(?=[aàâeéèêiîoôuœAÀÂEÉÈÊIÎOÔU](?!ui\b)|h(?!érisson|ibou|ache\b|aches\b|utte|aie|aricot|aut|uit\b)|y )"
)
_SI = re.compile(r"(?<![-\w])([Ss])i (?=ils? )")
_CAPITAL = re.compile(r"(^|[.!?] |« )([a-zàâéèêîôœ])", re.MULTILINE)
_CONTRACTED = {"de": ("du ", "des "), "De": ("Du ", "Des "), "à": ("au ", "aux "), "À": ("Au ", "Aux ")}


def join(text: str) -> str:
    """Contract, elide and capitalise a text written with « de le~ », « que il », small letters after full stops."""
    text = _CONTRACT.sub(lambda m: _CONTRACTED[m[1] + "e" if m[1] in "Dd" else m[1]][m[2] == "les"], text)
    text = _ELIDE.sub(lambda m: (m[1] or m[2]) + "'", text)
    text = _SI.sub(r"\1'", text).replace("~", " ")
    return _CAPITAL.sub(lambda m: m[1] + m[2].upper(), text)
