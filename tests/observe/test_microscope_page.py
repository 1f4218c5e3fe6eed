"""In a real browser the microscope's page shows the passages, goes back in time, and runs no text. Needs Chromium."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_pages import script

from jarvis_nano.observe.microscope_page import write_page
from jarvis_nano.observe.readings import Passage, Reading, ReadingFile

HOSTILE = "</script><script>document.title='gone'</script><img src=x onerror=\"document.title='gone'\">"
TEXTS = ("Le", " chat", HOSTILE, "", " 🦊", ".\n", "Fin")
LOSSES = {10: (8.0, 8.1, 8.2, 4.0, 4.3, 8.4, math.nan), 20: (1.0, 9.2, 8.2, 0.0, 0.0, 8.0, math.nan)}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(script.find_chromium() is None, reason="no Chromium: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with script.Chromium() as browser:
        yield browser


def _open(browser, run: Path, lang: str, steps: tuple[int, ...] = (10, 20)) -> None:
    with ReadingFile(run) as file:
        for step in steps:
            guesses = (" la", " chien", "a", "b", "c", ".", "d")
            file.append(Reading(step, 1.8e9, (Passage(TEXTS, LOSSES[step], guesses, (2, 7, 3, 1, 1, 4, 0)),)))
    browser.open(write_page(run, lang).resolve().as_uri())
    browser.wait_for("Passage 1", "Le chat", "🦊")


def _colours(browser) -> list[list[int]]:
    """Red, green and blue of each token of the passages; [] where it has none."""
    found = browser.evaluate(
        "[...document.querySelectorAll('.passage .t')]"
        ".map(token => (token.style.backgroundColor.match(/\\d+/g) || []).map(Number))"
    )
    assert found
    return found


def test_the_page_colours_the_tokens_and_shows_texts_as_they_are(browser, tmp_path):
    _open(browser, tmp_path, "fr")
    shown = browser.text()
    assert HOSTILE in shown.replace("\n", "")
    assert "pas 20" in shown
    assert "n'est plus un nombre" in shown
    assert browser.evaluate("document.title").startswith("Le microscope de la perte")
    assert browser.evaluate("document.querySelectorAll('img').length") == 0
    expected, surprising, *_, broken = _colours(browser)
    assert min(expected) > 180  # nearly white
    assert surprising[0] > 200
    assert max(surprising[1:]) < 110  # red
    assert broken == []
    assert len(_colours(browser)) == 6  # the fox is one


def test_what_was_learnt_is_green_and_the_gains_are_listed_best_first(browser, tmp_path):
    _open(browser, tmp_path, "en")
    browser.evaluate("document.getElementById('learnt').click()")
    browser.wait_for("What was learnt since the last time", "from step 10 to step 20", "greatest gains")
    learnt, lost, same, fox, *_ = _colours(browser)
    assert learnt[1] > max(learnt[0], learnt[2])
    assert lost[0] > max(lost[1:])
    assert same == [255, 255, 255]
    assert fox[1] > max(fox[0], fox[2])
    rows = browser.evaluate("[...document.querySelectorAll('td.n')].map(cell => cell.textContent)")
    assert rows == ["8.30 → 0.00", "8.00 → 1.00", "8.40 → 8.00"]


def test_the_slider_goes_back_in_time_and_a_token_says_what_was_expected(browser, tmp_path):
    _open(browser, tmp_path, "fr")
    browser.evaluate("document.getElementById('back').click()")
    browser.wait_for("pas 10")
    assert _colours(browser)[0][2] < 150
    hover = "new MouseEvent('mouseover', {bubbles: true})"
    browser.evaluate(f"document.querySelectorAll('.passage .t')[1].dispatchEvent({hover})")
    shown = browser.wait_for("8,10 nats", "6 autres tokens semblaient plus probables", "chien")
    assert "une chance sur 3" in shown.replace("\u202f", " ")  # e^8.1 = 3,294, shown as 3 300
    browser.evaluate("document.getElementById('learnt').click()")
    browser.wait_for("rien à quoi la comparer")


def test_a_page_of_one_evaluation_has_no_time_to_travel(browser, tmp_path):
    _open(browser, tmp_path, "en", (20,))
    assert browser.evaluate("document.getElementById('time').offsetParent === null")
    browser.evaluate("document.getElementById('learnt').click()")
    browser.wait_for("nothing to compare it with yet")
