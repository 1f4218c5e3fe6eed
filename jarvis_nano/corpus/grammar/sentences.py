"""Sentences of the grammar: questions, orders, exclamations, statements, direct speech."""

from __future__ import annotations

from jarvis_nano.corpus.lexicon import PLURAL, F, M, words

from .clauses import JOINTS, PLACE_FRAMES, ClauseParser
from .nouns import Results, memo
from .readings import ADVERBS
from .verbs import REFLEXIVE

_OPENERS = frozenset(words("et mais puis ou car donc alors oui non merci voilà attention"))
_QUESTION_ADVERBS = frozenset(words("où quand comment pourquoi"))
_GREETINGS = frozenset(words("bonjour bonsoir salut merci bravo oui non attention hélas"))
_SENTENCE_WORDS = (
    ("bien", "sûr"), ("d'accord",), ("au", "revoir"), ("à", "demain"), ("à", "bientôt"), ("au", "secours"),
    ("bonne", "nuit"), ("bonne", "journée"), ("merci", "beaucoup"), ("quelle", "chance"), ("avec", "plaisir"),
)  # fmt: skip
_PERSONS = ((1, ""), (2, ""), (3, M), (3, F), (4, ""), (5, ""), (6, M), (6, F))


class SentenceParser(ClauseParser):
    """Reads one sentence without its final mark."""

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
        for person, gender in [person_gender] if person_gender else _PERSONS:
            for (end, verb, reflexive, given, negated), fault in self.verb_group(i, person, gender, True).items():
                if gap:
                    if "obj" in given or "t" not in self.r.frames.get((verb, reflexive), ()):
                        continue
                    given |= {"obj"}
                for last, other in self.complements(end, verb, reflexive, given, person, gender, negated).items():
                    self.put(out, last, fault, other)
                asked_where = i and self.words[i - 1] in ("où", "comment", "quoi", "qui", "quand", "pourquoi")
                if asked_where and not gap and self.r.frames.get((verb, reflexive), frozenset()) & PLACE_FRAMES:
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
        ends += [i + len(greeting) for greeting in _SENTENCE_WORDS if self._follows(i, greeting)]
        for end in ends:
            self.put(out, end)
            if self.see(end) == ",":
                if self.words[end + 1] in _GREETINGS:  # « Non, merci, Marie »
                    self.put(out, end + 2)
                    if self.see(end + 2) == ",":
                        self._take(out, self.vocative(end + 3))
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
        for greeting in _SENTENCE_WORDS:
            if self._follows(i, (*greeting, ",")):
                self.put(opened, i + len(greeting) + 1)
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
            skip = 1 if word in JOINTS or word in (":", ",") else 0
            if word in (",", ":") and self.words[end + 1] in JOINTS:
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
