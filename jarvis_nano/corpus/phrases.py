"""The pools that the schemas draw from: characters with all their forms, and noun and prepositional phrases.

Built once from the lexicon, so that writing a text is only choosing and joining. A definite article that contracts
is written "le~", "les~": « de le~loup » is to become « du loup », « de le voir » is not.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from . import lexicon
from .lexicon import (
    FEMALE_NAMES,
    MALE_NAMES,
    NUMBERS,
    PLURAL,
    SINGULAR,
    Adjective,
    F,
    M,
    Noun,
    adjective,
    adjectives,
    noun,
    nouns,
    suitable,
    words,
)
from .morphology import gerund, noun_phrase, pronoun

_SMALL = [adjective(a) for a in ("petit", "grand", "beau", "vieux", "joli")]
POSSESSIVES = ("mon", "ton", "son", "notre", "votre", "leur")


class Entity:
    """A character or thing of one text, with its forms ready: le, un, il, lui, cod, dat, possessed."""

    __slots__ = ("agreement", "ce", "cod", "dat", "il", "le", "lemma", "lui", "possessed", "un", "voc")

    def __init__(
        self, gender: str, number: str, le: str, un: tuple[str, ...] = (), possessed: tuple[str, ...] = (),
        ce: str = "", lemma: str = "",
    ):  # fmt: skip
        self.agreement = (gender == F) + 2 * (number == PLURAL)  # index into (ms, fs, mp, fp)
        self.le, self.un, self.possessed = le, un, possessed
        self.il = pronoun(gender, number)
        self.lui = pronoun(gender, number, "tonique")
        self.cod = pronoun(gender, number, "objet")
        self.dat = "lui" if number == SINGULAR else "leur"
        self.ce, self.lemma = ce, lemma
        self.voc = le if le[0].isupper() else ("mon ami", "mon amie", "mes amis", "mes amies")[self.agreement]

    @classmethod
    def both(cls, one: Entity, other: Entity) -> Entity:
        """Two characters together: masculine unless both are feminine."""
        feminine = one.agreement % 2 and other.agreement % 2
        first = one.le.replace(" et ", ", ")  # Paul, Marie et le chat
        return cls(F if feminine else M, PLURAL, f"{first} et {other.le.replace('~', ' ')}")


def marked(phrase: str) -> str:
    """A definite phrase with the mark that lets its article contract."""
    head, _, rest = phrase.partition(" ")
    return f"{head}~{rest}" if head in ("le", "les") else phrase


def the(n: Noun, number: str = SINGULAR, *adjs: Adjective) -> str:
    return marked(noun_phrase(n, "le", number, adjs))


def _thing(n: Noun, extra: Iterable[Adjective], first: tuple[Adjective, ...] = (), number: str = SINGULAR) -> Entity:
    un = tuple(noun_phrase(n, "un", number, (*first, a)) for a in extra)
    possessed = tuple(noun_phrase(n, p, number, first) for p in POSSESSIVES)
    return Entity(
        n.gender, number, the(n, number, *first), un, possessed, noun_phrase(n, "ce", number, first), n.singular
    )


def _named(name: str, gender: str) -> Entity:
    child = noun("garçon" if gender == M else "fillette")
    called = "nommé" if gender == M else "nommée"
    un = tuple(f"{noun_phrase(child, 'un', SINGULAR, (a,))} {called} {name}" for a in adjectives("trait"))
    return Entity(gender, SINGULAR, name, un)


def _pairs() -> list[Entity]:
    """Plural characters: « les deux souris », « Paul et Marie »."""
    found = []
    for n in (*nouns("animal"), noun("frère"), noun("sœur"), noun("ami"), noun("amie"), noun("enfant")):
        for count in NUMBERS[:3]:
            un = tuple(noun_phrase(n, count, PLURAL, (a,)) for a in adjectives("trait"))
            found.append(Entity(n.gender, PLURAL, f"les~{count} {n.plural}", un))
    for boy, girl in zip(MALE_NAMES, FEMALE_NAMES, strict=True):
        for first, second, gender in ((boy, girl, M), (girl, boy, M)):
            un = tuple(
                f"{noun_phrase(noun('enfant'), 'deux', PLURAL, (a,))} nommés {first} et {second}"
                for a in adjectives("trait")
            )
            found.append(Entity(gender, PLURAL, f"{first} et {second}", un))
    return found


_DISHES = {
    "tarte gâteau galette": ("aux {}", "abricot citron pomme poire cerise fraise orange noix noisette prune"),
    "confiture salade": ("de {}", "abricot citron pomme poire cerise fraise orange melon tomate prune"),
    "soupe": ("de {}", "champignon haricot oignon carotte tomate"),
}


def _dishes() -> list[Entity]:
    """Dishes: une tarte aux pommes, une soupe de carottes."""
    found = []
    for lemmas, (pattern, made_of) in _DISHES.items():
        for n in map(noun, lemmas.split()):
            ends = [pattern.format(noun(food).plural) for food in made_of.split()]
            un = tuple(f"{noun_phrase(n, 'un', SINGULAR, a)} {end}" for end in ends for a in ((), (adjective("bon"),)))
            found.append(Entity(n.gender, SINGULAR, the(n), un))
    return found


@cache
def entities(kind: str) -> tuple[Entity, ...]:
    """The characters or things of a kind: animal, person, name, pair, object, dish; family, teller of a diary."""
    traits = adjectives("trait")
    if kind in ("animal", "person"):
        sizes = [adjective(a) for a in ("petit", "vieux", "jeune", "gros" if kind == "animal" else "grand")]
        plain = [_thing(n, traits) for n in nouns(kind)]
        return tuple(
            plain * 2 + [_thing(n, traits, (a,)) for n in nouns(kind) for a in sizes if n.singular != "vieillard"]
        )
    if kind == "name":
        return tuple([_named(n, M) for n in MALE_NAMES] + [_named(n, F) for n in FEMALE_NAMES])
    if kind == "pair":
        return tuple(_pairs())
    if kind == "family":  # of the one who tells: « mon oncle »
        found = [(n, noun_phrase(n, "mon")) for n in nouns("family")]
        return tuple(Entity(n.gender, SINGULAR, mine) for n, mine in found)
    if kind == "teller":
        return (Entity(M, SINGULAR, "moi"), Entity(F, SINGULAR, "moi"))
    if kind == "dish":
        return tuple(_dishes())
    return tuple(_thing(n, suitable(kind)) for n in nouns(kind))


class Place:
    """Where a text happens: dans la forêt, dans une forêt sombre, vers la forêt, la forêt."""

    __slots__ = ("agreement", "le", "out", "to", "un", "where", "where_un")

    def __init__(self, n: Noun):
        preposition = {"room": "dans", "ground": "sur", "water": "au bord de"}[n.kind]
        suits = suitable(n.kind)
        self.agreement = int(n.gender == F)
        self.le = the(n)
        self.where = (f"{preposition} {self.le}",)
        self.un = tuple(noun_phrase(n, "un", SINGULAR, (a,)) for a in (*suits, *_SMALL))
        self.where_un = tuple(f"{preposition} {phrase}" for phrase in self.un)
        self.to = tuple(f"{p} {self.le}" for p in ("vers", "jusqu'à", "vers" if n.kind == "ground" else "à"))
        self.out = f"de {self.le}"


@cache
def places() -> tuple[Place, ...]:
    return tuple(Place(n) for n in nouns("room", "ground", "water"))


# -- noun phrases as strings -----------------------------------------------------------------------------------------


def _described(found: Iterable[Noun], determiner: str, number: str = SINGULAR) -> list[str]:
    """Each noun bare, with each adjective that suits it, and with a few adjectives before it."""
    phrases = []
    for n in found:
        plain = noun_phrase(n, determiner, number)
        phrases += [plain, plain, plain]
        phrases += [noun_phrase(n, determiner, number, (a,)) for a in (*suitable(n.kind), *_SMALL)]
    return [marked(p) for p in phrases] if determiner == "le" else phrases


def _countable() -> list[str]:
    """Countable food: une pomme rouge, trois poires, des cerises mûres."""
    found = nouns("food")
    numbers = [noun_phrase(n, count, PLURAL) for n in found for count in NUMBERS[:5]]
    return _described(found, "un") + _described(found, "un", PLURAL) + numbers


def _partitive(kind: str) -> list[str]:
    """Food and drink that is not counted: du pain, de l'eau fraîche."""
    return [noun_phrase(n, "du", SINGULAR, adjs) for n in nouns(kind) for adjs in ((), *((a,) for a in suitable(kind)))]


def _near() -> list[str]:
    """Beside something: près du vieux chêne, derrière la fontaine."""
    prepositions = ("près de", "derrière", "devant", "à côté de", "non loin de")
    found = nouns("landmark")
    phrases = [the(n, SINGULAR, *adjs) for n in found for adjs in ((), (adjective("vieux"),), (adjective("grand"),))]
    return [f"{p} {phrase}" for p in prepositions for phrase in phrases]


def _towards() -> list[str]:
    """Where one goes: au village, à la rivière, vers la colline."""
    found = nouns("room", "ground", "water")
    return [f"{p} {the(n)}" for p in ("à", "vers", "jusqu'à") for n in found]


def _belongings() -> list[str]:
    """Something that belongs to someone: le chapeau du boulanger, la clé de Marie."""
    owners = [the(n) for n in nouns("person")] + list(MALE_NAMES + FEMALE_NAMES)
    return [f"{the(n)} de {owner}" for n in nouns("object") for owner in owners]


def _some(kind: str, lemmas: str) -> list[str]:
    """Several of the named things, in the plural: de vieux gâteaux, trois tartes."""
    found = [n for n in nouns(kind) if n.singular in lemmas.split()]
    return _described(found, "un", PLURAL) + [noun_phrase(n, c, PLURAL) for n in found for c in NUMBERS[:6]]


def _obstacles() -> list[str]:
    """What stops a hero: la rivière était trop profonde, le pont était cassé."""
    facts = {
        "water": "profond froid large", "ground": "étroit désert sombre long",
        "room": "sombre profond silencieux étroit", "landmark": "haut lourd solide vieux",
    }  # fmt: skip
    phrases = []
    for kind, adjs in facts.items():
        for n in nouns(kind):
            for a in adjs.split():
                phrases += [
                    f"{the(n)} était {much}{adjective(a).form(n.gender, SINGULAR)}" for much in ("trop ", "très ")
                ]
    return phrases


def _bodies() -> list[str]:
    """Parts of the body: une longue queue, de grandes oreilles, des yeux noirs."""
    single = [noun(w) for w in ("queue", "tête", "nez", "museau", "dos", "voix")]
    double = [noun(w) for w in ("oreille", "patte", "œil")]
    before = [adjective(a) for a in ("petit", "grand", "long", "joli", "gros", "beau")]
    after = [adjective(a) for a in ("noir", "brun", "gris", "blanc", "rond", "étrange", "doré")]
    return [
        noun_phrase(n, "un", number, (a,))
        for found, number in ((single, SINGULAR), (double, PLURAL)) for n in found for a in before + after
        if n.singular != "voix" or a.ms in ("petit", "grand", "joli", "gros", "beau", "étrange")
    ]  # fmt: skip


def _gerunds() -> list[str]:
    """After « en »: chantant, mangeant une pomme, parlant de la forêt."""
    simple = [gerund(w) for w in ("chanter", "rire", "danser", "courir", "sourire", "sauter")]
    animals = [marked(noun_phrase(n, "un")) for n in nouns("animal")]
    return [
        *simple, *(f"parlant de {the(n)}" for n in nouns("animal", "person")), *(f"regardant {a}" for a in animals),
        *(f"mangeant {noun_phrase(n, 'un')}" for n in nouns("food")),
        *(f"chantant {w}" for w in ("une chanson", "avec joie", "doucement")),
    ]  # fmt: skip


# Phrases that are listed, not built: one a line, or separated by bars.
_LISTED = {
    "très": "très|très|si|vraiment|plutôt|assez",
    "enfin": "enfin|à la fin|le lendemain|peu après|le soir|après une heure|après deux jours|un peu plus tard",
    "le soir": "le soir|ce soir-là|à la nuit|le lendemain|à la fin du jour|après le voyage|après le repas",
    "le lendemain": "le lendemain|peu après|quelques jours plus tard|un peu plus tard|ce soir-là",
    "matin": "au petit matin|tôt le matin|avant le jour|à midi|dans la nuit|avec joie|en silence",
    "moment": "ce matin|ce soir|aujourd'hui|cet après-midi|à midi",
    "doucement": "doucement|lentement|gaiement|tristement|calmement|poliment|longtemps|joyeusement|gentiment",
    "d'abord": "d'abord|ensuite|puis|après|enfin|pour finir",
    "temps": "beau|froid|chaud|doux|gris|très froid|très chaud|très beau",
    "saison": "au printemps|en été|en automne|en hiver|quand il neige|quand il pleut|quand il fait froid",
    "ciel froid": "le vent était froid|la pluie tombait|la neige tombait|l'orage grondait|la nuit tombait",
    "ciel faisait": "le soleil brillait|le vent soufflait|la neige tombait|la pluie tombait|l'orage grondait",
    "ciel brille": "le soleil brille|la lune brille|le vent souffle|la neige tombe|l'orage gronde|les étoiles brillent",
    "ciel bruit": "le vent|la pluie|l'orage|les~oiseaux|la mer|la rivière|les~grenouilles|la chouette|le~coq",
    "coupe": "coupe|lave|prend|mélange|prépare|verse|ajoute",
    "verser": "verser|ajouter|mettre|prendre|mélanger",
    "cueille": "cueille|ramasse|cherche|mange|prépare|goûte",
    "dort": "dort|chante|joue|court|saute|se cache|se repose|mange|pleure",
}


def _listed_pools() -> dict[str, tuple[str, ...]]:
    pools = {name: tuple(text.split("|")) for name, text in _LISTED.items()}
    return pools | {
        "un jour": lexicon.PAST_OPENERS, "autrefois": lexicon.TALE_OPENERS, "soudain": lexicon.SUDDEN_OPENERS,
        "habitude": lexicon.HABIT_OPENERS[:-2], "souvent": lexicon.HABIT_OPENERS, "récemment": lexicon.RECENT_OPENERS,
        "demain": lexicon.NEXT_OPENERS, "nombre": NUMBERS,
    }  # fmt: skip


@cache
def pool(name: str) -> tuple[str, ...]:
    """The phrases of a named pool; KeyError names the pool that does not exist."""
    objects, containers = (
        nouns("object"),
        [noun(w) for w in words("panier coffre sac seau valise boîte bourse charrette")],
    )
    builders = {
        "un objet": lambda: _described(objects, "un"),
        "le objet": lambda: _described(objects, "le"),
        "ce objet": lambda: _described(objects, "ce"),
        "des objets": lambda: (
            _described(objects, "un", PLURAL)
            + [
                noun_phrase(n, count, PLURAL, (a,))
                for n in objects
                for count in NUMBERS[:4]
                for a in adjectives("color")
            ]
        ),
        "chose de": _belongings,
        "un animal": lambda: _described(nouns("animal"), "un"),
        "des animaux": lambda: _described(nouns("animal"), "un", PLURAL),
        "le animal": lambda: _described(nouns("animal"), "le"),
        "une personne": lambda: _described(nouns("person"), "un"),
        "la personne": lambda: [the(n) for n in nouns("person")] * 2 + list(MALE_NAMES + FEMALE_NAMES),
        "un contenant": lambda: _described(containers, "un"),
        "ce contenant": lambda: _described(containers, "ce"),
        "aliment": _countable,
        "un aliment": lambda: _described(nouns("food"), "un"),
        "boisson": lambda: _partitive("drink"),
        "masse": lambda: _partitive("mass"),
        "des plantes": lambda: _described(nouns("plant"), "un", PLURAL),
        "ingrédients": lambda: [noun_phrase(n, count, PLURAL) for n in nouns("food") for count in NUMBERS[:9]],
        "lieu": lambda: [phrase for place in places() for phrase in place.where * 6 + place.where_un],
        "lieu le": lambda: [phrase for place in places() for phrase in place.where],
        "près": _near,
        "vers": lambda: [phrase for place in places() for phrase in place.to],
        "un lieu": lambda: _described(nouns("room", "ground", "water"), "un"),
        "le lieu": lambda: _described(nouns("room", "ground", "water"), "le"),
        "un lieu dans": lambda: _described(nouns("room"), "un"),
        "ciel": lambda: [the(n) for n in nouns("sky") if n.singular not in ("ombre", "brouillard")],
        "eau": lambda: [the(n, SINGULAR, *a) for n in nouns("water") for a in ((), (adjective("grand"),))],
        "un livre": lambda: _described([noun(w) for w in words("livre lettre histoire message")], "un"),
        "une histoire": lambda: [
            f"{noun_phrase(noun('histoire'), 'un', SINGULAR, a)} de {n.singular}"
            for n in nouns("person", "animal")
            for a in ((), (adjective("long"),), (adjective("beau"),))
        ],
        "vêtement": lambda: words("manteau chapeau bonnet foulard habit robe chaussures écharpe couverture lampe"),
        "pommes": lambda: [n.plural for n in nouns("food")],
        "sel": lambda: [n.singular for n in nouns("mass")],
        "le sucre": lambda: [the(n) for n in nouns("mass")],
        "masse simple": lambda: [noun_phrase(n, "du") for n in nouns("mass", "drink")],
        "un être": lambda: [
            noun_phrase(noun("animal"), "un", SINGULAR, (a, b)) for a in _SMALL for b in suitable("animal")
        ],
        "un récipient": lambda: _described(nouns("vessel"), "un"),
        "croissant": lambda: _some("food", "gâteau biscuit croissant tarte crêpe galette") + _partitive("mass")[:6],
        "des poissons": lambda: _some("animal", "poisson crabe"),
        "des bêtes": lambda: _some("animal", "âne cheval mouton canard cochon agneau poule vache chèvre oie brebis"),
        "barque": lambda: _described([noun(w) for w in words("barque charrette vélo horloge chaise cloche")], "un"),
        "lettre": lambda: _described([noun(w) for w in words("lettre carte livre cadeau photo")], "un"),
        "habit": lambda: _some("object", "manteau chapeau bonnet foulard habit robe écharpe gant"),
        "instrument": lambda: [the(noun(w)) for w in words("tambour violon flûte guitare cloche")],
        "une chanson": lambda: (
            _described([noun("chanson")], "un") + ["une chanson de " + the(n) for n in nouns("person")]
        ),
        "arbre": lambda: _described([noun(w) for w in words("arbre chêne sapin pommier olivier buisson")], "un"),
        "à ouvrir": lambda: _described([noun(w) for w in words("porte barrière coffre valise boîte")], "le"),
        "obstacle": _obstacles,
        "corps": _bodies,
        "gérondif": _gerunds,
    }
    listed = _listed_pools()
    return listed[name] if name in listed else tuple(builders[name]())
