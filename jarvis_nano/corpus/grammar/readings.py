"""What each written form can be: the lexicon turned round, and the tokens of a sentence.

Built once, on first use, from lexicon.py and morphology.py; the parser asks only these tables.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

from jarvis_nano.corpus import lexicon
from jarvis_nano.corpus.lexicon import ADJECTIVES, FEMALE_NAMES, MALE_NAMES, NOUNS, PLURAL, SINGULAR, VERBS, F, M, words
from jarvis_nano.corpus.morphology import IMPERATIVE, TENSES, forms, gerund, participle


class Token(NamedTuple):
    """A word or a mark: as read by the parser (lower case, elisions spelled out), as written, and where."""

    word: str
    written: str
    start: int


@dataclass(slots=True)
class Readings:
    """Form -> what it can be. Agreement is a pair (gender, number)."""

    nouns: dict[str, list[tuple[str, str, str]]] = field(default_factory=dict)  # gender, number, kind
    adjectives: dict[str, list[tuple[str, str, bool]]] = field(default_factory=dict)  # gender, number, before
    verbs: dict[str, list[tuple[str, str, int]]] = field(default_factory=dict)  # infinitive, tense, person
    imperatives: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    participles: dict[str, list[tuple[str, str, str]]] = field(default_factory=dict)  # infinitive, gender, number
    gerunds: dict[str, list[str]] = field(default_factory=dict)
    infinitives: frozenset[str] = frozenset()
    names: dict[str, str] = field(default_factory=dict)  # lower case -> gender
    frames: dict[tuple[str, bool], frozenset[str]] = field(default_factory=dict)  # (infinitive, reflexive)
    auxiliary: dict[str, str] = field(default_factory=dict)
    fixed: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)  # first word -> adverbial phrases
    known: frozenset[str] = frozenset()


IMPERSONAL = {
    "faut": "falloir", "fallait": "falloir", "fallut": "falloir", "faudra": "falloir", "faudrait": "falloir",
    "pleut": "pleuvoir", "pleuvait": "pleuvoir", "pleuvra": "pleuvoir", "neige": "neiger", "neigeait": "neiger",
}  # fmt: skip
# bel, vieil, nouvel: only before a vowel; beau, vieux, nouveau: not before one
BEFORE_VOWEL = {a.before_vowel: a.ms for a in ADJECTIVES if a.before_vowel}
NOT_BEFORE_VOWEL = {a.ms: a.before_vowel for a in ADJECTIVES if a.before_vowel}
# After « avoir », without an article: avoir faim; the second set goes on with « de ».
BARE_AFTER_AVOIR = frozenset(words("faim soif froid chaud peur sommeil raison tort mal"))
BARE_THEN_DE = frozenset(words("peur besoin envie"))
WEATHER = frozenset(words("beau froid chaud doux gris sombre frais nuit jour mauvais bon"))
ADVERBS = frozenset(
    (
        *lexicon.MANNER_ADVERBS, *lexicon.FREQUENCY_ADVERBS, *words(
            """
            aussi encore déjà bientôt demain hier aujourd'hui ici là partout dehors loin enfin alors ensuite puis
            gentiment tôt tard maintenant après avant d'abord soudain aussitôt ensemble fort mieux toujours volontiers
            """
        )
    )
)  # fmt: skip
DEGREES = frozenset((*lexicon.DEGREE_ADVERBS, *words("bien toujours aussi encore presque enfin plus moins")))
EXTRA_ADVERBIALS = (
    "peu après", "le soir", "après une heure", "après deux jours", "un peu plus tard", "à la nuit", "à la fin du jour",
    "après le voyage", "après le repas", "au petit matin", "tôt le matin", "avant le jour", "à midi", "dans la nuit",
    "avec joie", "en silence", "ce soir", "aujourd'hui", "cet après-midi", "sans doute", "depuis ce jour", "en chemin",
    "malheureusement", "pour finir", "tout de suite", "à la maison", "grâce à cela", "peut-être", "au marché", "en été",
    "la nuit", "toute la nuit", "toute la journée", "tout le jour", "sans danger", "heureusement", "depuis longtemps",
    "d'abord", "ensuite", "puis", "alors", "ainsi", "après", "enfin", "à demain", "au secours", "en ville", "bien sûr",
    "en retard", "en colère", "tout à l'heure", "à la fin de la journée", "le jour", "la nuit", "le matin", "en paix",
)  # fmt: skip


def _add(table: dict, key: str, value: object) -> None:
    if value not in table.setdefault(key, []):
        table[key].append(value)


def _read_verbs(r: Readings) -> None:
    for v in VERBS:
        r.frames[v.infinitive, v.reflexive] = v.frames
        if not v.reflexive:
            r.auxiliary[v.infinitive] = v.auxiliary
        if v.infinitive == "falloir":
            continue
        for tense in TENSES:
            for person, form in enumerate(forms(v.infinitive, tense), 1):
                _add(r.verbs, form, (v.infinitive, tense, person))
        for person, form in zip((2, 4, 5), forms(v.infinitive, IMPERATIVE), strict=True):
            _add(r.imperatives, form, (v.infinitive, person))
        for gender in (M, F):
            for number in (SINGULAR, PLURAL):
                _add(r.participles, participle(v, gender, number), (v.infinitive, gender, number))
        _add(r.gerunds, gerund(v), v.infinitive)
    r.infinitives = frozenset(v.infinitive for v in VERBS)


@cache
def readings() -> Readings:
    r = Readings()
    for n in NOUNS:
        for number in (SINGULAR, PLURAL):
            _add(r.nouns, n.form(number), (n.gender, number, n.kind))
    for a in ADJECTIVES:
        for gender in (M, F):
            for number in (SINGULAR, PLURAL):
                _add(r.adjectives, a.form(gender, number), (gender, number, a.before))
        if a.before_vowel:
            _add(r.adjectives, a.before_vowel, (M, SINGULAR, True))
    r.names = {name.lower(): M for name in MALE_NAMES} | {name.lower(): F for name in FEMALE_NAMES}
    _read_verbs(r)
    openers = (
        lexicon.PAST_OPENERS, lexicon.TALE_OPENERS, lexicon.SUDDEN_OPENERS, lexicon.HABIT_OPENERS,
        lexicon.RECENT_OPENERS, lexicon.NEXT_OPENERS, lexicon.SEQUENCE_OPENERS, EXTRA_ADVERBIALS,
    )  # fmt: skip
    for phrase in {phrase for group in openers for phrase in group if not phrase.startswith("quand ")}:
        phrase_words = tuple(token.word for token in tokenize(phrase, r))
        _add(r.fixed, phrase_words[0], phrase_words)
    for options in r.fixed.values():
        options.sort(key=len, reverse=True)
    r.known = _known_words(r)
    return r


_GRAMMAR_WORDS = frozenset(
    words(
        """
        le la l' les un une des du de au aux à ce cet cette ces mon ma mes ton ta tes son sa ses notre nos votre vos
        leur leurs quel quelle quels quelles chaque plusieurs quelques aucun aucune tout toute tous toutes je tu il
        elle on nous vous ils elles me te se lui y en moi toi eux qui que où quoi ne pas plus jamais rien guère
        personne quelque quelqu'un cela ça et ou mais car donc puis alors si quand comme lorsque puisque parce pendant
        dès est-ce combien comment pourquoi dans sur sous devant derrière vers chez avec sans pour par après avant
        depuis entre contre jusque grâce près loin non côté bord milieu autour fond face bout cause au-dessus
        au-dessous voici voilà fois peu moins aussi plein tant presque oui merci bonjour bonsoir salut bravo attention
        hélas revoir secours chance plaisir journée debout ans besoin envie ni ainsi nommé nommée nommés nommées
        là-bas d'abord d'accord aujourd'hui
        """
    )
)


def _known_words(r: Readings) -> frozenset[str]:
    """Every word that the parser can read, to name an unknown one at once."""
    tables = (r.nouns, r.adjectives, r.verbs, r.imperatives, r.participles, r.gerunds)
    known = set().union(*tables) | r.infinitives | ADVERBS | DEGREES | WEATHER | set(IMPERSONAL)
    known |= {word for options in r.fixed.values() for phrase in options for word in phrase}
    return frozenset(known | BARE_AFTER_AVOIR | BARE_THEN_DE | _GRAMMAR_WORDS | _WHOLE | set(lexicon.NUMBERS))


# -- tokens ----------------------------------------------------------------------------------------------------------

_WHOLE = frozenset(
    words(
        """
        après-midi jour-là matin-là soir-là nuit-là peut-être là-bas arc-en-ciel arcs-en-ciel grand-père grand-mère
        grands-pères grands-mères moment-là temps-là est-ce
        """
    )
)
_TOKEN = re.compile(
    r"aujourd'hui|quelqu'un|d'abord|d'accord|[^\W\d_]+(?:-[^\W\d_]+)*'?|\d+|[«».,;:!?…]|\S", re.IGNORECASE
)
_ENCLITIC = re.compile(r"(-t)?-(je|tu|il|elle|on|nous|vous|ils|elles|moi|toi|le|la|les|lui|leur|y|en)$")
ELISIONS = {
    "j'": "je", "m'": "me", "t'": "te", "s'": "se", "n'": "ne", "c'": "ce", "qu'": "que", "d'": "de", "l'": "l'",
    "lorsqu'": "lorsque", "puisqu'": "puisque", "jusqu'": "jusque",
}  # fmt: skip


def tokenize(sentence: str, r: Readings | None = None) -> list[Token]:
    """Words and marks; « vas-tu » gives « vas », « -tu »; « d'un » gives « de », « un »; names keep their capital."""
    names = (r or readings()).names
    tokens: list[Token] = []
    for match in _TOKEN.finditer(sentence):
        written, start = match.group(), match.start()
        lower = written.lower()
        if written[0].isupper() and lower in names:
            tokens.append(Token(written, written, start))
            continue
        enclitic = _ENCLITIC.search(lower) if "-" in lower and lower not in _WHOLE else None
        if enclitic:
            head = lower[: enclitic.start()]
            tokens.append(Token(head, written[: len(head)], start))
            tokens.append(Token(enclitic.group(), enclitic.group(), start + len(head)))
        elif lower == "s'" and re.match(r"ils?\b", sentence[match.end() :]):
            tokens.append(Token("si", written, start))
        else:
            tokens.append(Token(ELISIONS.get(lower, lower), written, start))
    return tokens
