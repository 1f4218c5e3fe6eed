"""Noun phrases of the grammar: determiner, adjectives, noun, complements; places and coordinations.

Every method reads from a token position and returns a dict: what it can have read -> the first fault, or None.
In strict mode nothing faulty is returned; in the relaxed mode, used to explain a refusal, one fault is let through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from jarvis_nano.corpus.lexicon import DEGREE_ADVERBS, NUMBERS, PLURAL, SINGULAR, F, M, words
from jarvis_nano.corpus.morphology import vowel_sound

from .readings import BEFORE_VOWEL, NOT_BEFORE_VOWEL, Readings, Token, readings

Fault = tuple[int, str]  # token index, message
Results = dict[Any, Fault | None]

_BOTH = M + F
# determiner -> gender, number
_DETERMINERS: dict[str, tuple[str, str]] = {
    "le": (M, SINGULAR), "la": (F, SINGULAR), "l'": (_BOTH, SINGULAR), "les": (_BOTH, PLURAL), "un": (M, SINGULAR),
    "une": (F, SINGULAR), "des": (_BOTH, PLURAL), "ce": (M, SINGULAR), "cet": (M, SINGULAR), "cette": (F, SINGULAR),
    "ces": (_BOTH, PLURAL), "ma": (F, SINGULAR), "ta": (F, SINGULAR), "sa": (F, SINGULAR), "mes": (_BOTH, PLURAL),
    "tes": (_BOTH, PLURAL), "ses": (_BOTH, PLURAL), "notre": (_BOTH, SINGULAR), "votre": (_BOTH, SINGULAR),
    "leur": (_BOTH, SINGULAR), "nos": (_BOTH, PLURAL), "vos": (_BOTH, PLURAL), "leurs": (_BOTH, PLURAL),
    "quel": (M, SINGULAR), "quelle": (F, SINGULAR), "quels": (M, PLURAL), "quelles": (F, PLURAL),
    "chaque": (_BOTH, SINGULAR), "plusieurs": (_BOTH, PLURAL), "quelques": (_BOTH, PLURAL), "aucun": (M, SINGULAR),
    "aucune": (F, SINGULAR), **dict.fromkeys(NUMBERS, (_BOTH, PLURAL)),
}  # fmt: skip
_BEFORE_NUMBER = frozenset(words("les mes tes ses ces nos vos leurs"))
_QUANTITIES = (
    ("beaucoup", "de"), ("un", "peu", "de"), ("trop", "de"), ("assez", "de"), ("combien", "de"), ("plein", "de"),
    ("tant", "de"), ("moins", "de"), ("plus", "de"),
)  # fmt: skip
_MASSES = frozenset({"mass", "drink", "food"})
_BARE = frozenset(words("mass drink person animal idea plant time family sky"))  # une histoire de roi, un pot de miel
_PRONOUNS = {
    "quelqu'un": M, "personne": M, "rien": M, "tout": M, "cela": M, "ça": M, "lui": M, "elle": F, "moi": _BOTH,
    "toi": _BOTH,
}  # fmt: skip
_PLURAL_PRONOUNS = {"eux": M, "elles": F, "nous": _BOTH, "vous": _BOTH}
_PREPOSITIONS = frozenset(
    words("dans sur sous devant derrière vers chez avec sans pour par pendant après avant depuis entre contre")
)
_BEFORE_DE = (
    ("près",), ("loin",), ("non", "loin"), ("à", "côté"), ("au", "bord"), ("au", "milieu"), ("autour",), ("au", "fond"),
    ("en", "face"), ("au", "bout"), ("à", "cause"), ("au-dessus",), ("au-dessous",),
)  # fmt: skip
_AFTER_EN = frozenset(words("silence été hiver automne chemin colère ville retard paix forêt voyage secret"))
_GENDERS = {M: "masculin", F: "féminin"}
_NUMBERS = {SINGULAR: "singulier", PLURAL: "pluriel"}


def memo(method: Callable[..., Results]) -> Callable[..., Results]:
    """Each method reads each position once a sentence (the arguments are the key)."""
    name = method.__name__

    def remembered(self: NounParser, *args: Any) -> Results:
        key = (name, *args)
        found = self.table.get(key)
        if found is None:
            found = self.table[key] = method(self, *args)
        return found

    return remembered


class NounParser:
    """Reads noun phrases of one tokenised sentence."""

    def __init__(self, tokens: list[Token], relaxed: bool = False):
        self.tokens = tokens
        self.words = [t.word for t in tokens] + ["", "", "", ""]
        self.relaxed = relaxed
        self.table: dict[Any, Results] = {}
        self.furthest = 0
        self.r: Readings = readings()

    # -- faults ------------------------------------------------------------------------------------------------------

    def put(self, results: Results, key: Any, *faults: Fault | None) -> None:
        """Keep a reading; in relaxed mode one with a single fault, unless a faultless one is known."""
        found = [f for f in faults if f]
        if not found:
            results[key] = None
        elif self.relaxed and len(set(found)) == 1:
            results.setdefault(key, found[0])

    def check(self, fine: bool, position: int, message: str) -> Fault | None:
        return None if fine else (position, message)

    def see(self, i: int) -> str:
        """The word at i, noting how far the parse has come."""
        if i > self.furthest:
            self.furthest = i
        return self.words[i]

    # -- noun phrases ------------------------------------------------------------------------------------------------

    @memo
    def phrase(self, i: int, negated: bool = False) -> Results:
        """One noun phrase: (end, gender, number)."""
        out: Results = {}
        word = self.see(i)
        if word and word[0].isupper():
            key = (i + 1, self.r.names[word.lower()], SINGULAR)
            self.put(out, key)
            if self.see(i + 1) == ",":
                self._relative(out, key)
            return out
        if word in _PRONOUNS:
            self.put(out, (i + 1, _PRONOUNS[word], SINGULAR))
        if word in ("quelque", "tout"):
            if word == "quelque" and self.words[i + 1] == "chose":
                self.put(out, (i + 2, M, SINGULAR))
            if word == "tout" and self.words[i + 1] == "le" and self.words[i + 2] == "monde":
                self.put(out, (i + 3, M, SINGULAR))
        for j, genders, number, kind in self._determiners(i, negated):
            for (k, gender, num, _), fault in self._core(j, genders, number, kind, i).items():
                for end, other in self.complements_of_noun(k, gender, num).items():
                    self.put(out, (end, gender, num), fault, other)
        for key in list(out):
            if out[key] is None or self.relaxed:
                self._relative(out, key)
        return out

    def _determiners(self, i: int, negated: bool) -> Iterator[tuple[int, str, str, str]]:
        """(next position, genders, number or "" if free, sort)."""
        word = self.words[i]
        if word in _DETERMINERS:
            genders, number = _DETERMINERS[word]
            sort = "des" if word == "des" else ""
            yield i + 1, genders, number, sort
            if word in _BEFORE_NUMBER and self.words[i + 1] in NUMBERS:
                yield i + 2, genders, number, ""
        elif word in ("mon", "ton", "son"):
            vowel = vowel_sound(self.words[i + 1])
            yield i + 1, _BOTH if vowel else M, SINGULAR, "vowel" if vowel else ""
        elif word == "du":
            yield i + 1, M, SINGULAR, "mass"
        elif word in ("tout", "toute", "tous", "toutes"):
            article = {"tout": "le", "toute": "la", "tous": "les", "toutes": "les"}[word]
            if self.words[i + 1] in (article, "l'"):
                yield i + 2, F if "toute" in word else M, PLURAL if article == "les" else SINGULAR, ""
        elif word == "de":
            following = self.words[i + 1]
            if following in ("la", "l'"):
                yield i + 2, F if following == "la" else _BOTH, SINGULAR, "mass"
            yield i + 1, _BOTH, "" if negated else PLURAL, "free" if negated else "de"
        for quantity in _QUANTITIES:
            if word == quantity[0] and tuple(self.words[i : i + len(quantity)]) == quantity:
                yield i + len(quantity), _BOTH, "", "quantity"

    def _core(self, i: int, genders: str, number: str, sort: str, det: int) -> Results:
        """Adjectives and noun after a determiner: (end, gender, number, kind)."""
        out: Results = {}
        before: list[int] = []
        j = i
        while True:
            for gender, num, kind in self.r.nouns.get(self.see(j), ()):
                fault = self._determiner_fault(det, i, j, genders, number, sort, gender, num, kind, bool(before))
                fault = fault or self._before_fault(before, gender, num)
                if fault and not self.relaxed:
                    continue
                for end, other in self._after(j + 1, gender, num).items():
                    self.put(out, (end, gender, num, kind), fault or other)  # the noun explains both
            if any(b for _, _, b in self.r.adjectives.get(self.words[j], ())) and len(before) < 2:
                before.append(j)
                j += 1
            else:
                return out

    def _determiner_fault(
        self, det: int, first: int, j: int, genders: str, number: str, sort: str, gender: str, num: str, kind: str,
        preceded: bool,
    ) -> Fault | None:  # fmt: skip
        written, noun = self.tokens[det].written, self.words[j]
        if gender not in genders:
            return det, f"« {written} » ne va pas avec « {noun} » ({_GENDERS[gender]})"
        if number and num != number:
            return det, f"« {written} » demande un {_NUMBERS[number]}, pas « {noun} »"
        if sort == "des" and preceded:
            return det, f"« des » devient « de » devant l'adjectif de « {noun} »"
        if sort == "de" and not preceded:
            return det, f"il manque un article devant « {noun} »"
        if sort == "mass" and kind not in _MASSES:
            return det, f"« {noun} » n'a pas d'article partitif"
        if sort == "quantity" and num == SINGULAR and kind not in _MASSES:
            return j, f"« {noun} » doit être au pluriel après une quantité"
        if written.lower() == "cet" and not vowel_sound(self.words[first]):
            return det, "« cet » ne va que devant une voyelle"
        if written.lower() == "ce" and vowel_sound(self.words[first]):
            return det, "« ce » devient « cet » devant une voyelle"
        return None

    def _before_fault(self, positions: list[int], gender: str, num: str) -> Fault | None:
        for p in positions:
            word = self.words[p]
            if not any(g == gender and n == num for g, n, _ in self.r.adjectives[word]):
                return p, self._adjective_message(word, gender, num)
            vowel = vowel_sound(self.words[p + 1])
            if word in BEFORE_VOWEL and not vowel:
                return p, f"« {word} » ne va que devant une voyelle"
            if word in NOT_BEFORE_VOWEL and vowel and gender == M and num == SINGULAR:
                return p, f"« {word} » devient « {NOT_BEFORE_VOWEL[word]} » devant une voyelle"
        return None

    def _adjective_message(self, word: str, gender: str, num: str) -> str:
        return f"« {word} » ne s'accorde pas avec un nom {_GENDERS.get(gender, '')} {_NUMBERS.get(num, '')}".rstrip()

    @memo
    def _after(self, i: int, gender: str, num: str) -> Results:
        """Adjectives after the noun: nothing, one, or two with « et »."""
        out: Results = {i: None}
        start = i + 1 if self.see(i) in DEGREE_ADVERBS else i
        for end, fault in self._adjective(start, gender, num, i == start).items():
            self.put(out, end, fault)
            if self.see(end) == "et":
                for last, other in self._adjective(end + 1, gender, num, True).items():
                    self.put(out, last, fault, other)
        return out

    def _adjective(self, i: int, gender: str, num: str, plain: bool) -> Results:
        out: Results = {}
        word = self.see(i)
        options = self.r.adjectives.get(word)
        if options:
            agrees = any(g == gender and n == num for g, n, _ in options)
            misplaced = plain and all(b for _, _, b in options)
            fault = None if agrees else (i, self._adjective_message(word, gender, num))
            if agrees and misplaced:
                fault = (i, f"« {word} » se place devant le nom")
            self.put(out, i + 1, fault)
        return out

    @memo
    def complements_of_noun(self, i: int, gender: str, num: str) -> Results:
        """What may follow the noun: « de Marie », « du roi », « de pommes », « aux fraises », « nommé Paul »."""
        out: Results = {i: None}
        if self.see(i) == "de" or self.words[i] in ("du", "des"):
            for (end, _, _), fault in self.after_de(i).items():
                self.put(out, end, fault)
            if self.words[i] == "de":
                for g, n, kind in self.r.nouns.get(self.see(i + 1), ()):
                    if n == PLURAL or kind in _BARE:
                        self.put(out, i + 2)
                        for end, fault in self._adjective(i + 2, g, n, True).items():
                            self.put(out, end, fault)
        elif self.words[i] in ("aux", "au", "à"):
            for (end, _, _), fault in self.after_a(i).items():
                self.put(out, end, fault)
        self._named(out, i, gender, num)
        return out

    def _named(self, out: Results, i: int, gender: str, num: str) -> None:
        agreement = {"nommé": (M, SINGULAR), "nommée": (F, SINGULAR), "nommés": (M, PLURAL), "nommées": (F, PLURAL)}
        word = self.words[i]
        if word in agreement and self.see(i + 1)[:1].isupper():
            fault = self.check(agreement[word] == (gender, num), i, self._adjective_message(word, gender, num))
            if num == SINGULAR:
                self.put(out, i + 2, fault)
            elif self.words[i + 2] == "et" and self.words[i + 3][:1].isupper():
                self.put(out, i + 4, fault)

    def _relative(self, out: Results, key: tuple[int, str, str]) -> None:
        """« qui », « que », « où » after a phrase; clauses.py knows how."""

    @memo
    def phrases(self, i: int, negated: bool = False) -> Results:
        """One phrase or several joined by commas and « et », « ou »: (end, gender, number)."""
        out: Results = dict(self.phrase(i, negated))
        for (end, gender, _), fault in list(out.items()):
            for (last, other_gender), other in self._more(end).items():
                self.put(out, (last, M if M in (gender[:1], other_gender) else F, PLURAL), fault, other)
        return out

    @memo
    def _more(self, i: int) -> Results:
        """« , le chat et la souris » after a first phrase: (end, gender)."""
        out: Results = {}
        word = self.see(i)
        if word in ("et", "ou"):
            for (end, gender, _), fault in self.phrase(i + 1).items():
                self.put(out, (end, gender[:1]), fault)
        elif word == ",":
            for (end, gender, _), fault in self.phrase(i + 1).items():
                for (last, other_gender), other in self._more(end).items():
                    self.put(out, (last, M if M in (gender[:1], other_gender) else F), fault, other)
        return out

    # -- prepositions ------------------------------------------------------------------------------------------------

    @memo
    def after_de(self, i: int) -> Results:
        """« de » and a phrase, contracted where it must be: (end, gender, number)."""
        return self._repeated(self._contracted(i, "de", {"du": "le", "des": "les"}), self.after_de)

    @memo
    def after_a(self, i: int) -> Results:
        """« à » and a phrase, contracted where it must be."""
        return self._repeated(self._contracted(i, "à", {"au": "le", "aux": "les"}), self.after_a)

    def _repeated(self, out: Results, again: Callable[[int], Results]) -> Results:
        """« du loup et de la vache »: the preposition once more after « et »."""
        for (end, gender, _), fault in list(out.items()):
            if self.see(end) in ("et", "ou"):
                for (last, other_gender, _), other in again(end + 1).items():
                    self.put(out, (last, M if M in (gender[:1], other_gender) else F, PLURAL), fault, other)
        return out

    def _contracted(self, i: int, preposition: str, contracted: dict[str, str]) -> Results:
        word = self.see(i)
        if word == preposition:
            return dict(self._uncontracted(i + 1))
        if word not in contracted:
            return {}
        out: Results = {}
        genders, number = _DETERMINERS[contracted[word]]
        starts = [i + 1] + ([i + 2] if number == PLURAL and self.words[i + 1] in NUMBERS else [])
        for start in starts:
            for (k, gender, num, _), fault in self._core(start, genders, number, "", i).items():
                for end, other in self.complements_of_noun(k, gender, num).items():
                    self.put(out, (end, gender, num), fault, other)
        for key in list(out):
            self._relative(out, key)
        for (end, gender, _), fault in list(out.items()):
            for (last, other_gender), other in self._more(end).items():
                self.put(out, (last, M if M in (gender, other_gender) else F, PLURAL), fault, other)
        return out

    def _uncontracted(self, i: int) -> Results:
        """What follows a bare « de » or « à »: a phrase that does not start with le, les, du, des, or a pronoun."""
        if self.words[i] in ("le", "les", "du", "des", "de"):
            return {}
        return self.pronouns(i) | self.phrases(i)

    def pronouns(self, i: int) -> Results:
        word = self.see(i)
        if word in _PLURAL_PRONOUNS:
            return {(i + 1, _PLURAL_PRONOUNS[word], PLURAL): None}
        if word in _PRONOUNS:
            return {(i + 1, _PRONOUNS[word], SINGULAR): None}
        return {}

    @memo
    def prepositional(self, i: int) -> Results:
        """A prepositional phrase: end."""
        out: Results = {}
        word = self.see(i)
        found: Results = {}
        if word in _PREPOSITIONS:
            found = self.pronouns(i + 1) | self.phrases(i + 1)
        elif word in ("jusque", "grâce"):
            found = self.after_a(i + 1)
        elif word in ("à", "au", "aux"):
            found = dict(self.after_a(i))
        elif word == "en" and self.words[i + 1] in _AFTER_EN:
            return {i + 2: None}
        for start in _BEFORE_DE:
            if word == start[0] and tuple(self.words[i : i + len(start)]) == start:
                found = found | self.after_de(i + len(start))
        for (end, _, _), fault in found.items():
            self.put(out, end, fault)
        return out
