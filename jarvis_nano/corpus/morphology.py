"""French inflection and the joints between words: conjugation, agreement, articles, elision, contraction.

Pure functions on the words of lexicon.py. The sources of the rules are the Bescherelle tables and the 1990 spelling
is not used: « île », « connaître » keep their accents.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from .lexicon import PLURAL, SINGULAR, Adjective, F, M, Noun, Verb, verb

PRESENT, IMPERFECT, PAST, FUTURE = "présent", "imparfait", "passé simple", "futur"
CONDITIONAL, IMPERATIVE = "conditionnel", "impératif"
TENSES = (PRESENT, IMPERFECT, PAST, FUTURE, CONDITIONAL)
PERSONS = (1, 2, 3, 4, 5, 6)  # je tu il nous vous ils
SUBJECTS = {1: "je", 2: "tu", 3: "il", 4: "nous", 5: "vous", 6: "ils"}
REFLEXIVES = {1: "me", 2: "te", 3: "se", 4: "nous", 5: "vous", 6: "se"}

_IMPERFECT = ("ais", "ais", "ait", "ions", "iez", "aient")
_FUTURE = ("ai", "as", "a", "ons", "ez", "ont")
_PAST = {
    "a": ("ai", "as", "a", "âmes", "âtes", "èrent"),
    "i": ("is", "is", "it", "îmes", "îtes", "irent"),
    "u": ("us", "us", "ut", "ûmes", "ûtes", "urent"),
    "in": ("ins", "ins", "int", "înmes", "întes", "inrent"),
}

# infinitive: six forms of the present | stem-class of the simple past | past participle | stem of the future
_IRREGULAR = """
être: suis es est sommes êtes sont | f-u | été | ser
avoir: ai as a avons avez ont | e-u | eu | aur
aller: vais vas va allons allez vont | all-a | allé | ir
faire: fais fais fait faisons faites font | f-i | fait | fer
dire: dis dis dit disons dites disent | d-i | dit | dir
venir: viens viens vient venons venez viennent | v-in | venu | viendr
tenir: tiens tiens tient tenons tenez tiennent | t-in | tenu | tiendr
vouloir: veux veux veut voulons voulez veulent | voul-u | voulu | voudr
pouvoir: peux peux peut pouvons pouvez peuvent | p-u | pu | pourr
devoir: dois dois doit devons devez doivent | d-u | dû | devr
savoir: sais sais sait savons savez savent | s-u | su | saur
falloir: - - faut - - - | fall-u | fallu | faudr
voir: vois vois voit voyons voyez voient | v-i | vu | verr
croire: crois crois croit croyons croyez croient | cr-u | cru | croir
boire: bois bois boit buvons buvez boivent | b-u | bu | boir
prendre: prends prends prend prenons prenez prennent | pr-i | pris | prendr
mettre: mets mets met mettons mettez mettent | m-i | mis | mettr
dormir: dors dors dort dormons dormez dorment | dorm-i | dormi | dormir
partir: pars pars part partons partez partent | part-i | parti | partir
sortir: sors sors sort sortons sortez sortent | sort-i | sorti | sortir
servir: sers sers sert servons servez servent | serv-i | servi | servir
courir: cours cours court courons courez courent | cour-u | couru | courr
rire: ris ris rit rions riez rient | r-i | ri | rir
ouvrir: ouvre ouvres ouvre ouvrons ouvrez ouvrent | ouvr-i | ouvert | ouvrir
offrir: offre offres offre offrons offrez offrent | offr-i | offert | offrir
cueillir: cueille cueilles cueille cueillons cueillez cueillent | cueill-i | cueilli | cueiller
lire: lis lis lit lisons lisez lisent | l-u | lu | lir
écrire: écris écris écrit écrivons écrivez écrivent | écriv-i | écrit | écrir
peindre: peins peins peint peignons peignez peignent | peign-i | peint | peindr
suivre: suis suis suit suivons suivez suivent | suiv-i | suivi | suivr
vivre: vis vis vit vivons vivez vivent | véc-u | vécu | vivr
connaître: connais connais connaît connaissons connaissez connaissent | conn-u | connu | connaîtr
naître: nais nais naît naissons naissez naissent | naqu-i | né | naîtr
plaire: plais plais plaît plaisons plaisez plaisent | pl-u | plu | plair
construire: construis construis construit construisons construisez construisent | construis-i | construit | construir
cuire: cuis cuis cuit cuisons cuisez cuisent | cuis-i | cuit | cuir
recevoir: reçois reçois reçoit recevons recevez reçoivent | reç-u | reçu | recevr
asseoir: assieds assieds assied asseyons asseyez asseyent | ass-i | assis | assiér
fuir: fuis fuis fuit fuyons fuyez fuient | fu-i | fui | fuir
"""
_PREFIXED = {
    "apprendre": "prendre", "comprendre": "prendre", "revenir": "venir", "devenir": "venir", "souvenir": "venir",
    "promettre": "mettre", "appartenir": "tenir", "endormir": "dormir", "repartir": "partir", "sourire": "rire",
    "découvrir": "ouvrir", "enfuir": "fuir",
}  # fmt: skip
_IMPERATIVES = {
    "être": ("sois", "soyons", "soyez"), "avoir": ("aie", "ayons", "ayez"), "savoir": ("sache", "sachons", "sachez"),
    "vouloir": ("veuille", "voulons", "veuillez"),
}  # fmt: skip
_FEMININE_PARTICIPLES = {"dû": "due"}
_DOUBLING = frozenset({"appeler", "jeter"})  # « appelle », not « appèle »


@cache
def _irregular() -> dict[str, tuple[list[str], str, str, str, str]]:
    """infinitive -> (present, past stem, past class, participle, future stem)"""
    table: dict[str, tuple[list[str], str, str, str, str]] = {}
    for line in _IRREGULAR.strip().splitlines():
        infinitive, rest = line.split(": ")
        present, past, participle, future = rest.split(" | ")
        stem, _, kind = past.rpartition("-")
        table[infinitive] = (present.split(), stem, kind, participle, future)
    for infinitive, base in _PREFIXED.items():
        prefix = infinitive.removesuffix(base)
        present_forms, stem, kind, participle, future = table[base]
        prefixed = [prefix + f for f in present_forms]
        table[infinitive] = (prefixed, prefix + stem, kind, prefix + participle, prefix + future)
    return table


def _mute_stem(infinitive: str) -> str:
    """The stem of an -er verb before a mute e: achèt-, appell-, préfèr-, essai-."""
    stem = infinitive[:-2]
    if infinitive in _DOUBLING:
        return stem + stem[-1]
    if stem.endswith("y"):
        return stem[:-1] + "i"
    return re.sub(r"[eé](?=[bcdfglmnprstv]g?$)", "è", stem) if not stem.endswith(("ell", "ess")) else stem


def _before_hard(stem: str) -> str:
    """The stem of an -er verb before a or o: mange-, commenç-."""
    if stem.endswith("g"):
        return stem + "e"
    return stem[:-1] + "ç" if stem.endswith("c") else stem


def _present(infinitive: str) -> list[str]:
    if infinitive in _irregular():
        return _irregular()[infinitive][0]
    stem = infinitive[:-2]
    if infinitive.endswith("er"):
        mute = _mute_stem(infinitive)
        return [mute + "e", mute + "es", mute + "e", _before_hard(stem) + "ons", stem + "ez", mute + "ent"]
    if infinitive.endswith("re"):
        return [stem + e for e in ("s", "s", "", "ons", "ez", "ent")]
    return [infinitive[:-1] + e for e in ("s", "s", "t", "ssons", "ssez", "ssent")]


def _imperfect(infinitive: str) -> list[str]:
    if infinitive in ("être", "falloir"):
        stem = "ét" if infinitive == "être" else "fall"
        return [stem + e for e in _IMPERFECT]
    stem = _present(infinitive)[3].removesuffix("ons")
    soft = infinitive[:-2] if infinitive.endswith("er") else stem
    return [(soft if e[0] == "i" else stem) + e for e in _IMPERFECT]


def _past(infinitive: str) -> list[str]:
    if infinitive in _irregular():
        _, stem, kind, _, _ = _irregular()[infinitive]
        return [stem + e for e in _PAST[kind]]
    stem = infinitive[:-2]
    if infinitive.endswith("er"):
        return [(stem if e[0] == "è" else _before_hard(stem)) + e for e in _PAST["a"]]
    return [stem + e for e in _PAST["i"]]


def _future_stem(infinitive: str) -> str:
    if infinitive in _irregular():
        return _irregular()[infinitive][4]
    if infinitive.endswith("er"):
        stem = infinitive[:-2]
        keeps = re.search(r"é[^aeiouy]+$", stem)  # préférer -> préférera; acheter -> achètera
        return (stem if keeps else _mute_stem(infinitive)) + "er"
    return infinitive.removesuffix("e")


@cache
def forms(infinitive: str, tense: str) -> tuple[str, ...]:
    """The six forms of a tense (three for the imperative: tu, nous, vous)."""
    if tense == PRESENT:
        return tuple(_present(infinitive))
    if tense == IMPERFECT:
        return tuple(_imperfect(infinitive))
    if tense == PAST:
        return tuple(_past(infinitive))
    if tense in (FUTURE, CONDITIONAL):
        endings = _FUTURE if tense == FUTURE else _IMPERFECT
        return tuple(_future_stem(infinitive) + e for e in endings)
    if tense == IMPERATIVE:
        if infinitive in _IMPERATIVES:
            return _IMPERATIVES[infinitive]
        present = _present(infinitive)
        drops_s = present[1].endswith("es") or infinitive == "aller"
        return (present[1].removesuffix("s") if drops_s else present[1], present[3], present[4])
    raise ValueError(f"tense {tense!r}; expected one of {(*TENSES, IMPERATIVE)}")


def conjugate(v: Verb | str, tense: str, person: int) -> str:
    """The simple form for person 1 to 6 (je … ils), without pronouns: conjugate("aller", PRESENT, 6) == "vont".

    The imperative has persons 2, 4, 5 only.
    """
    infinitive = v if isinstance(v, str) else v.infinitive
    table = forms(infinitive, tense)
    return table[{2: 0, 4: 1, 5: 2}[person]] if tense == IMPERATIVE else table[person - 1]


def participle(v: Verb | str, gender: str = M, number: str = SINGULAR) -> str:
    """The past participle, agreed: participle("partir", "f", "p") == "parties"."""
    infinitive = v if isinstance(v, str) else v.infinitive
    if infinitive in _irregular():
        base = _irregular()[infinitive][3]
    elif infinitive.endswith("er"):
        base = infinitive[:-2] + "é"
    else:
        base = infinitive[:-2] + ("u" if infinitive.endswith("re") else "i")
    if gender == F:
        base = _FEMININE_PARTICIPLES.get(base, base + "e")
    return base + "s" if number == PLURAL and not base.endswith("s") else base


def gerund(v: Verb | str) -> str:
    """The present participle, as in « en chantant »."""
    infinitive = v if isinstance(v, str) else v.infinitive
    known = {"être": "étant", "avoir": "ayant", "savoir": "sachant"}
    return known.get(infinitive) or _present(infinitive)[3].removesuffix("ons") + "ant"


def compound(
    v: Verb | str, person: int, gender: str = M, tense: str = PRESENT, *, negation: str = "", adverb: str = ""
) -> str:
    """Passé composé (or plus-que-parfait with IMPERFECT), with ne and the reflexive pronoun but without the subject.

    compound("aller", 3, "f") == "est allée"; compound("se promener", 3, negation="pas") == "ne s'est pas promené".
    """
    v = verb(v) if isinstance(v, str) else v
    being = v.auxiliary == "être"
    number = PLURAL if person > 3 else SINGULAR
    words = [conjugate(v.auxiliary, tense, person)]
    past = participle(v, gender if being else M, number if being else SINGULAR)
    words += [word for word in (negation, adverb, past) if word]
    return clitics(" ".join(words), reflexive=REFLEXIVES[person] if v.reflexive else "", negated=bool(negation))


def simple(v: Verb | str, tense: str, person: int, *, negation: str = "") -> str:
    """A simple tense with ne and the reflexive pronoun: simple("se promener", PRESENT, 3) == "se promène"."""
    v = verb(v) if isinstance(v, str) else v
    words = conjugate(v, tense, person) + (f" {negation}" if negation else "")
    return clitics(words, reflexive=REFLEXIVES[person] if v.reflexive else "", negated=bool(negation))


def clitics(words: str, *, reflexive: str = "", negated: bool = False) -> str:
    """Put a pronoun and ne before a verb, elided where they must be: « ne s'est », « n'a »."""
    if reflexive:
        words = elide(reflexive, words)
    return elide("ne", words) if negated else words


# -- joints --------------------------------------------------------------------------------------------------------

_ASPIRATED = re.compile(r"h(érisson|ibou|ache|utte|aie|aricot|aut|éros|uit|ors)|on(ze|zième)\b|oui\b|y(?!eux|\b)")
_ELIDED = {
    "le": "l'", "la": "l'", "de": "d'", "que": "qu'", "je": "j'", "se": "s'", "ne": "n'", "me": "m'", "te": "t'",
    "ce": "c'", "lorsque": "lorsqu'", "puisque": "puisqu'", "jusque": "jusqu'",
    "parce que": "parce qu'", "pendant que": "pendant qu'", "est-ce que": "est-ce qu'", "plus que": "plus qu'",
}  # fmt: skip
VOWELS = frozenset("aàâeéèêëiîïoôuùûüyœæh")


def vowel_sound(word: str) -> bool:
    """True if the word makes what precedes it elide: arbre, homme, île; not hibou, haricot, onze, oui."""
    word = word.lower()
    return word[:1] in VOWELS and not _ASPIRATED.match(word)


def elide(word: str, following: str) -> str:
    """Join a word that can lose its vowel to the next: elide("le", "arbre") == "l'arbre"; « si il » is « s'il »."""
    key = word.lower()
    if key == "si" and re.match(r"ils?\b", following):
        return word[0] + "'" + following
    if key in _ELIDED and vowel_sound(following):
        return word[0] + _ELIDED[key][1:] + following
    return f"{word} {following}"


def with_preposition(preposition: str, phrase: str) -> str:
    """« de » and « à » (« près de » too) contract with le and les and elide: "de", "le lac" -> "du lac"."""
    head, _, last = preposition.rpartition(" ")
    head = head + " " if head else ""
    if last in ("de", "à"):
        singular, plural = ("du ", "des ") if last == "de" else ("au ", "aux ")
        if phrase.startswith("le "):
            return head + singular + phrase.removeprefix("le ")
        if phrase.startswith("les "):
            return head + plural + phrase.removeprefix("les ")
    if last == "de":
        # « de » absorbs the partitive and the plural indefinite: beaucoup de pain, beaucoup d'eau
        return head + elide("de", phrase)
    return f"{preposition} {phrase}"


_DETERMINERS = {
    "le": ("le", "la", "les"), "un": ("un", "une", "des"), "ce": ("ce", "cette", "ces"),
    "mon": ("mon", "ma", "mes"), "ton": ("ton", "ta", "tes"), "son": ("son", "sa", "ses"),
    "notre": ("notre", "notre", "nos"), "votre": ("votre", "votre", "vos"), "leur": ("leur", "leur", "leurs"),
    "quel": ("quel", "quelle", "quels"), "du": ("du", "de la", "des"), "chaque": ("chaque", "chaque", "chaque"),
    "aucun": ("aucun", "aucune", "aucuns"), "tout": ("tout le", "toute la", "tous les"),
}  # fmt: skip
_BEFORE_VOWEL = {"ce": "cet", "ma": "mon", "ta": "ton", "sa": "son"}


def determine(determiner: str, gender: str, number: str, following: str) -> str:
    """The determiner in its form, joined to what follows: « l'eau », « cet arbre », « mon amie », « de l'huile ».

    `determiner` is the masculine singular: le un ce mon ton son notre votre leur quel du chaque aucun tout, a number,
    or "de" (« pas de pain », « de beaux arbres »).
    """
    if determiner == "de":
        return elide("de", following)
    masculine, feminine, plural = _DETERMINERS.get(determiner, (determiner,) * 3)
    if determiner in ("quel", "tout") and number == PLURAL and gender == F:
        return f"{'quelles' if determiner == 'quel' else 'toutes les'} {following}"
    if number == PLURAL:
        return f"{plural} {following}"
    word = masculine if gender == M else feminine
    if not vowel_sound(following):
        return f"{word} {following}"
    if word == "du":
        return "de l'" + following
    head, _, last = word.rpartition(" ")
    joined = elide(last, following) if last in ("le", "la") else f"{_BEFORE_VOWEL.get(last, last)} {following}"
    return f"{head} {joined}" if head else joined


def describe(noun: Noun, number: str, adjectives: Sequence[Adjective] = ()) -> str:
    """A noun with its adjectives in place and agreed, no determiner: « petits chats noirs », « bel arbre »."""
    words = noun.form(number)
    after = [a.form(noun.gender, number) for a in adjectives if not a.before]
    for adjective in reversed([a for a in adjectives if a.before]):
        form = adjective.form(noun.gender, number)
        if adjective.before_vowel and noun.gender == M and number == SINGULAR and vowel_sound(words):
            form = adjective.before_vowel
        words = f"{form} {words}"
    if len(after) > 1:
        after = [*after[:-1], "et", after[-1]]
    return " ".join([words, *after])


def noun_phrase(
    noun: Noun, determiner: str = "le", number: str = SINGULAR, adjectives: Sequence[Adjective] = ()
) -> str:
    """Determiner, adjectives and noun: noun_phrase(noun("arbre"), "un", "p", [beau]) == "de beaux arbres"."""
    described = describe(noun, number, adjectives)
    if determiner in ("un", "du") and number == PLURAL and any(a.before for a in adjectives):
        return elide("de", described)
    return determine(determiner, noun.gender, number, described)


def pronoun(gender: str, number: str, role: str = "sujet") -> str:
    """The third-person pronoun: role "sujet" il elle ils elles, "tonique" lui elle eux elles, "objet" le la les."""
    table = {
        "sujet": ("il", "elle", "ils", "elles"), "tonique": ("lui", "elle", "eux", "elles"),
        "objet": ("le", "la", "les", "les"),
    }  # fmt: skip
    return table[role][(gender == F) + 2 * (number == PLURAL)]


def subject(person: int, words: str, gender: str = M) -> str:
    """A subject pronoun joined to its verb: subject(1, "ai mangé") == "j'ai mangé"."""
    word = SUBJECTS[person] if person not in (3, 6) else pronoun(gender, SINGULAR if person == 3 else PLURAL)
    return elide(word, words)


def capitalize(text: str) -> str:
    """The first letter in capitals, the rest untouched (str.capitalize would lower « Marie »)."""
    return text[:1].upper() + text[1:]
