"""The commands as a user types them: what they print, and one clear line and exit code 2 on the user's errors."""

import json
import math
import os
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FLAGS = "--vocab-size 300 --context 32 --n-layers 1 --n-heads 2 --d-model 32 --batch-size 4 --no-tensorboard"
SMALL = FLAGS.split()


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with a small corpus, and a run trained on it: runs/small."""
    folder = tmp_path_factory.mktemp("scripts")
    text = "Le chat numéro {} dort dans la cour. La lune brille sur le pré. Où est l'eau ?\n"
    documents = ("".join(text.format(5 * n + i) for i in range(5)) for n in range(60))
    (folder / "texte.txt").write_text("\n\n\n".join(documents), encoding="utf-8")
    rows = [{"instruction": f"Dis {n}.", "response": f"Voici {n} !"} for n in range(20)]
    (folder / "ins.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    before = Path.cwd()
    os.chdir(folder)
    code, _, err = call("pretrain", "--data", "texte.txt", "--run", "small", "--steps", "20", *SMALL, capture=None)
    os.chdir(before)
    assert code == 0, err
    return folder


@pytest.fixture
def script(workplace, monkeypatch, capsys):
    """script("sample", "small", "Le chat") -> (exit code, stdout, stderr), run in the workplace."""
    monkeypatch.chdir(workplace)
    monkeypatch.delenv("JARVIS_NANO_RUNS", raising=False)
    return lambda name, *args: call(name, *args, capture=capsys)


def call(name, *args, capture):
    before = sys.argv
    sys.argv = [f"scripts/{name}.py", *args]
    if capture:
        capture.readouterr()
    try:
        runpy.run_path(str(ROOT / "scripts" / f"{name}.py"), run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code or 0
    finally:
        sys.argv = before
    out, err = capture.readouterr() if capture else ("", "")
    return code, out, err


def refused(result, *parts):
    code, out, err = result
    assert code == 2, (code, out, err)
    assert "Traceback" not in err
    for part in parts:
        assert part in err, err


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "scripts").glob("*.py")))
def test_every_script_has_help_with_an_example(script, name):
    code, out, _ = script(name, "--help")
    assert code == 0
    assert f"python scripts/{name}.py" in " ".join(out.split())


def test_sample_continues_a_prompt_and_the_seed_decides(script):
    first = script("sample", "small", "Le chat", "--tokens", "12", "--seed", "1")
    assert first[0] == 0
    assert "Le chat" in first[1]
    assert first == script("sample", "small", "Le chat", "--tokens", "12", "--seed", "1")


def test_evaluate_gives_bits_per_byte(script):
    code, out, _ = script("evaluate", "small", "--data", "texte.txt", "--json")
    found = json.loads(out)
    assert code == 0
    assert 0 < found["bits_per_byte"] < 8
    assert found["bytes"] > 10_000
    bits = found["loss"] * found["tokens"] / math.log(2)
    assert bits / found["bytes"] == pytest.approx(found["bits_per_byte"])


def test_evaluate_takes_files_or_grammar_and_not_both(script):
    refused(script("evaluate", "small"), "--data", "--grammar")
    refused(script("evaluate", "small", "--grammar", "--data", "texte.txt"), "one of the two")


def test_evaluate_scores_grammar_on_the_pairs_that_fit(script):
    code, out, _ = script("evaluate", "small", "--grammar", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["too_long"] > 0  # a context of 32, and a tokenizer of few merges
    assert all(0 <= share <= 1 for share in found["accuracy"].values())
    assert found["grammar"] == pytest.approx(sum(found["accuracy"].values()) / len(found["accuracy"]))


def test_a_tuned_run_can_be_evaluated_on_instructions(script):
    flags = ("--data", "ins.jsonl", "--run", "tuned", "--steps", "3", "--no-tensorboard")
    code, out, err = script("finetune", "small", *flags)
    assert code == 0, err
    code, out, _ = script("evaluate", "tuned", "--data", "ins.jsonl", "--json")
    assert code == 0
    assert json.loads(out)["conversations"] == 20


def test_unknown_preset_suggests_the_right_one(script):
    refused(script("pretrain", "nanno"), "nanno", "did you mean nano?")


def test_a_mistyped_flag_suggests_the_right_one(script):
    code, out, err = script("pretrain", "--stepps", "3")
    assert code == 2
    assert "--steps" in out + err


def test_missing_data_is_named(script):
    refused(script("pretrain", "--data", "rien.txt", "--run", "x"), "rien.txt")
    assert not Path("runs/x").exists()


def test_empty_and_foreign_files_are_refused(script):
    Path("vide.txt").write_text("")
    Path("latin.txt").write_bytes("été".encode("latin-1") * 100)
    refused(script("pretrain", "--data", "vide.txt", "--run", "x"), "vide.txt")
    refused(script("pretrain", "--data", "latin.txt", "--run", "x"), "latin.txt", "UTF-8")
    assert not Path("runs/x").exists()


def test_a_corpus_smaller_than_a_batch_is_refused(script):
    tokenizer = "runs/small/tokenizer"
    Path("court.txt").write_text("Le chat dort.\n" * 4)
    refused(script("pretrain", "--data", "court.txt", "--tokenizer", tokenizer, "--run", "x", *SMALL), "court")
    assert not Path("runs/x").exists()


def test_a_tokenizer_that_does_not_fit_the_checkpoint_is_refused(script, tmp_path):
    import shutil

    shutil.copytree("runs/small", tmp_path / "other")
    path = tmp_path / "other" / "tokenizer" / "tokenizer.json"
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    refused(script("sample", str(tmp_path / "other"), "Le"), "tokenizer", "trained with")


def test_a_prompt_longer_than_the_context_is_refused(script):
    refused(script("sample", "small", "Le chat dort dans la cour. " * 30), "context")


def test_an_unknown_run_names_those_there_are(script):
    refused(script("sample", "smal", "Le"), "small")
    refused(script("chat", "smal"), "small")


def test_a_damaged_checkpoint_is_refused(script, tmp_path):
    import shutil

    shutil.copytree("runs/small", tmp_path / "other")
    weights = next((tmp_path / "other" / "checkpoints").rglob("model.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-7])
    refused(script("sample", str(tmp_path / "other"), "Le"), "damaged")


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission_is_one_line(script, tmp_path, monkeypatch):
    tmp_path.chmod(0o500)
    monkeypatch.setenv("JARVIS_NANO_RUNS", str(tmp_path / "runs"))
    refused(script("pretrain", "--data", "texte.txt", "--run", "x", "--steps", "2", *SMALL), "permission")
