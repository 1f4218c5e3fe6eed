"""Verb groups of the grammar: clitics, negation, auxiliaries, participles, and what each verb governs."""

from __future__ import annotations

from itertools import pairwise

from .lexicon import FREQUENCY_ADVERBS, NUMBERS, PLURAL, SINGULAR, F, M
from .noun_parser import Fault, NounParser, Results, memo
from .readings import ADVERBS, BARE_AFTER_AVOIR, BARE_THEN_DE, DEGREES

REFLEXIVE = {1: "me", 2: "te", 3: "se", 4: "nous", 5: "vous", 6: "se"}
_CLITICS = frozenset("me te se nous vous le la l' les lui leur y en".split())
_OBJECTS = {"le": (M, SINGULAR), "la": (F, SINGULAR), "l'": ("", SINGULAR), "les": ("", PLURAL), "en": (M, SINGULAR)}
_PARTICLES = frozenset("pas plus jamais rien guère".split())
_NEGATIVE_OBJECTS = frozenset("aucun aucune personne que ni rien".split())
_PERSONS = {1: "je", 2: "tu", 3: "il/elle", 4: "nous", 5: "vous", 6: "ils/elles"}
_COMPARISON = frozenset("plus moins aussi".split())
_FREE = frozenset("beaucoup aussi bien souvent toujours encore longtemps vite enfin déjà ensemble mal rien tout".split())


def number_of(person: int) -> str:
    """The number that a subject asks of an attribute; « vous » leaves it open."""
    return "" if person in (0, 5) else PLURAL if person in (4, 6) else SINGULAR


class VerbParser(NounParser):
    """Reads a verb group with its complements; clauses are built on it in sentence_parser.py."""

    quoting = False  # whether a verb of saying may stand without an object, direct speech following

    # -- finite verb -------------------------------------------------------------------------------------------------

    def _clitics(self, i: int) -> tuple[int, list[str]]:
        found = []
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
                self._simple(out, after, infinitive, person, clitics, negated, nothing, (fault, other), j)
                if infinitive in ("être", "avoir"):
                    self._compound(out, after, infinitive, person, gender, clitics, negated, nothing, (fault, other))
        return out

    def _turned_subject(self, i: int, person: int, gender: str) -> bool:
        """-tu, -t-il … that agrees, with its t after a vowel and only there."""
        word = self.see(i)
        if not word.startswith("-"):
            return False
        pronoun = word.rpartition("-")[2]
        fits = {1: ("je",), 2: ("tu",), 3: ("il", "elle", "on"), 4: ("nous",), 5: ("vous",), 6: ("ils", "elles")}[person]
        linked = word.startswith("-t-")
        needs = person == 3 and self.words[i - 1][-1] in "aec"
        feminine = pronoun.startswith("elle")
        if person in (3, 6) and gender and pronoun != "on" and feminine != (gender == F):
            return False
        return pronoun in fits and linked == needs

    def _negation(self, i: int, negated: bool, verb: int) -> list[tuple[int, bool, Fault | None]]:
        """After the verb: (next position, whether « rien » takes the object's place, fault)."""
        word = self.see(i)
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
                    asked = (gender, number_of(person)) if auxiliary == "être" else self._object_agreement(clitics, person)
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

    # -- what a verb governs -----------------------------------------------------------------------------------------

    @memo
    def complements(
        self, i: int, infinitive: str, reflexive: bool, given: frozenset[str], person: int, gender: str, negated: bool
    ) -> Results:
        """Ends of what the verb governs, from i (after the verb)."""
        out: Results = {}
        after = self._skip_adverbs(i)
        if after > i:
            out |= self.complements(after, infinitive, reflexive, given, person, gender, negated)
        if infinitive == "passif":
            self.put(out, i)
            return out
        frames = self.r.frames[infinitive, reflexive]
        has_object, has_person = "obj" in given, "dat" in given
        if "i" in frames and not has_object:
            self.put(out, i)
        if self.quoting and "dire" in frames and not has_object:
            self._saying(out, i)
        if "t" in frames:
            self._objects(out, i, frames, has_object, has_person, negated)
        if "à" in frames:
            self._take(out, {i: None} if has_person else self.after_a(i))
        if "de" in frames:
            self._take(out, {i: None} if has_object else self.after_de(i))
        if "l" in frames:
            self._take(out, {i: None} if "loc" in given else self.prepositional(i) | self.place_adverb(i))
            self._take(out, self.after_de(i))
        if "nom" in frames and self.see(i)[:1].isupper():
            self._take(out, self.phrases(i))
        self._clauses(out, i, frames, person, gender, has_person, has_object)
        if "cop" in frames:
            self._take(out, self.attribute(i, gender, number_of(person), infinitive))
        if infinitive == "aller" and self.see(i) in ("bien", "mal", "mieux"):
            self.put(out, i + 1)
        if infinitive == "rendre" and self.words[i] == "visite" and not has_object:
            self._take(out, {i + 1: None} if has_person else self.after_a(i + 1))
        if infinitive == "avoir":
            self._having(out, i, person, gender)
        return out

    def _skip_adverbs(self, i: int) -> int:
        """After one adverb between the verb and what it governs: « aime beaucoup le chat »."""
        word = self.see(i)
        if word == "sans" and self.words[i + 1] == "doute":
            return i + 2
        return i + 1 if word in ADVERBS and word not in ("puis", "alors", "ensuite") else i

    def _take(self, out: Results, found: Results) -> None:
        for key, fault in found.items():
            self.put(out, key[0] if isinstance(key, tuple) else key, fault)

    def _saying(self, out: Results, i: int) -> None:
        """Before a colon and direct speech: nothing, or the person spoken to."""
        self.put(out, i)
        self._take(out, self.after_a(i))

    def _objects(
        self, out: Results, i: int, frames: frozenset[str], has_object: bool, has_person: bool, negated: bool
    ) -> None:
        found: Results = {}
        if has_object:
            found[i] = None
        else:
            self._take(found, self.phrases(i, negated))
        self._take(out, found)
        for end, fault in found.items():
            if "tà" in frames and not has_person:
                for (last, _, _), other in self.after_a(end).items():
                    self.put(out, last, fault, other)
            if "tàinf" in frames and self.see(end) == "à":
                for last, other in self.infinitive(end + 1, 0, "").items():
                    self.put(out, last, fault, other)
        if "tà" in frames and not has_object and not has_person:
            for (end, _, _), fault in self.after_a(i).items():
                for (last, _, _), other in self.phrases(end, negated).items():
                    self.put(out, last, fault, other)

    def _clauses(
        self, out: Results, i: int, frames: frozenset[str], person: int, gender: str, has_person: bool, has_object: bool
    ) -> None:
        word = self.see(i)
        if "inf" in frames and not has_object:
            self._take(out, self.infinitive(i, person, gender))
        if "àinf" in frames and word == "à":
            self._take(out, self.infinitive(i + 1, person, gender))
        if "deinf" in frames and word == "de":
            self._take(out, self.infinitive(i + 1, person, gender))
        if "que" in frames and word == "que":
            self._take(out, self.clause(i + 1))
        if "àdeinf" in frames:
            starts: Results = {i: None} if has_person else {}
            if not has_person:
                self._take(starts, self.after_a(i))
            for end, fault in starts.items():
                if self.see(end) == "de":
                    for last, other in self.infinitive(end + 1, 0, "").items():
                        self.put(out, last, fault, other)

    def _having(self, out: Results, i: int, person: int, gender: str) -> None:
        """avoir faim, avoir peur de, avoir besoin de, avoir dix ans."""
        j = i + 1 if self.see(i) in ("très", "trop", "si", "assez", "vraiment") else i
        word = self.see(j)
        if word in BARE_AFTER_AVOIR:
            self.put(out, j + 1)
        if word in BARE_THEN_DE:
            self._take(out, self.after_de(j + 1))
            if self.words[j + 1] == "de":
                self._take(out, self.infinitive(j + 2, person, gender))
                for _, n, kind in self.r.nouns.get(self.words[j + 2], ()):
                    if n == PLURAL or kind in ("mass", "drink"):
                        self.put(out, j + 3)
        if word in NUMBERS and self.words[j + 1] == "ans":
            self.put(out, j + 2)
        if word == "mal" and self.words[j + 1] in ("à", "au", "aux"):
            self._take(out, self.after_a(j + 1))

    # -- attributes --------------------------------------------------------------------------------------------------

    @memo
    def attribute(self, i: int, gender: str, num: str, infinitive: str) -> Results:
        """After être, devenir, rester, sembler: an adjective that agrees, a comparison, a noun phrase, a place."""
        out: Results = {}
        word = self.see(i)
        starts = [i]
        if word in DEGREES:
            starts.append(i + 1)
        if word == "un" and self.words[i + 1] == "peu":
            starts.append(i + 2)
        for start in starts:
            for end, fault in self._agreed(start, gender, num).items():
                self.put(out, end, fault)
                self._after_attribute(out, end, fault, gender, num, self.words[start - 1] if start > i else "")
        if infinitive in ("être", "devenir", "rester"):
            self._take(out, self.phrases(i))
            for _, n, kind in self.r.nouns.get(word, ()):
                if kind in ("person", "family") and num in ("", n):
                    self.put(out, i + 1)
            if word in ("debout", "d'accord", "là", "en"):
                self._take(out, self.prepositional(i))
        return out

    @memo
    def _agreed(self, i: int, gender: str, num: str) -> Results:
        """An adjective or a participle in agreement with the subject: end."""
        out: Results = {}
        word = self.see(i)
        forms = [(g, n) for g, n, _ in self.r.adjectives.get(word, ())]
        forms += [(g, n) for inf, g, n in self.r.participles.get(word, ()) if "t" in self.r.frames.get((inf, False), ())]
        if forms:
            fine = any(gender in ("", "mf", g) and num in ("", n) for g, n in forms)
            self.put(out, i + 1, self.check(fine, i, f"« {word} » ne s'accorde pas avec le sujet"))
        return out

    def _after_attribute(self, out: Results, i: int, fault: Fault | None, gender: str, num: str, degree: str) -> None:
        word = self.see(i)
        if word in ("et", "ou", "mais", ","):
            start = i + 2 if word == "," and self.words[i + 1] in ("mais", "et", "puis") else i + 1
            start += self.words[start] in DEGREES or self.words[start] in FREQUENCY_ADVERBS
            for end, other in self._agreed(start, gender, num).items():
                self.put(out, end, fault, other)
                if word == ",":
                    self._after_attribute(out, end, fault or other, gender, num, degree)
        if degree in _COMPARISON and word == "que":
            for (end, _, _), other in (self.pronouns(i + 1) | self.phrases(i + 1)).items():
                self.put(out, end, fault, other)
                if self.words[end : end + 3][:1] in (["et"], [","], ["mais"]):
                    self._second_comparison(out, end, fault or other, gender, num)
        if word in ("de", "du", "des"):
            for (end, _, _), other in self.after_de(i).items():
                self.put(out, end, fault, other)
        if word in ("de", "à"):
            for end, other in self.infinitive(i + 1, 0, gender).items():
                self.put(out, end, fault, other)

    def _second_comparison(self, out: Results, i: int, fault: Fault | None, gender: str, num: str) -> None:
        """« …, mais moins sage que le loup » after a first comparison."""
        j = i + 2 if self.words[i] == "," and self.words[i + 1] in ("mais", "et") else i + 1
        if self.see(j) not in _COMPARISON:
            return
        for end, other in self._agreed(j + 1, gender, num).items():
            if self.see(end) == "que":
                for (last, _, _), third in (self.pronouns(end + 1) | self.phrases(end + 1)).items():
                    self.put(out, last, fault, other, third)

    # -- infinitives -------------------------------------------------------------------------------------------------

    @memo
    def infinitive(self, i: int, person: int, gender: str) -> Results:
        """An infinitive with its pronouns, complements and adjuncts, and others joined by « et »: ends."""
        out: Results = {}
        start = i
        if self.see(i) == "ne" and self.words[i + 1] in ("pas", "plus", "jamais", "rien"):
            start = i + 2
        j, clitics = self._clitics(start)
        word = self.see(j)
        if word not in self.r.infinitives or any(a == b for a, b in pairwise(clitics)):
            return out
        for reflexive, given in self._satisfied(word, person, clitics, False):
            if (word, reflexive) not in self.r.frames:
                continue
            if reflexive and person and REFLEXIVE[person] not in clitics:
                continue
            for end, fault in self.complements(j + 1, word, reflexive, given, person, gender, start > i).items():
                self.put(out, end, fault)
        out = self.with_adjuncts(out)
        for end, fault in list(out.items()):
            joint = self.see(end)
            if joint in ("et", "ou", "puis"):
                skip = 2 if self.words[end + 1] in ("de", "à") else 1
                for last, other in self.infinitive(end + skip, person, gender).items():
                    self.put(out, last, fault, other)
        return out

    # Given by the clause parser.

    def clause(self, i: int) -> Results:
        raise NotImplementedError

    def with_adjuncts(self, ends: Results) -> Results:
        raise NotImplementedError

    def place_adverb(self, i: int) -> Results:
        """ici, là-bas, dehors, partout."""
        return {i + 1: None} if self.see(i) in ("ici", "là", "là-bas", "dehors", "partout", "loin", "ensemble") else {}
