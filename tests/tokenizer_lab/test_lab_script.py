"""scripts/train_tokenizer.py as a user types it: its three uses, their exit codes, one clear line on wrong input."""

from __future__ import annotations

import json
import runpy
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from jarvis_nano.tokenizer import Tokenizer

SCRIPT = Path(__file__).resolve().parents[2] / "scripts/train_tokenizer.py"
Result = tuple[int, str, str]


@pytest.fixture
def script(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """script("--doctor", folder) -> (exit code, stdout, stderr)."""

    def call(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        except SystemExit as end:
            code = int(end.code or 0)
        return (code, *capsys.readouterr())

    return call


def refused(result: Result, *parts: str) -> None:
    code, out, err = result
    assert code == 2, result
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    for part in parts:
        assert part in err, err


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "texte.txt"
    path.write_text("\n\n\n".join(f"L'eau numéro {n} dort : « œuvre » d'été.\nEt l'or ?" for n in range(300)))
    return path


def test_help_shows_the_three_uses(script) -> None:
    code, out, _ = script("--help")
    assert code == 0
    joined = " ".join(out.split())
    for use in ("novels/ --out", "--compare data/tokenizer other/tokenizer.json --data", "--doctor data/tokenizer"):
        assert f"python scripts/train_tokenizer.py {use}" in joined


def test_training_on_a_sample_says_and_stores_what_was_sampled(script, text, tmp_path) -> None:
    out = tmp_path / "tokenizer"
    code, printed, err = script(text, "--out", out, "--vocab-size", 280, "--sample-bytes", 4000, "--hold-out")
    assert code == 0, err
    record = json.loads((out / "training.json").read_text(encoding="utf-8"))
    assert record["tokenizer"] == Tokenizer.load(out).hash
    assert record["sample"]["bytes_kept"] <= 4000
    assert record["sample"]["validation_held_out"]
    assert f"a sample of {record['sample']['texts_kept']} pieces" in printed
    code, printed, _ = script(text, "--out", out, "--vocab-size", 280)
    assert "trained on all of the corpus: 300 documents" in printed


def test_a_comparison_prints_tables_or_json(script, trained, text) -> None:
    code, out, err = script("--compare", trained["french"], trained["gpt2"], "--data", text)
    assert code == 0, err
    assert "bits per byte" in out
    assert "elisions kept" in out
    code, out, _ = script("--compare", trained["french"], trained["gpt2"], "--data", text, "--json")
    found = json.loads(out)
    assert found["format"] == "jarvis_nano-tokenizer-comparison"
    assert [one["name"] for one in found["tokenizers"]] == ["french", "gpt2"]
    assert 0 < found["tokenizers"][0]["bits"]["total"] < 8


def test_one_tokenizer_alone_is_measured_without_marks(script, trained, text) -> None:
    code, out, _ = script("--compare", trained["french"], "--data", text)
    assert code == 0
    assert "*" not in out.split("* the best")[0]


def test_the_texts_to_learn_from_can_be_others(script, trained, text, tmp_path) -> None:
    other = tmp_path / "autre.txt"
    other.write_text("Une page d'un livre, où l'on parle de l'eau.\n" * 200, encoding="utf-8")
    flags = ("--compare", trained["french"], "--data", text, "--json")
    alone, helped = (json.loads(script(*flags, *more)[1]) for more in ((), ("--learn-from", other)))
    assert alone["tokenizers"][0]["bits"] != helped["tokenizers"][0]["bits"]
    assert alone["tokenizers"][0]["cuts"] == helped["tokenizers"][0]["cuts"]


def test_text_that_is_not_french_is_said_to_be_so(script, trained, tmp_path) -> None:
    english = tmp_path / "english.txt"
    english.write_text("The cat sleeps near the old bridge, and nobody knows why.\n" * 50, encoding="utf-8")
    code, out, _ = script("--compare", trained["french"], "--data", english)
    assert code == 0
    assert "does not look French" in out
    assert "–" in next(line for line in out.splitlines() if "elisions kept" in line)


def test_a_megabyte_of_one_character_is_measured(script, trained, tmp_path) -> None:
    for name, character in (("a", "a"), ("quote", "'"), ("space", "é ")):
        path = tmp_path / f"{name}.txt"
        path.write_text(character * (1_000_000 // len(character)), encoding="utf-8")
        for use in (("--compare", trained["french"]), ("--doctor", trained["french"])):
            code, _, err = script(*use, "--data", path)
            assert code == 0, err


@pytest.mark.parametrize("name", ["french", "gpt2"])
def test_the_doctor_calls_what_loses_nothing_healthy(script, trained, name) -> None:
    code, out, _ = script("--doctor", trained[name])
    assert code == 0
    assert "Healthy" in out


def test_the_doctor_exits_1_where_text_is_lost(script, kind, text) -> None:
    code, out, _ = script("--doctor", kind["the original's"] / "tokenizer.json", "--data", text, "--json")
    found = json.loads(out)
    assert code == 1
    assert found["loses"]
    assert {"dropped-characters", "no-decoder"} <= {finding["name"] for finding in found["findings"]}


def test_what_is_no_tokenizer_is_refused(script, tmp_path, trained) -> None:
    for use in ("--doctor", "--compare"):
        refused(script(use, tmp_path / "none"), "no tokenizer at")
        (tmp_path / "empty").mkdir(exist_ok=True)
        refused(script(use, tmp_path / "empty"), "holds no tokenizer.json")
        for number, (content, message) in enumerate(
            {
                b"{": "not valid JSON",
                b"\x00\xff": "not valid JSON",
                b"[]": 'no "model" section',
                b'{"model": {"type": "Unigram", "vocab": []}}': "Unigram",
                (trained["french"] / "tokenizer.json").read_bytes()[:-500]: "not valid JSON",
            }.items()
        ):
            folder = tmp_path / f"{use}{number}"
            folder.mkdir()
            (folder / "tokenizer.json").write_bytes(content)
            refused(script(use, folder), str(folder), message)


def test_texts_that_cannot_be_read_are_refused(script, tmp_path, trained) -> None:
    (tmp_path / "vide.txt").write_bytes(b"")
    (tmp_path / "blanc.txt").write_bytes(b" \n \n")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    for use in (("--compare", trained["french"]), ("--doctor", trained["french"])):
        refused(script(*use, "--data", tmp_path / "rien.txt"), "rien.txt")
        refused(script(*use, "--data", tmp_path / "vide.txt"), "is empty")
        refused(script(*use, "--data", tmp_path / "blanc.txt"), "white space")
        refused(script(*use, "--data", tmp_path / "latin.txt"), "not UTF-8")


def test_uses_that_do_not_go_together_are_refused(script, text, trained, tmp_path) -> None:
    refused(script(), "nothing to do")
    refused(script(text), "--out")
    refused(script(text, "--compare", trained["french"]), "different uses")
    refused(script("--doctor", trained["french"], "--compare", trained["gpt2"]), "different uses")
    refused(script("--doctor", trained["french"], "--out", tmp_path / "x"), "--out is for training")
    refused(script("--doctor", trained["french"], "--learn-from", text), "--learn-from")
    refused(script(text, "--out", tmp_path / "x", "--data", text), "--data")
    refused(script(text, "--out", tmp_path / "x", "--json"), "--json")
    refused(script(text, "--out", tmp_path / "x", "--sample-bytes", -5), "-5 bytes")
    assert not (tmp_path / "x").exists()


def test_a_sample_too_small_for_the_vocabulary_writes_nothing(script, text, tmp_path) -> None:
    refused(script(text, "--out", tmp_path / "x", "--vocab-size", 5000), "reaches only")
    assert not (tmp_path / "x").exists()


def test_a_folder_is_trained_into_again_without_trace_of_the_first(script, text, tmp_path) -> None:
    for size in (280, 290):
        assert script(text, "--out", tmp_path / "x", "--vocab-size", size)[0] == 0
    record = json.loads((tmp_path / "x/training.json").read_text(encoding="utf-8"))
    assert (record["vocab_size"], record["tokenizer"]) == (290, Tokenizer.load(tmp_path / "x").hash)
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "x", copy)
    assert script("--doctor", copy)[0] == 0
