"""Languages: French is told from its neighbours, at a bounded cost; the quick look takes no neighbour for it."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jarvis_nano.corpus.documents import pieces
from jarvis_nano.corpus.quality.language import (
    CANDIDATES,
    MAX_SAMPLED,
    UNKNOWN,
    LanguageIdentifier,
    french_share,
    looks_french,
    samples,
)
from jarvis_nano.errors import UserError

ROOT = Path(__file__).resolve().parents[2]

FRENCH = (
    "Le vieux pêcheur rentrait tous les soirs par le même chemin, avec son chien et un panier presque vide. On "
    "l'entendait venir de loin parce qu'il sifflait toujours la même chanson. Ce soir-là il ne sifflait pas, et la "
    "boulangère, qui fermait sa boutique, comprit qu'il s'était passé quelque chose en mer."
)
OTHERS = {
    "en": "The old fisherman came home every evening by the same path, with his dog and a basket that was almost "
    "empty. People heard him from far away because he always whistled the same song, but that night he did not "
    "whistle.",
    "de": "Der alte Fischer kam jeden Abend auf demselben Weg nach Hause, mit seinem Hund und einem fast leeren "
    "Korb. Man hörte ihn von weitem, weil er immer dasselbe Lied pfiff, doch an diesem Abend war es still.",
    "es": "El viejo pescador volvía todas las tardes por el mismo camino, con su perro y una cesta casi vacía. Se le "
    "oía llegar de lejos porque siempre silbaba la misma canción, pero aquella noche no silbaba.",
    "it": "Il vecchio pescatore tornava ogni sera per la stessa strada, con il suo cane e un cesto quasi vuoto. Lo "
    "si sentiva venire da lontano perché fischiava sempre la stessa canzone, ma quella sera non fischiava.",
    "pt": "O velho pescador voltava todas as tardes pelo mesmo caminho, com o seu cão e um cesto quase vazio. "
    "Ouvia-se de longe porque assobiava sempre a mesma canção, mas naquela noite não assobiava.",
    "nl": "De oude visser kwam elke avond langs dezelfde weg naar huis, met zijn hond en een bijna lege mand. Men "
    "hoorde hem al van verre omdat hij altijd hetzelfde liedje floot, maar die avond floot hij niet.",
    "ca": "El vell pescador tornava cada vespre pel mateix camí, amb el seu gos i un cistell gairebé buit. Se'l "
    "sentia venir de lluny perquè sempre xiulava la mateixa cançó, però aquella nit no xiulava.",
    "la": "Senex piscator cotidie vesperi eadem via domum redibat cum cane suo et corbe paene vacua. Procul "
    "audiebatur quia semper idem carmen sibilabat, sed illa nocte non sibilabat et mulier intellexit aliquid in mari "
    "accidisse.",
    "ro": "Bătrânul pescar se întorcea în fiecare seară pe același drum, cu câinele său și un coș aproape gol. Îl "
    "auzeai venind de departe pentru că fluiera mereu același cântec, dar în seara aceea nu fluiera.",
    "pl": "Stary rybak wracał co wieczór tą samą drogą, ze swoim psem i prawie pustym koszem. Słychać go było z "
    "daleka, bo zawsze gwizdał tę samą piosenkę, ale tego wieczoru nie gwizdał.",
    "ru": "Старый рыбак каждый вечер возвращался той же дорогой, со своей собакой и почти пустой корзиной. Его было "
    "слышно издалека, потому что он всегда насвистывал одну и ту же песню.",
    "ar": "كان الصياد العجوز يعود كل مساء من نفس الطريق مع كلبه وسلة شبه فارغة. كان الناس يسمعونه من بعيد لأنه كان "
    "يصفر دائما نفس الأغنية.",
}
# No candidates of lingua's; the quick look must leave them to it all the same.
NEIGHBOURS = {
    "Occitan": "Lo vièlh pescaire tornava cada ser pel meteis camin, amb son can e un panièr gaireben void. Òm "
    "l'ausissiá venir de luènh perque siulava totjorn la meteissa cançon. Aquel ser siulava pas, e la fornièra, que "
    "barrava la botiga, comprenguèt que quicòm s'èra passat en mar. Los òmes de la vila sortiguèron dins la nuèch "
    "amb las lampas.",
    "Provençal": "Lou vièi pescaire tournavo cade sero pèr lou meme camin, emé soun chin e un panié quasimen vuege. "
    "L'ausien veni de liuen perqué siblavo sèmpre la memo cansoun. Aquéu sero siblavo pas, e la boulengiero, que "
    "barravo sa boutigo, coumprenguè que quaucarèn s'èro passa en mar. Lis ome de la vilo sourtiguèron dins la niue.",
    "Haitian": "Vye pechè a te konn tounen lakay li chak aswè nan menm chemen an, ak chen li epi yon panye ki prèske "
    "vid. Moun yo te tande l ap vini byen lwen paske li te toujou ap soufle menm chante a. Men swa sa a li pa t ap "
    "soufle, epi machann pen an, ki t ap fèmen boutik li, te konprann gen yon bagay ki te pase sou lanmè a.",
    "Antillean creole": "Vyé péchè-la té ka viré lakay-li chak oswè pa menm chimen-la, épi chyen-li é on panyé "
    "prèské vid. Nou té ka tann li vin di lwen pas i té toujou ka siflé menm chanté-la. Aswè-lasa i pa té ka siflé, "
    "é machann pen-la konprann on biten té fèt an lanmè-la.",
    "Picard": "Ch' vieu péqueu i rintroait tous les soérs par ch' meume quémin, aveuc sin tchien pi un pénhier "
    "presque wide. Os l'intindoait vénir éd loin pasqu'i chufloait toudis l' meume canchon. Ech soér-lo i n' "
    "chufloait point, pi l' boulingère, qu'ale frumoait s' boutique, al o comprins qu'i s'étoait passé quite cose in "
    "mér.",
    "Old French": "Li vielz peschierres repairoit chascun vespre par meisme la voie, a tot son chien et un panier "
    "pres vuit. L'en l'ooit venir de loing por ce qu'il sifloit toz jorz meisme chançon. Icel soir ne sifloit mie, "
    "si entendi la fornière, qui clooit son huis, que aucune chose li ert avenue en la mer.",
}


@pytest.fixture(scope="module")
def identifier() -> LanguageIdentifier:
    return LanguageIdentifier()


def test_french_is_french_with_and_without_the_quick_look(identifier: LanguageIdentifier) -> None:
    code, confidence = identifier.identify(FRENCH)
    assert (code, confidence > 0.9) == ("fr", True)
    code, confidence = LanguageIdentifier(quick=False).identify(FRENCH)
    assert (code, confidence > 0.9) == ("fr", True)


@pytest.mark.parametrize("code", OTHERS)
def test_each_candidate_is_found(identifier: LanguageIdentifier, code: str) -> None:
    assert not looks_french(OTHERS[code])
    found, confidence = identifier.identify(OTHERS[code])
    assert found == code
    assert confidence > 0.5


@pytest.mark.parametrize("name", NEIGHBOURS)
@pytest.mark.parametrize("times", [1, 20])
def test_the_quick_look_never_takes_a_neighbour_for_french(name: str, times: int) -> None:
    assert not looks_french(" ".join([NEIGHBOURS[name]] * times))


@pytest.mark.parametrize("name", ["Occitan", "Provençal", "Haitian", "Antillean creole"])
def test_a_neighbour_is_not_french_beyond_fineweb2s_score(identifier: LanguageIdentifier, name: str) -> None:
    code, confidence = identifier.identify(NEIGHBOURS[name])
    assert code != "fr" or confidence < 0.824


def test_a_document_half_in_english_is_seen_as_mixed(identifier: LanguageIdentifier) -> None:
    french, english = FRENCH + "\n", OTHERS["en"] + "\n"
    half = french * 20 + english * 25
    assert french_share(half) == pytest.approx(0.5, abs=0.1)
    assert french_share(french * 20) == 1.0
    assert french_share(english * 20) == 0.0
    assert french_share("12 : 30\n***\n") == 0.0
    assert not looks_french(half)
    _code, confidence = identifier.identify(half)
    assert confidence < 0.8


@pytest.mark.parametrize("text", ["", " \n", "123 456 ... !!", "日本語の文章です。" * 20, "\ufffd" * 500])
def test_what_is_no_language_known_is_unknown(identifier: LanguageIdentifier, text: str) -> None:
    assert identifier.identify(text) == (UNKNOWN, 0.0)


def test_the_samples_are_bounded_and_taken_from_all_of_a_text() -> None:
    text = " ".join(f"mot{i}" for i in range(200_000))
    taken = samples(text)
    assert sum(map(len, taken)) <= MAX_SAMPLED
    assert taken[0].startswith("mot0 ")
    assert taken[-1].endswith("mot199999")
    assert all(sample in text for sample in taken)
    assert samples("court") == ["court"]
    assert all(len(sample) <= MAX_SAMPLED for sample in samples("a" * 10**6))


def test_the_cost_does_not_grow_with_the_document(identifier: LanguageIdentifier) -> None:
    identifier.identify(OTHERS["it"])

    def seconds(text: str) -> float:
        times = []
        for _ in range(5):
            started = time.process_time()
            identifier.identify(text)
            times.append(time.process_time() - started)
        return min(times)

    assert seconds(OTHERS["it"] * 5000) < 20 * seconds(OTHERS["it"] * 8) + 0.01


def test_clean_french_hardly_ever_needs_lingua(shared_data: Path) -> None:
    n_pages = n_quick = 0
    for path in sorted((shared_data / "corpus_fr").glob("*.txt")):
        pages = list(pieces(path.read_text(encoding="utf-8"), 5000))[::4]
        n_pages += len(pages)
        n_quick += sum(map(looks_french, pages))
    assert n_pages > 500
    assert n_quick / n_pages > 0.9


def test_the_pages_that_the_quick_look_leaves_are_french_to_lingua(
    shared_data: Path, identifier: LanguageIdentifier
) -> None:
    for name in ("eltec_FRA04202_Rolland", "hurlus_holbach1776_morale"):
        text = (shared_data / f"corpus_fr/{name}.txt").read_text(encoding="utf-8")
        left = [page for page in pieces(text, 3000) if not looks_french(page)][:20]
        wrong = [page for page in left if identifier.identify(page)[0] != "fr"]
        assert len(wrong) <= 1


def test_wrong_candidates_are_refused() -> None:
    with pytest.raises(UserError, match="oc is no language that lingua knows"):
        LanguageIdentifier(candidates=("fr", "oc"))
    with pytest.raises(UserError, match="two languages"):
        LanguageIdentifier(candidates=("fr",))


def test_an_identifier_can_be_sent_to_other_processes(identifier: LanguageIdentifier) -> None:
    identifier.identify(OTHERS["de"])
    again = pickle.loads(pickle.dumps(identifier))
    assert again.candidates == CANDIDATES
    assert again.identify(OTHERS["de"])[0] == "de"


def test_without_lingua_clear_french_still_passes_and_the_rest_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['lingua'] = None\n"
        "from jarvis_nano.corpus.quality.language import LanguageIdentifier\n"
        f"i = LanguageIdentifier(); assert i.identify({FRENCH!r})[0] == 'fr'\n"
        f"try: i.identify({OTHERS['it']!r})\n"
        "except ValueError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
    )
    assert 'pip install -e ".[corpus]"' in done.stdout
