"""Clauses and sentences of the grammar: subjects, adjuncts, questions, orders, exclamations, direct speech."""

from __future__ import annotations

from .lexicon import PLURAL, SINGULAR, F, M
from .noun_parser import Fault, Results, memo
from .readings import ADVERBS, DEGREES, IMPERSONAL, WEATHER
from .verb_parser import REFLEXIVE, VerbParser

_SUBJECTS: dict[str, tuple[int, str]] = {
    "je": (1, ""), "tu": (2, ""), "il": (3, M), "elle": (3, F), "on": (3, ""), "nous": (4, ""), "vous": (5, ""),
    "ils": (6, M), "elles": (6, F), "cela": (3, M), "ça": (3, M),
}  # fmt: skip
_SUBORDINATES = (
    ("parce", "que"), ("pendant", "que"), ("quand",), ("lorsque",), ("si",), ("puisque",), ("comme",), ("dès", "que"),
    ("car",), ("alors", "que"),
)  # fmt: skip
_JOINTS = frozenset("et mais puis ou car donc alors".split())
_OPENERS = frozenset("et mais puis ou car donc alors oui non merci voilà attention".split())
_QUESTION_ADVERBS = frozenset("où quand comment pourquoi".split())
_GREETINGS = frozenset("bonjour bonsoir salut merci bravo oui non attention hélas".split())
_SENTENCE_WORDS = (
    ("bien", "sûr"), ("d'accord",), ("au", "revoir"), ("à", "demain"), ("à", "bientôt"), ("au", "secours"),
    ("bonne", "nuit"), ("bonne", "journée"), ("merci", "beaucoup"), ("quelle", "chance"), ("avec", "plaisir"), ("pas", "du", "tout"),
)  # fmt: skip


class SentenceParser(VerbParser):
    """Reads one sentence without its final mark; `quoting`: the clause announces direct speech."""

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
            if self.words[i + 1] not in _JOINTS and self.words[i + 1] not in _SUBJECTS:
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
        for words in self.r.fixed.get(word, ()):
            if tuple(self.words[i : i + len(words)]) == words:
                self.put(out, i + len(words))
        if word == "en":
            self._take(out, self._gerund(i + 1))
        if word in ("pour", "sans"):
            self._take(out, self.infinitive(i + 1, 0, ""))
        if word == "avant" and self.words[i + 1] == "de":
            self._take(out, self.infinitive(i + 2, 0, ""))
        if word == "comme":
            self._take(out, self.phrases(i + 1))
        return out

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
        for words in _SUBORDINATES:
            if tuple(self.words[i : i + len(words)]) == words:
                self.see(i + len(words))
                self._take(out, self.clause(i + len(words)))
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
            if self.words[end] == ",":  # « le chat, qui dort, … » is read as the relative; a subject takes no comma
                continue
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
            self._verb_then_subject(out, end, fault)

    def _verb_then_subject(self, out: Results, i: int, fault: Fault | None, gap: bool = False) -> None:
        """A verb and then its noun subject: « vivait un roi », « que fait le chat », « où est ma clé »."""
        for person in (3, 6):
            for (end, verb, reflexive, given, negated), other in self.verb_group(i, person, "").items():
                frames = self.r.frames.get((verb, reflexive), frozenset())
                if negated or (gap and "t" not in frames) or not (gap or frames & {"i", "l", "cop", "à", "àinf"}):
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

    # -- questions ---------------------------------------------------------------------------------------------------

    @memo
    def question(self, i: int) -> Results:
        out: Results = {}
        word = self.see(i)
        self._take(out, self._turned(i, False))
        for start, gap in self._question_words(i):
            self._take(out, self._turned(start, gap))
            self._verb_then_subject(out, start, None, gap)
            out |= self.with_adjuncts(dict(out))
            if self.see(start) == "est-ce" and self.words[start + 1] == "que":
                self._take(out, self._object_relative(start + 2) if gap else self.clause(start + 2))
            if not gap:
                self._noun_then_turned(out, start)
        if word == "est-ce" and self.words[i + 1] == "que":
            self._take(out, self.clause(i + 2))
        if word == "qui":
            start = i + 1 if self.words[i + 1] != "est-ce" else i + 3
            self._take(out, self.predicate(start, 3, ""))
        self._noun_then_turned(out, i)
        return self.with_adjuncts(out)

    def _question_words(self, i: int) -> list[tuple[int, bool]]:
        """(where the question goes on, whether the object has been asked for)."""
        word = self.see(i)
        if word in _QUESTION_ADVERBS:
            return [(i + 1, False)]
        if word == "que":
            return [(i + 1, True)]
        found: list[tuple[int, bool]] = []
        if word in ("à", "de", "avec", "pour", "chez", "sur", "dans") and self.words[i + 1] in ("qui", "quoi"):
            found.append((i + 2, False))
        if word == "qui":
            found.append((i + 1, True))
        if word == "combien":
            found.append((i + 1, True))
            found.append((i + 1, False))
        if word in ("combien", "quel", "quelle", "quels", "quelles"):
            found += [(end, True) for (end, _, _), fault in self.phrase(i).items() if fault is None]
            if self.words[i + 1] in ("est", "sont", "était"):
                found.append((i + 1, False))
        if word in ("à", "de", "dans", "avec") and self.words[i + 1].startswith("quel"):
            found += [(end, False) for (end, _, _), fault in self.phrase(i + 1).items() if fault is None]
        return found

    def _turned(self, i: int, gap: bool, person_gender: tuple[int, str] | None = None) -> Results:
        """« vas-tu au marché », « as-tu vu ma clé »; with `gap` the object came first."""
        out: Results = {}
        asked = [person_gender] if person_gender else [(1, ""), (2, ""), (3, M), (3, F), (4, ""), (5, ""), (6, M), (6, F)]
        for person, gender in asked:
            for (end, verb, reflexive, given, negated), fault in self.verb_group(i, person, gender, True).items():
                if gap:
                    if "obj" in given or "t" not in self.r.frames.get((verb, reflexive), ()):
                        continue
                    given |= {"obj"}
                for last, other in self.complements(end, verb, reflexive, given, person, gender, negated).items():
                    self.put(out, last, fault, other)
                if not gap and self.r.frames.get((verb, reflexive), frozenset()) & {"l", "i", "cop", "à"}:
                    if i and self.words[i - 1] in ("où", "comment", "quoi", "qui", "quand", "pourquoi"):
                        self.put(out, end, fault)
        return self.with_adjuncts(out)

    def _noun_then_turned(self, out: Results, i: int) -> None:
        """« Pourquoi le chat dort-il »: the noun first, then verb and pronoun that agree with it."""
        for (end, gender, number), fault in self.phrases(i).items():
            agreement = (6 if number == PLURAL else 3, gender[:1])
            for last, other in self._turned(end, False, agreement).items():
                self.put(out, last, fault, other)

    # -- orders and exclamations -------------------------------------------------------------------------------------

    @memo
    def order(self, i: int) -> Results:
        """An imperative: « viens avec moi », « donne-moi la clé », « ne pleure pas »."""
        out: Results = {}
        negated = self.see(i) == "ne"
        j, clitics = self._clitics(i + 1) if negated else (i, [])
        for infinitive, person in self.r.imperatives.get(self.see(j), ()):
            k = j + 1
            if negated:
                if self.see(k) not in ("pas", "plus", "jamais"):
                    if self.relaxed:
                        self.put(out, k, (j, "négation incomplète : il manque « pas »"))
                    continue
                k += 1
            attached = []
            while self.words[k].startswith("-"):
                attached.append(self.words[k][1:])
                k += 1
            for reflexive, given in self._order_readings(infinitive, person, clitics, attached):
                if (infinitive, reflexive) in self.r.frames:
                    self._take(out, self.complements(k, infinitive, reflexive, given, person, "", negated))
        out = self.with_adjuncts(out)
        for end, fault in list(out.items()):
            for start in self._joint(end):
                for last, other in self.order(start).items():
                    self.put(out, last, fault, other)
        return out

    def _order_readings(
        self, infinitive: str, person: int, clitics: list[str], attached: list[str]
    ) -> list[tuple[bool, frozenset[str]]]:
        words = clitics + [{"moi": "me", "toi": "te"}.get(word, word) for word in attached]
        if REFLEXIVE[person] in words and (infinitive, True) not in self.r.frames:
            return []
        return self._satisfied(infinitive, person, words, False)

    @memo
    def exclamation(self, i: int) -> Results:
        """Greetings, « quel beau jardin », « que c'est beau », « comme il est grand »: ends."""
        out: Results = {}
        word = self.see(i)
        ends = [i + 1] if word in _GREETINGS else []
        ends += [i + len(words) for words in _SENTENCE_WORDS if tuple(self.words[i : i + len(words)]) == words]
        for end in ends:
            self.put(out, end)
            if self.see(end) == ",":
                for greeting in [e for e in (end + 2, end + 3) if self.words[end + 1] in _GREETINGS]:
                    self.put(out, greeting)
                    if self.see(greeting) == ",":
                        self._take(out, self.vocative(greeting + 1))
                self._take(out, self.vocative(end + 1))
        if word in ("quel", "quelle", "quels", "quelles"):
            self._take(out, self._ends(self.phrase(i)))
        if word in ("que", "comme"):
            self._take(out, self.clause(i + 1))
        return out

    @memo
    def vocative(self, i: int) -> Results:
        """A name, « mon ami », « petit renard »."""
        out = self._ends(self.phrases(i)) if self.see(i)[:1].isupper() or self.words[i] in ("mon", "ma", "mes") else {}
        for (end, _, _, kind), fault in self._core(i, "mf", "", "", i).items():
            if kind in ("animal", "person", "family"):
                self.put(out, end, fault)
        return out

    # -- whole sentences ---------------------------------------------------------------------------------------------

    @memo
    def fronted(self, i: int) -> Results:
        """What may stand before the clause: adverbials (a comma follows), « alors », « et »."""
        out: Results = {i: None}
        opened: Results = {}
        word = self.see(i)
        adverbials = self._prepositional_or_time(i) | self.subordinate(i) if word else {}
        for end, fault in self.with_adjuncts(adverbials).items():
            if self.see(end) == ",":
                self.put(opened, end + 1, fault)
            if word in ADVERBS or self.words[i:end] == ["depuis", "ce", "jour"]:
                self.put(opened, end, fault)
        if word in _OPENERS:
            self.put(opened, i + 1)
            if self.words[i + 1] == ",":
                self.put(opened, i + 2)
        for words in _SENTENCE_WORDS:
            if tuple(self.words[i : i + len(words)]) == words and self.words[i + len(words)] == ",":
                self.put(opened, i + len(words) + 1)
        for end, fault in opened.items():
            for last, other in self.fronted(end).items():
                self.put(out, last, fault, other)
        return out

    @memo
    def statement(self, i: int, asking: bool = False) -> Results:
        """Clauses joined by « et », « mais », a colon …, each with what stands before it: ends."""
        out: Results = {}
        for start, fault in self.fronted(i).items():
            found = self.clause(start) | self.order(start)
            if asking:
                found = found | self.question(start)
            for end, other in found.items():
                self.put(out, end, fault, other)
        for end, fault in list(out.items()):
            word = self.see(end)
            skip = 1 if word in _JOINTS or word in (":", ",") else 0
            if word in (",", ":") and self.words[end + 1] in _JOINTS:
                skip = 2
            if skip:
                for last, other in self.statement(end + skip, asking).items():
                    self.put(out, last, fault, other)
            if word == ",":
                for last, other in self.vocative(end + 1).items():
                    self.put(out, last, fault, other)
        return out

    def whole(self, mark: str) -> Results:
        """Everything that may end in this mark."""
        out = self.statement(0, mark == "?")
        if self.words[0] == "parce":
            out = out | self.subordinate(0)
        if mark == "!":
            out = out | self.exclamation(0)
        return out

    def announce(self) -> Results:
        """A clause that ends in a verb of saying, before a colon and direct speech."""
        self.quoting = True
        return self.statement(0)

    def attribution(self, i: int) -> Results:
        """After direct speech: « dit le chat doucement », « demanda-t-il », « lui répondit Marie »."""
        out: Results = {}
        for person, gender in ((3, M), (3, F), (6, M), (6, F)):
            for (end, verb, _, _, _), fault in self.verb_group(i, person, gender, True).items():
                if "dire" in self.r.frames.get((verb, False), ()):
                    self.put(out, end, fault)
        for person in (3, 6):
            for (end, verb, _, _, negated), fault in self.verb_group(i, person, "").items():
                if negated or "dire" not in self.r.frames.get((verb, False), ()):
                    continue
                for (last, _, number), other in self.phrases(end).items():
                    wrong = None if (number == PLURAL) == (person == 6) else (i, f"« {self.words[i]} » et son sujet")
                    self.put(out, last, fault, other, wrong)
        return self.with_adjuncts(out)
