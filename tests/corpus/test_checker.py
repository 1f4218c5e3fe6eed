"""The checker: accepts the stories' French, refuses planted faults, and says what is wrong."""

from __future__ import annotations

import random

import pytest

from jarvis_nano.corpus import checker, faults, stories

GOOD = """
Le petit chat noir dort sur la chaise.
L'amie de Marie a perdu sa clé dans la forêt.
Elles sont parties hier soir avec leurs amis.
Nous ne mangeons jamais de pommes vertes.
Il y avait de beaux arbres près du vieux puits.
Je crois qu'elle est très contente de son cadeau.
Où vas-tu avec ce bel oiseau ?
Pourquoi la souris pleure-t-elle ?
Que cherche le renard dans la cave ?
Est-ce que vous avez vu mon chapeau ?
N'ouvre pas cette porte !
Donne-moi la lampe et regarde la lune !
Assieds-toi près du lac !
Quelle belle histoire !
Les trois souris se sont promenées au bord de la mer.
Je l'ai trouvée derrière la maison.
Il n'a rien vu.
S'il pleut, nous restons à la maison.
La maison où habite le roi est grande.
La clé que Paul cherchait était dans un coffre.
Quand il arriva au village, le garçon vit un homme qui portait un sac.
« Bonjour, Paul ! Veux-tu jouer avec moi ? » demande le chien.
« Je suis perdue », dit-elle doucement.
La fée lui répondit : « Prends cette bague, mon ami. »
Le lion est plus grand que la souris, mais moins rusé que le renard.
Autrefois, dans un pays lointain, vivait une vieille reine.
Il faut couper les pommes et verser de l'eau froide.
Le boulanger offrit un gâteau aux enfants et repartit en chantant.
Elle s'est levée tôt pour aller à l'école.
Ce sont des fleurs rouges.
"""
BAD = {
    "Le petite chat dort.": "« petite »",
    "La amie de Marie dort.": "s'élide",
    "Elle est parti hier.": "accord du participe",
    "Elles ont mangées une pomme.": "accord du participe",
    "Il a parti vers la forêt.": "se conjugue avec « être »",
    "Il est mangé une pomme.": "",
    "Les chats dort sur la chaise.": "ne s'accorde pas avec son sujet",
    "Tu cherche ma clé.": "ne s'accorde pas avec son sujet (tu)",
    "Je ne mange de pain.": "négation incomplète",
    "Il mange pas de pain.": "négation incomplète",
    "Il va à le village.": "se contracte",
    "Il revient de les champs.": "se contracte",
    "Le roi aime son fille.": "« son » ne va pas avec « fille »",
    "Il parle à sa amie.": "devient « son »",
    "Il regarde un beau arbre.": "devient « bel »",
    "Ce arbre est grand.": "",
    "Il voit des vert arbres.": "",
    "Il mange un pommes.": "« un »",
    "Il obéit le roi.": "non reconnue",
    "Le roi promène dans le jardin.": "pronom réfléchi",
    "Il veut mangé une pomme.": "infinitif attendu",
    "Pourquoi pleures-il ?": "",
    "Où va-il ?": "",
    "Le chat chaise dort.": "",
    "Le chat dans la maison.": "",
    "le chat dort.": "majuscule",
    "Le chat dort": "point final",
    "« Bonjour, Marie ! dit le chat.": "guillemet fermant",
    "Bonjour, Marie ! » dit le chat.": "",
    "Le chat xylophone dort.": "mot inconnu",
    "Il est contente.": "ne s'accorde pas avec le sujet",
    "Les fleurs sont rouge.": "ne s'accorde pas avec le sujet",
    "Si il pleut, je dors.": "« si » s'élide",
    "Je aime les fleurs.": "s'élide",
    "Il croit qu' le chat dort.": "",
    "Le chat dort .": "espace",
    "Elle dit: « Bonjour ! »": "espace",
}


@pytest.fixture(scope="module")
def good() -> list[str]:
    return [sentence for text in stories.generate(250, seed=77) for sentence in checker.sentences(text)]


@pytest.mark.parametrize("sentence", GOOD.strip().splitlines())
def test_correct_french_is_accepted(sentence: str) -> None:
    assert checker.fault(sentence) is None


@pytest.mark.parametrize("sentence", BAD)
def test_wrong_french_is_refused_with_its_reason(sentence: str) -> None:
    report = checker.check(sentence)
    assert report.faults, sentence
    assert any(BAD[sentence] in flaw.message for flaw in report.faults), report.faults


def test_no_good_sentence_is_refused(good: list[str]) -> None:
    assert len(good) >= 1000
    report = checker.check("\n".join(good))
    assert report.faults == []
    assert report.correct == len(report.sentences) == len(good)
    assert report.percent == 100


@pytest.mark.slow
def test_none_of_20000_good_sentences_is_refused() -> None:
    found = [flaw for text in stories.generate(2300, seed=78) for flaw in checker.check(text).faults]
    assert found == []


def plant(good: list[str], kind: str, count: int) -> list[str]:
    chance = random.Random(f"plant {kind}")
    planted = (faults.plant(sentence, kind, chance) for sentence in good)
    return [wrong for wrong in planted if wrong][:count]


def test_planted_faults_are_caught(good: list[str]) -> None:
    """A thousand sentences with one fault each, of at least twelve kinds; at least 98 % are caught."""
    assert len(faults.KINDS) >= 12
    caught = total = 0
    for kind in faults.KINDS:
        wrong = plant(good, kind, 55)
        assert len(wrong) >= 25, kind
        found = sum(bool(checker.check(sentence).faults) for sentence in wrong)
        assert found >= 0.94 * len(wrong), kind
        caught, total = caught + found, total + len(wrong)
    assert total >= 1000
    assert caught >= 0.98 * total


@pytest.mark.parametrize("kind", faults.KINDS)
def test_a_planted_fault_changes_the_sentence(good: list[str], kind: str) -> None:
    chance = random.Random(1)
    planted = [(sentence, faults.plant(sentence, kind, chance)) for sentence in good[:400]]
    assert any(wrong for _, wrong in planted)
    assert all(wrong is None or wrong != sentence for sentence, wrong in planted)


def test_swapped_words_are_mostly_refused(good: list[str]) -> None:
    """Noise such as a model makes: two words anywhere in the sentence change places."""
    chance = random.Random(5)
    refused = 0
    for sentence in good[:500]:
        words = sentence.split()
        i, j = chance.sample(range(len(words)), 2)
        words[i], words[j] = words[j], words[i]
        wrong = " ".join(words)
        refused += wrong == sentence or bool(checker.check(wrong).faults)
    assert refused >= 450


def test_lost_words_are_mostly_refused(good: list[str]) -> None:
    chance = random.Random(6)
    refused = 0
    for sentence in good[:500]:
        words = sentence.split()
        del words[chance.randrange(len(words) - 1)]
        refused += bool(checker.check(" ".join(words)).faults)
    assert refused >= 325  # an adjective or an adverb can go without harm


def test_a_fault_says_where() -> None:
    (flaw,) = checker.check("Le renard mange. La renard chante une chanson.").faults
    assert flaw.sentence == "La renard chante une chanson."
    assert flaw.position == 0
    assert flaw.message == "« La » ne va pas avec « renard » (masculin)"
    (flaw,) = checker.check("Marie est content de son cadeau.").faults
    assert flaw.sentence[flaw.position :].startswith("content")


def test_sentences_keep_direct_speech_together() -> None:
    text = "Il dort. « Où vas-tu ? » demande Marie. Elle dit : « Viens ! Il pleut. » « Non ! »\nLe chat rit !"
    assert checker.sentences(text) == [
        "Il dort.", "« Où vas-tu ? » demande Marie.", "Elle dit : « Viens ! Il pleut. »", "« Non ! »", "Le chat rit !",
    ]  # fmt: skip


def test_an_unclosed_guillemet_does_not_swallow_the_text() -> None:
    report = checker.check("« Bonjour, Marie ! Il dort.\nLe chat rit. « Où vas-tu ? » demande le roi.")
    assert len(report.sentences) == 3
    assert [flaw.message for flaw in report.faults] == ["guillemet fermant manquant"]


def test_empty_text_has_no_sentence() -> None:
    assert checker.check(" \n ") == ([], 0, [])
    assert checker.check("").percent == 0.0
