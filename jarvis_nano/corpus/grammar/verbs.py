"""Verb groups of the grammar: clitics, negation, auxiliaries, participles."""

from __future__ import annotations

from jarvis_nano.corpus.lexicon import PLURAL, SINGULAR, F, M, words

from .nouns import Fault, NounParser, Results, memo

REFLEXIVE = {1: "me", 2: "te", 3: "se", 4: "nous", 5: "vous", 6: "se"}
_CLITICS = frozenset(words("me te se nous vous le la l' les lui leur y en"))
_OBJECTS = {"le": (M, SINGULAR), "la": (F, SINGULAR), "l'": ("", SINGULAR), "les": ("", PLURAL), "en": (M, SINGULAR)}
_PARTICLES = frozenset(words("pas plus jamais rien guère"))
_NEGATIVE_OBJECTS = frozenset(words("aucun aucune personne que ni rien"))
_PERSONS = {1: "je", 2: "tu", 3: "il/elle", 4: "nous", 5: "vous", 6: "ils/elles"}
_TURNED = {1: ("je",), 2: ("tu",), 3: ("il", "elle", "on"), 4: ("nous",), 5: ("vous",), 6: ("ils", "elles")}
# Between auxiliary and participle.
_FREE = frozenset(words("beaucoup aussi bien souvent toujours encore longtemps vite enfin déjà ensemble mal rien tout"))


def number_of(person: int) -> str:
    """The number that a subject asks of an attribute; « vous » leaves it open."""
    return "" if person in (0, 5) else PLURAL if person in (4, 6) else SINGULAR


class VerbParser(NounParser):
    """Reads a finite verb with its auxiliary; what it governs is read in complements.py."""

    quoting = False  # whether a verb of saying may stand without an object, direct speech following

    # -- finite verb -------------------------------------------------------------------------------------------------

    def _clitics(self, i: int) -> tuple[int, list[str]]:
        found: list[str] = []
        while self.see(i) in _CLITICS and len(found) < 3:
            found.append(self.words[i])
            i += 1
        return i, found

    @memo
    def verb_group(self, i: int, person: int, gender: str, turned: bool = False) -> Results:
        """A finite verb with ne, clitics, auxiliary: (end, infinitive, reflexive, satisfied, negated).

        `turned`: the subject pronoun follows the verb (vas-tu, a-t-il) and person is what it says.
        """
        out: Results = {}
        j = i + 1 if self.see(i) == "ne" else i
        negated = j > i
        j, clitics = self._clitics(j)
        by_verb: dict[tuple[str, str], set[int]] = {}
        for infinitive, tense, p in self.r.verbs.get(self.see(j), ()):
            by_verb.setdefault((infinitive, tense), set()).add(p)
        for (infinitive, _), persons in by_verb.items():
            fault = None
            if person not in persons:
                if not self.relaxed:
                    continue
                message = f"« {self.words[j]} » ne s'accorde pas avec son sujet ({_PERSONS[person]})"
                fault = (j, message)
            k = j + 1
            if turned:
                if not self._turned_subject(k, person, gender):
                    continue
                k += 1
            for after, nothing, other in self._negation(k, negated, j):
                if (fault or other) and not self.relaxed:
                    continue
                meant = negated or after > k  # « mange pas de pain » is meant as a negation
                self._simple(out, after, infinitive, person, clitics, meant, nothing, (fault, other), j)
                if infinitive in ("être", "avoir"):
                    self._compound(out, after, infinitive, person, gender, clitics, meant, nothing, (fault, other))
        return out

    def _turned_subject(self, i: int, person: int, gender: str) -> bool:
        """-tu, -t-il … that agrees, with its t after a vowel and only there."""
        word = self.see(i)
        if not word.startswith("-"):
            return False
        pronoun = word.rpartition("-")[2]
        fits = _TURNED[person]
        linked = word.startswith("-t-")
        needs = person == 3 and self.words[i - 1][-1] in "aec"
        feminine = pronoun.startswith("elle")
        if person in (3, 6) and gender and pronoun != "on" and feminine != (gender == F):
            return False
        return pronoun in fits and linked == needs

    def _negation(self, i: int, negated: bool, verb: int) -> list[tuple[int, bool, Fault | None]]:
        """After the verb: (next position, whether « rien » takes the object's place, fault)."""
        word = self.see(i)
        found: list[tuple[int, bool, Fault | None]]
        if negated:
            if word in _PARTICLES:
                found = [(i + 1, word == "rien", None)]
                if word in ("plus", "jamais") and self.words[i + 1] in ("jamais", "rien"):
                    found.append((i + 2, self.words[i + 1] == "rien", None))
                return found
            fine = any(w in _NEGATIVE_OBJECTS for w in self.words[i : i + 3])
            return [(i, False, None if fine else (verb, "négation incomplète : il manque « pas »"))]
        found = [(i, False, None)]
        if self.relaxed and word in ("pas", "jamais", "plus", "rien"):
            found.append((i + 1, word == "rien", (verb, "négation incomplète : il manque « ne »")))
        return found

    def _satisfied(
        self, infinitive: str, person: int, clitics: list[str], nothing: bool
    ) -> list[tuple[bool, frozenset[str]]]:
        """How the clitics can be understood: (reflexive, what they already give the verb)."""
        base: set[str] = {"obj"} if nothing else set()
        readings: list[tuple[bool, set[str]]] = [(False, base)]
        for clitic in clitics:
            step: list[tuple[bool, set[str]]] = []
            for reflexive, given in readings:
                if clitic in ("me", "te", "se", "nous", "vous"):
                    if (clitic == REFLEXIVE.get(person) or person == 0) and (infinitive, True) in self.r.frames:
                        step.append((True, given))
                    if clitic != "se" and clitic != REFLEXIVE.get(person):
                        step += [(reflexive, given | {"obj"}), (reflexive, given | {"dat"})]
                elif clitic in ("lui", "leur"):
                    step.append((reflexive, given | {"dat"}))
                elif clitic == "y":
                    step.append((reflexive, given | {"loc"}))
                else:
                    step.append((reflexive, given | {"obj"}))
            readings = step
        return [(reflexive, frozenset(given)) for reflexive, given in readings]

    def _simple(
        self, out: Results, i: int, infinitive: str, person: int, clitics: list[str], negated: bool, nothing: bool,
        faults: tuple[Fault | None, ...], at: int,
    ) -> None:  # fmt: skip
        for reflexive, given in self._satisfied(infinitive, person, clitics, nothing):
            if (infinitive, reflexive) in self.r.frames:
                self.put(out, (i, infinitive, reflexive, given, negated), *faults)
            elif self.relaxed and (infinitive, True) in self.r.frames:
                missing = (at, f"« {self.words[at]} » demande un pronom réfléchi")
                self.put(out, (i, infinitive, True, given, negated), *faults, missing)

    def _compound(
        self, out: Results, i: int, auxiliary: str, person: int, gender: str, clitics: list[str], negated: bool,
        nothing: bool, faults: tuple[Fault | None, ...],
    ) -> None:  # fmt: skip
        while self.see(i) in _FREE:
            nothing = nothing or (negated and self.words[i] == "rien")
            i += 1
        for infinitive, g, n in self.r.participles.get(self.see(i), ()):
            for reflexive, given in self._satisfied(infinitive, person, clitics, nothing):
                fault = self._auxiliary_fault(i, auxiliary, infinitive, reflexive)
                if auxiliary == "être" and fault and not reflexive and "t" in self.r.frames[infinitive, False]:
                    wrong = self._participle_fault(i, g, n, gender, number_of(person))
                    self.put(out, (i + 1, "passif", False, given, negated), *faults, wrong)
                if fault is None:
                    asked = (gender, number_of(person))
                    if auxiliary == "avoir":
                        asked = self._object_agreement(clitics, person)
                    fault = self._participle_fault(i, g, n, *asked)
                self.put(out, (i + 1, infinitive, reflexive, given, negated), *faults, fault)

    def _auxiliary_fault(self, i: int, auxiliary: str, infinitive: str, reflexive: bool) -> Fault | None:
        asked = "être" if reflexive else self.r.auxiliary.get(infinitive, "être")
        if (infinitive, reflexive) not in self.r.frames:
            return i, f"« {infinitive} » demande un pronom réfléchi"
        return self.check(asked == auxiliary, i, f"« {infinitive} » se conjugue avec « {asked} »")

    def _object_agreement(self, clitics: list[str], person: int) -> tuple[str, str]:
        """With avoir: the participle agrees with an object before it, else it stays masculine singular."""
        for clitic in clitics:
            if clitic in _OBJECTS:
                return _OBJECTS[clitic]
            if clitic in ("me", "te", "nous", "vous") and clitic != REFLEXIVE[person]:
                return "", ""
        return M, SINGULAR

    def _participle_fault(self, i: int, g: str, n: str, gender: str, number: str) -> Fault | None:
        fine = (not gender or gender == "mf" or g == gender) and (not number or n == number)
        return self.check(fine, i, f"accord du participe « {self.words[i]} »")
