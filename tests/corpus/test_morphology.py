"""French inflection against forms written by hand, and the joints between words."""

from __future__ import annotations

import pytest

from jarvis_nano.corpus import lexicon, morphology
from jarvis_nano.corpus.lexicon import PLURAL, SINGULAR, F, M, adjective, noun
from jarvis_nano.corpus.morphology import FUTURE, IMPERATIVE, IMPERFECT, PAST, PRESENT, conjugate, forms, participle

CONJUGATED = {
    ("manger", PRESENT): "mange manges mange mangeons mangez mangent",
    ("commencer", IMPERFECT): "commençais commençais commençait commencions commenciez commençaient",
    ("manger", PAST): "mangeai mangeas mangea mangeâmes mangeâtes mangèrent",
    ("acheter", PRESENT): "achète achètes achète achetons achetez achètent",
    ("appeler", FUTURE): "appellerai appelleras appellera appellerons appellerez appelleront",
    ("préférer", PRESENT): "préfère préfères préfère préférons préférez préfèrent",
    ("essayer", PRESENT): "essaie essaies essaie essayons essayez essaient",
    ("finir", PAST): "finis finis finit finîmes finîtes finirent",
    ("finir", IMPERFECT): "finissais finissais finissait finissions finissiez finissaient",
    ("attendre", PRESENT): "attends attends attend attendons attendez attendent",
    ("être", IMPERFECT): "étais étais était étions étiez étaient",
    ("aller", FUTURE): "irai iras ira irons irez iront",
    ("venir", PAST): "vins vins vint vînmes vîntes vinrent",
    ("revenir", PRESENT): "reviens reviens revient revenons revenez reviennent",
    ("voir", PAST): "vis vis vit vîmes vîtes virent",
    ("vivre", PAST): "vécus vécus vécut vécûmes vécûtes vécurent",
    ("faire", PRESENT): "fais fais fait faisons faites font",
    ("boire", IMPERFECT): "buvais buvais buvait buvions buviez buvaient",
    ("peindre", PRESENT): "peins peins peint peignons peignez peignent",
    ("connaître", PRESENT): "connais connais connaît connaissons connaissez connaissent",
    ("courir", FUTURE): "courrai courras courra courrons courrez courront",
    ("asseoir", PRESENT): "assieds assieds assied asseyons asseyez asseyent",
    ("rire", IMPERFECT): "riais riais riait riions riiez riaient",
    ("recevoir", PRESENT): "reçois reçois reçoit recevons recevez reçoivent",
}


@pytest.mark.parametrize(("verb", "tense"), CONJUGATED)
def test_conjugation(verb: str, tense: str) -> None:
    assert " ".join(forms(verb, tense)) == CONJUGATED[verb, tense]


@pytest.mark.parametrize(
    ("verb", "expected"),
    [
        ("manger", "mange mangeons mangez"),
        ("aller", "va allons allez"),
        ("être", "sois soyons soyez"),
        ("finir", "finis finissons finissez"),
        ("ouvrir", "ouvre ouvrons ouvrez"),
        ("dire", "dis disons dites"),
    ],
)
def test_imperative(verb: str, expected: str) -> None:
    assert [conjugate(verb, IMPERATIVE, person) for person in (2, 4, 5)] == expected.split()


@pytest.mark.parametrize(
    ("verb", "gender", "number", "expected"),
    [
        ("partir", F, PLURAL, "parties"),
        ("prendre", M, PLURAL, "pris"),
        ("prendre", F, SINGULAR, "prise"),
        ("ouvrir", F, PLURAL, "ouvertes"),
        ("devoir", M, SINGULAR, "dû"),
        ("devoir", F, SINGULAR, "due"),
        ("lire", F, SINGULAR, "lue"),
        ("choisir", M, PLURAL, "choisis"),
    ],
)
def test_participles_agree(verb: str, gender: str, number: str, expected: str) -> None:
    assert participle(verb, gender, number) == expected


def test_compound_tenses_choose_auxiliary_and_agreement() -> None:
    assert morphology.compound("aller", 3, F) == "est allée"
    assert morphology.compound("manger", 6, F) == "ont mangé"
    assert morphology.compound("se promener", 6, F) == "se sont promenées"
    assert morphology.compound("s'arrêter", 1, F, negation="pas") == "ne me suis pas arrêtée"
    assert morphology.compound("avoir", 3, M, IMPERFECT) == "avait eu"
    assert morphology.compound("arriver", 3, negation="jamais", adverb="encore") == "n'est jamais encore arrivé"


def test_every_verb_has_every_form() -> None:
    for verb in lexicon.VERBS:
        if verb.infinitive == "falloir":
            assert conjugate(verb, PRESENT, 3) == "faut"
            continue
        for tense in morphology.TENSES:
            assert all(form.isalpha() for form in forms(verb.infinitive, tense)), (verb, tense)
        assert participle(verb, F, PLURAL).endswith("es")
        assert morphology.gerund(verb).endswith("ant")


@pytest.mark.parametrize(
    ("word", "following", "joined"),
    [
        ("le", "arbre", "l'arbre"),
        ("le", "hibou", "le hibou"),
        ("la", "histoire", "l'histoire"),
        ("la", "hutte", "la hutte"),
        ("que", "elle", "qu'elle"),
        ("je", "écoute", "j'écoute"),
        ("si", "ils dorment", "s'ils dorment"),
        ("si", "elle", "si elle"),
        ("de", "onze", "de onze"),
        ("ne", "y a pas", "n'y a pas"),
        ("parce que", "il", "parce qu'il"),
        ("Le", "ours", "L'ours"),
    ],
)
def test_elision(word: str, following: str, joined: str) -> None:
    assert morphology.elide(word, following) == joined


@pytest.mark.parametrize(
    ("preposition", "phrase", "joined"),
    [
        ("de", "le lac", "du lac"),
        ("à", "les enfants", "aux enfants"),
        ("près de", "les arbres", "près des arbres"),
        ("de", "l'eau", "de l'eau"),
        ("de", "un ami", "d'un ami"),
        ("à", "la mer", "à la mer"),
        ("dans", "le lac", "dans le lac"),
        ("de", "Émile", "d'Émile"),
    ],
)
def test_contraction(preposition: str, phrase: str, joined: str) -> None:
    assert morphology.with_preposition(preposition, phrase) == joined


@pytest.mark.parametrize(
    ("lemma", "determiner", "number", "adjectives", "expected"),
    [
        ("arbre", "un", PLURAL, ["beau"], "de beaux arbres"),
        ("arbre", "un", SINGULAR, ["beau", "mystérieux"], "un bel arbre mystérieux"),
        ("arbre", "ce", SINGULAR, [], "cet arbre"),
        ("amie", "mon", SINGULAR, [], "mon amie"),
        ("amie", "mon", SINGULAR, ["petit"], "ma petite amie"),
        ("hibou", "ce", SINGULAR, ["vieux"], "ce vieux hibou"),
        ("eau", "du", SINGULAR, ["frais"], "de l'eau fraîche"),
        ("pain", "du", SINGULAR, [], "du pain"),
        ("cheval", "deux", PLURAL, ["blanc"], "deux chevaux blancs"),
        ("oiseau", "le", PLURAL, ["joli", "bleu"], "les jolis oiseaux bleus"),
        ("histoire", "quel", SINGULAR, ["beau"], "quelle belle histoire"),
        ("fleur", "tout", PLURAL, [], "toutes les fleurs"),
        ("herbe", "tout", SINGULAR, [], "toute l'herbe"),
        ("chat", "son", SINGULAR, ["rusé", "gentil"], "son chat rusé et gentil"),
        ("pain", "de", SINGULAR, [], "de pain"),
    ],
)
def test_noun_phrases(lemma: str, determiner: str, number: str, adjectives: list[str], expected: str) -> None:
    assert morphology.noun_phrase(noun(lemma), determiner, number, [adjective(a) for a in adjectives]) == expected


def test_forms_that_rules_would_get_wrong() -> None:
    assert (noun("œil").plural, noun("bijou").plural, noun("grand-mère").plural) == ("yeux", "bijoux", "grands-mères")
    assert adjective("bleu").form(M, PLURAL) == "bleus"
    assert adjective("roux").form(F, PLURAL) == "rousses"
    assert adjective("nouveau").before_vowel == "nouvel"


def test_no_noun_or_adjective_stands_twice() -> None:
    assert len({n.singular for n in lexicon.NOUNS}) == len(lexicon.NOUNS)
    assert len({a.ms for a in lexicon.ADJECTIVES}) == len(lexicon.ADJECTIVES)
