"""What a verb governs, in this grammar: objects, attributes, infinitives, clauses."""

from __future__ import annotations

from itertools import pairwise

from jarvis_nano.corpus.lexicon import FREQUENCY_ADVERBS, NUMBERS, PLURAL

from .nouns import Fault, Results, memo
from .readings import ADVERBS, BARE_AFTER_AVOIR, BARE_THEN_DE, DEGREES
from .verbs import REFLEXIVE, VerbParser, number_of

_COMPARISON = frozenset({"plus", "moins", "aussi"})


class ComplementParser(VerbParser):
    """Reads what follows a verb; clause and with_adjuncts come from clauses.py."""

    # -- objects and the like ------------------------------------------------------------------------------------------

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
            for g, n, kind in self.r.nouns.get(word, ()):
                if kind in ("person", "family") and num in ("", n):  # devinrent amis, est médecin
                    fine = kind == "person" or gender in ("", "mf", g)
                    self.put(out, i + 1, self.check(fine, i, f"« {word} » ne s'accorde pas avec le sujet"))
            if word in ("debout", "d'accord", "là", "en"):
                self._take(out, self.prepositional(i))
        return out

    @memo
    def _agreed(self, i: int, gender: str, num: str) -> Results:
        """An adjective or a participle in agreement with the subject: end."""
        out: Results = {}
        word = self.see(i)
        forms = [(g, n) for g, n, _ in self.r.adjectives.get(word, ())]
        for infinitive, g, n in self.r.participles.get(word, ()):
            if "t" in self.r.frames.get((infinitive, False), ()):
                forms.append((g, n))
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
            return self._not_infinitive(j)
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

    def _not_infinitive(self, i: int) -> Results:
        """In relaxed mode a participle or a finite form where an infinitive was due: « veut mangé »."""
        word = self.words[i]
        found = [inf for inf, _, _ in (*self.r.participles.get(word, ()), *self.r.verbs.get(word, ()))]
        out: Results = {}
        if self.relaxed and found and word not in self.r.nouns:
            fault = (i, f"« {word} » : infinitif attendu (« {found[0]} »)")
            reflexive = (found[0], False) not in self.r.frames
            for end in self.complements(i + 1, found[0], reflexive, frozenset(), 0, "", False):
                self.put(out, end, fault)
        return self.with_adjuncts(out)

    # Given by clauses.py.

    def clause(self, i: int) -> Results:
        raise NotImplementedError

    def with_adjuncts(self, ends: Results) -> Results:
        raise NotImplementedError

    def place_adverb(self, i: int) -> Results:
        """ici, là-bas, dehors, partout."""
        return {i + 1: None} if self.see(i) in ("ici", "là", "là-bas", "dehors", "partout", "loin", "ensemble") else {}
