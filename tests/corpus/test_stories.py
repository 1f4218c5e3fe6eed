"""The stories: reproducible, varied, well formed; and their command line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from jarvis_nano.corpus import checker, stories
from jarvis_nano.corpus.phrases import Entity, entities
from jarvis_nano.corpus.schemas import join
from jarvis_nano.errors import UserError


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return list(stories.megabytes(2.5, seed=4))


def test_a_text_is_a_function_of_seed_and_index() -> None:
    first = list(stories.generate(20, seed=3))
    assert first == list(stories.generate(30, seed=3))[:20]
    assert first[7] == stories.story(3, 7)
    assert first != list(stories.generate(20, seed=4))


def test_another_process_writes_the_same_texts() -> None:
    code = "from jarvis_nano.corpus import stories; print(*stories.generate(5, 11), sep='|', end='')"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "|".join(stories.generate(5, 11))


def test_the_stories_leave_torch_alone() -> None:
    code = "import sys; from jarvis_nano.corpus import checker, stories; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_vocabulary_is_wide(texts: list[str]) -> None:
    assert len(stories.word_forms(texts)) >= 1500


def test_pairs_of_sentences_hardly_repeat(texts: list[str]) -> None:
    """At most 1 % in 20 MB (the slow test); in 2.5 MB accordingly less."""
    assert stories.repeated_pairs(texts) <= 0.003


@pytest.mark.slow
def test_pairs_of_sentences_hardly_repeat_in_20_megabytes() -> None:
    assert stories.repeated_pairs(stories.megabytes(20, seed=5)) <= 0.01


def test_repeated_pairs_are_counted() -> None:
    assert stories.repeated_pairs(["Il dort. Elle rit."] * 2 + ["Il dort. Elle chante."]) == pytest.approx(2 / 3)


def test_nothing_of_the_schemas_is_left(texts: list[str]) -> None:
    everything = "\n".join(texts)
    assert not re.search(r"[{}~@|=+]|  | [.,]|\b[Dd]e les? (?!voir)|\b(le|la|de|que|je|ne|se) [aéèêiîou]", everything)
    assert "None" not in everything
    assert all(text.count("«") == text.count("»") for text in texts)


@pytest.mark.parametrize(
    "form",
    [
        "vivaient",
        "vécurent",
        "suis allé",
        "suis levée",
        "avons vu",
        "l'",
        "qu'",
        "d'",
        "j'",
        "s'",
        "du ",
        "aux ",
        "des ",
        "« ",
        " ? »",
        "ne ",
        " pas ",
        " jamais ",
        "cet ",
        "bel ",
        "son ",
        "leur ",
        "elles ",
        "-t-il",
        "-t-elle",
        "avait perdu",
        "Pourquoi ",
        "Est-ce que",
        "Voici ",
    ],
)
def test_the_grammar_shows_its_range(texts: list[str], form: str) -> None:
    assert sum(form in text for text in texts) >= 5


def test_every_kind_of_text_is_written() -> None:
    assert {kind for kind, _ in stories._plans()} >= {"lost", "journey", "kindness", "talk", "diary", "recipe"}


def test_a_lost_thing_stays_the_same_thing(texts: list[str]) -> None:
    found = 0
    for text in texts:
        lost = re.search(r" perdit (?:son|sa) (\w+)", text)
        again = re.search(r" trouva (?:son|sa) (\w+)", text)
        if lost and again:
            found += 1
            assert lost[1] == again[1], text
    assert found > 20


def test_two_feminine_characters_are_elles() -> None:
    marie = next(e for e in entities("name") if e.le == "Marie")
    paul = next(e for e in entities("name") if e.le == "Paul")
    assert Entity.both(marie, marie).il == "elles"
    assert Entity.both(marie, paul).il == "ils"
    assert marie.il == "elle"


def test_joints() -> None:
    raw = "près de le~lac, il croit que il a de le~pain. si il le voit, le hibou de les~rois de Alice ne y est pas."
    assert join(raw) == "Près du lac, il croit qu'il a du pain. S'il le voit, le hibou des rois d'Alice n'y est pas."


# -- the command line --------------------------------------------------------------------------------------------------


def test_printed_stories_are_parted_by_blank_lines(capsys: pytest.CaptureFixture[str]) -> None:
    stories.run(["--count", "3", "--seed", "9"])
    assert capsys.readouterr().out == "\n\n".join(stories.generate(3, 9)) + "\n"


@pytest.mark.parametrize("name", ["s.txt", "s.jsonl", "s.jsonl.zst"])
def test_written_stories_are_read_back_and_all_correct(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stories.run(["--count", "30", "--seed", "2", "--out", str(tmp_path / name)])
    stories.run(["--check", str(tmp_path / name), "--json"])
    found = json.loads(capsys.readouterr().out)
    expected = sum(len(checker.sentences(text)) for text in stories.generate(30, 2))
    assert (found["sentences"], found["correct"], found["faults"]) == (expected, expected, [])
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_check_names_the_fault_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "wrong.txt"
    path.write_text("Le chat dort dans la maison. La chat mange une pomme.\n", encoding="utf-8")
    with pytest.raises(SystemExit) as stop:
        stories.run(["--check", str(path)])
    assert stop.value.code == 1
    out = capsys.readouterr().out
    assert "2 sentences, 1 correct (50.00 %)" in out
    assert "« La » ne va pas avec « chat » (masculin)" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--count", "0"], "at least 1"),
        (["--megabytes", "-1"], "more than 0"),
        (["--out", "x.csv"], ".jsonl.zst"),
        (["--check", "missing.txt"], "missing.txt"),
        (["--out", "nowhere/x.txt"], "nowhere"),
    ],
)
def test_bad_arguments_are_the_users_errors(arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        stories.run(arguments)


def test_size_in_megabytes() -> None:
    size = sum(len(text.encode()) for text in stories.megabytes(0.05, 1))
    assert 50_000 <= size < 53_000
