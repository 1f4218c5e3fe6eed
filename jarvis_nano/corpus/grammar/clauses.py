"""Clauses of the grammar: subjects, predicates, adjuncts, impersonal turns, relative and subordinate clauses."""

from __future__ import annotations

from jarvis_nano.corpus.lexicon import PLURAL, SINGULAR, F, M, words

from .complements import ComplementParser
from .nouns import Fault, Results, memo
from .readings import ADVERBS, DEGREES, IMPERSONAL, WEATHER

_SUBJECTS: dict[str, tuple[int, str]] = {
    "je": (1, ""), "tu": (2, ""), "il": (3, M), "elle": (3, F), "on": (3, ""), "nous": (4, ""), "vous": (5, ""),
    "ils": (6, M), "elles": (6, F), "cela": (3, M), "ça": (3, M),
}  # fmt: skip
PLACE_FRAMES = frozenset({"l", "i", "cop", "à"})
_SUBORDINATES = (
    ("parce", "que"), ("pendant", "que"), ("quand",), ("lorsque",), ("si",), ("puisque",), ("comme",), ("dès", "que"),
    ("car",), ("alors", "que"),
)  # fmt: skip
JOINTS = frozenset(words("et mais puis ou car donc alors"))


class ClauseParser(ComplementParser):
    """Reads clauses; sentences.py makes sentences of them."""

    # -- adjuncts ----------------------------------------------------------------------------------------------------

    def with_adjuncts(self, ends: Results) -> Results:
        """The same ends, and each further one that adjuncts lead to."""
        out: Results = dict(ends)
        waiting = list(ends.items())
        while waiting:
            i, fault = waiting.pop()
            for end, other in self.adjunct(i).items():
                before = out.get(end, 0)
                self.put(out, end, fault, other)
                if end in out and (before == 0 or (before and out[end] is None)):
                    waiting.append((end, out[end]))
        return out

    @memo
    def adjunct(self, i: int) -> Results:
        """One adjunct: where, when, how, with what, why."""
        out: Results = {}
        word = self.see(i)
        if not word:
            return out
        if word == ",":
            if self.words[i + 1] not in JOINTS and self.words[i + 1] not in _SUBJECTS:
                out |= self._prepositional_or_time(i + 1)
            if self.words[i + 1] in ("puis", "et", "ou", "mais"):
                out |= self.prepositional(i + 2)
            return out | self.subordinate(i + 1)
        if word in ("et", "ou", "puis"):
            return self.prepositional(i + 1)
        return self._prepositional_or_time(i) | self.subordinate(i)

    def _prepositional_or_time(self, i: int) -> Results:
        out = dict(self.prepositional(i))
        word = self.see(i)
        if word in ADVERBS:
            self.put(out, i + 1)
        if word in DEGREES and self.words[i + 1] in ADVERBS:
            self.put(out, i + 2)
        for adverbial in self.r.fixed.get(word, ()):
            if self._follows(i, adverbial):
                self.put(out, i + len(adverbial))
        if word == "en":
            self._take(out, self._gerund(i + 1))
        if word in ("pour", "sans"):
            self._take(out, self.infinitive(i + 1, 0, ""))
        if word == "avant" and self.words[i + 1] == "de":
            self._take(out, self.infinitive(i + 2, 0, ""))
        if word == "comme":
            self._take(out, self.phrases(i + 1))
        return out

    def _follows(self, i: int, expected: tuple[str, ...]) -> bool:
        """Whether these words stand at i."""
        return self.words[i] == expected[0] and tuple(self.words[i : i + len(expected)]) == expected

    def _gerund(self, i: int) -> Results:
        out: Results = {}
        start, clitics = self._clitics(i)
        for infinitive in self.r.gerunds.get(self.see(start), ()):
            for reflexive, given in self._satisfied(infinitive, 0, clitics, False):
                if (infinitive, reflexive) in self.r.frames:
                    out |= self.complements(start + 1, infinitive, reflexive, given, 0, "", False)
        return out

    @memo
    def subordinate(self, i: int) -> Results:
        """parce que, quand, si … with a clause: ends."""
        out: Results = {}
        for joint in _SUBORDINATES:
            if self._follows(i, joint):
                self._take(out, self.clause(i + len(joint)))
        return out

    # -- clauses -----------------------------------------------------------------------------------------------------

    @memo
    def subjects(self, i: int) -> Results:
        """(end, person, gender); a gender of "" is not known."""
        out: Results = {}
        word = self.see(i)
        if word in _SUBJECTS:
            self.put(out, (i + 1, *_SUBJECTS[word]))
        for (end, gender, number), fault in self.phrases(i).items():
            self.put(out, (end, 6 if number == PLURAL else 3, gender[:1] if gender != "mf" else ""), fault)
        return out

    @memo
    def clause(self, i: int) -> Results:
        """Subject and predicate, or an impersonal turn: ends."""
        out = self._impersonal(i)
        for (end, person, gender), fault in self.subjects(i).items():
            for last, other in self.predicate(end, person, gender).items():
                self.put(out, last, fault, other)
        self._inverted_clause(out, i)
        return out

    @memo
    def predicate(self, i: int, person: int, gender: str) -> Results:
        """A verb with all that belongs to it, and others joined to it by « et », a comma, « puis »: ends."""
        first: Results = {}
        for (end, verb, reflexive, given, negated), fault in self.verb_group(i, person, gender).items():
            for last, other in self.complements(end, verb, reflexive, given, person, gender, negated).items():
                self.put(first, last, fault, other)
        out = self.with_adjuncts(first)
        for end, fault in list(out.items()):
            for start in self._joint(end):
                for last, other in self.predicate(start, person, gender).items():
                    self.put(out, last, fault, other)
        return out

    def _joint(self, i: int) -> list[int]:
        """Positions after « et », « , puis », « , »: where a second predicate can start."""
        word = self.see(i)
        following = self.words[i + 1]
        if word in ("et", "mais", "puis", "ou"):
            return [i + 1, i + 2] if following in ADVERBS or following in ("puis", "alors") else [i + 1]
        if word == ",":
            return [i + 2, i + 1] if following in ("et", "mais", "puis", "ou") else [i + 1]
        return []

    def _impersonal(self, i: int) -> Results:
        out: Results = {}
        word, second = self.see(i), self.words[i + 1]
        if word in ("voici", "voilà"):
            self._take(out, self.with_adjuncts(self._ends(self.phrases(i + 1))))
        if word in ("ce", "cela", "ça"):
            self._it_is(out, i + 1)
        if word == "il":
            j = i + 2 if second == "ne" else i + 1
            self._there_is(out, j, j > i + 1)
            verb = self.see(j)
            after = j + 1 if j == i + 1 else j + 2 if self.words[j + 1] in ("pas", "plus", "jamais") else 0
            if after and verb in IMPERSONAL:
                self._impersonal_verb(out, after, IMPERSONAL[verb], after > j + 1)
            if after and verb in ("fait", "faisait", "fera", "fit"):
                start = after + 1 if self.words[after] in DEGREES else after
                if self.see(start) in WEATHER:
                    self.put(out, start + 1)
            if verb in ("était",) and tuple(self.words[j + 1 : j + 3]) == ("une", "fois"):
                self._take(out, self._ends(self.phrases(j + 3)))
        return self.with_adjuncts(out)

    def _ends(self, found: Results) -> Results:
        out: Results = {}
        for key, fault in found.items():
            self.put(out, key[0], fault)
        return out

    def _impersonal_verb(self, out: Results, i: int, verb: str, negated: bool) -> None:
        if verb == "falloir":
            self._take(out, self.phrases(i, negated))
            self._take(out, self.infinitive(i, 0, ""))
        else:
            self.put(out, i)

    def _it_is(self, out: Results, i: int) -> None:
        """c'est, c'était, ce sont, ce n'est pas."""
        negated = self.see(i) == "ne"
        j = i + 1 if negated else i
        plural = self.words[j] in ("sont", "étaient")
        if self.words[j] not in ("est", "était", "sera", "fut", "sont", "étaient"):
            return
        j += 1
        if negated:
            if self.words[j] not in ("pas", "plus", "jamais"):
                return
            j += 1
        if self.see(j) in ("aussi", "encore", "toujours", "peut-être", "vraiment", "souvent"):
            j += 1
        for (end, _, number), fault in (self.pronouns(j) | self.phrases(j, negated)).items():
            if not plural or number == PLURAL:
                self.put(out, end, fault)
        if not plural:
            self._take(out, self.attribute(j, M, SINGULAR, "sembler"))
            self._take(out, self.prepositional(j))

    def _there_is(self, out: Results, j: int, negated: bool) -> None:
        """il y a, il y avait, il n'y a pas de."""
        if self.see(j) != "y" or self.words[j + 1] not in ("a", "avait", "aura", "eut"):
            return
        k = j + 2
        if negated:
            if self.words[k] not in ("pas", "plus", "jamais"):
                return
            k += 1
        if self.see(k) in ("aussi", "encore", "souvent", "toujours"):
            k += 1
        self._take(out, self.phrases(k, negated))

    def _inverted_clause(self, out: Results, i: int) -> None:
        """« Au bord de l'étang vivait un roi »: a place, the verb, its subject."""
        for end, fault in self.prepositional(i).items():
            self._verb_then_subject(out, end + (self.see(end) == ","), fault)

    def _verb_then_subject(self, out: Results, i: int, fault: Fault | None, gap: bool = False) -> None:
        """A verb and then its noun subject: « vivait un roi », « que fait le chat », « où est ma clé »."""
        for person in (3, 6):
            for (end, verb, reflexive, given, negated), other in self.verb_group(i, person, "").items():
                frames = self.r.frames.get((verb, reflexive), frozenset())
                if negated or given or (gap and "t" not in frames) or not (gap or frames & (PLACE_FRAMES | {"àinf"})):
                    continue
                for (last, _, number), third in self.phrases(end).items():
                    wrong = None if (number == PLURAL) == (person == 6) else (i, f"« {self.words[i]} » et son sujet")
                    self.put(out, last, fault, other, third, wrong)

    # -- relative clauses --------------------------------------------------------------------------------------------

    def _relative(self, out: Results, key: tuple[int, str, str]) -> None:
        end, gender, number = key
        fault = out[key]
        i = end + 1 if self.see(end) == "," and self.words[end + 1] in ("qui", "que", "où") else end
        word = self.see(i)
        found: Results = {}
        if word == "qui":
            found = self.predicate(i + 1, 6 if number == PLURAL else 3, gender if gender != "mf" else "")
        elif word == "que":
            found = self._object_relative(i + 1)
        elif word == "où":
            found = self.clause(i + 1)
            self._verb_then_subject(found, i + 1, None)
        for last, other in found.items():
            self.put(out, (last, gender, number), fault, other)

    def _object_relative(self, i: int) -> Results:
        """« que Marie cherchait »: a clause whose object is missing."""
        out: Results = {}
        for (end, person, gender), fault in self.subjects(i).items():
            for (after, verb, reflexive, given, negated), other in self.verb_group(end, person, gender).items():
                if "t" not in self.r.frames.get((verb, reflexive), ()) or "obj" in given:
                    continue
                args = (after, verb, reflexive, given | {"obj"}, person, gender, negated)
                for last, third in self.complements(*args).items():
                    self.put(out, last, fault, other, third)
        return self.with_adjuncts(out)
