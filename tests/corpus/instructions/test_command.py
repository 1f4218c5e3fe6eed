"""scripts/check_instructions.py as a user types it: what it prints and writes, and its exit codes."""

import io
import json
import runpy
import sys
from pathlib import Path

import pytest

from jarvis_nano.corpus.instructions.command import CheckInstructions
from jarvis_nano.tokenizer_training import train_tokenizer

ROOT = Path(__file__).resolve().parents[3]


def row(question, answer):
    return json.dumps({"instruction": question, "response": answer}, ensure_ascii=False)


@pytest.fixture
def script(tmp_path, monkeypatch, capsys):
    """script("i.jsonl", "--json") -> (exit code, stdout, stderr), run in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["check_instructions.py", *map(str, arguments)])
        code = 0
        try:
            runpy.run_path(str(ROOT / "scripts/check_instructions.py"), run_name="__main__")
        except SystemExit as end:
            code = end.code or 0
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def files(tmp_path):
    (tmp_path / "good.jsonl").write_text(
        row("Ça va ?", "Oui.") + "\n" + row("Et toi ?", "Moi aussi."), encoding="utf-8"
    )
    (tmp_path / "space.jsonl").write_text(row("Ça va ?", "Oui. ") + "\n", encoding="utf-8")
    (tmp_path / "bad.jsonl").write_text(
        row("Ça va ?", "\x1b[31mOui.") + "\n{\n" + row("Quoi ?", "Rien. "), encoding="utf-8"
    )


def test_exit_codes_tell_clean_from_faulty_from_impossible(script, files):
    code, out, err = script("good.jsonl")
    assert (code, err) == (0, "")
    assert "good.jsonl: 2 rows (formats: seed 2); 0 errors, 0 warnings, 0 notices" in out
    assert script("space.jsonl")[0] == 0
    assert script("space.jsonl", "--strict")[0] == 1
    assert script("space.jsonl", "--strict", "--ignore", "outer-space")[0] == 0
    assert script("good.jsonl", "bad.jsonl")[0] == 1
    for arguments, message in {
        ("none.jsonl",): "no such file: none.jsonl",
        (): "no file to check",
        ("good.jsonl", "--ignore", "nothing"): "there is no rule nothing",
        ("good.jsonl", "--context", "5"): "--tokenizer",
        ("good.jsonl", "--to", "openai"): "--out OUT",
        ("good.jsonl", "--out", "x.jsonl"): "--to FORMAT",
        ("good.jsonl", "--to", "seed", "--out", "x", "--fix", "y"): "one of the two",
        ("good.jsonl", "--fix", "good.jsonl"): "never overwritten",
        ("good.jsonl", "--tokenizer", "nowhere"): "no tokenizer at nowhere",
        ("good.jsonl", "--show", "-1"): "--show is -1",
        ("good.jsonl", "--against", "none.jsonl"): "no such file",
    }.items():
        code, out, err = script(*arguments)
        assert code == 2, arguments
        assert message in err
        assert "Traceback" not in err


def test_findings_are_printed_with_file_line_and_fix_and_without_control_codes(script, files):
    code, out, err = script("bad.jsonl")
    assert code == 1
    assert err == ""
    assert "\x1b" not in out
    assert (
        "bad.jsonl:1:41: control-character: message 2 has a control character (U+001B at character 1) → remove" in out
    )
    assert "bad.jsonl:2: bad-json: not JSON: Expecting property name enclosed in double quotes at column 2" in out
    assert "bad.jsonl: 2 rows" not in out
    code, out, _ = script("bad.jsonl", "--show", "1")
    assert "… and 2 more" in out
    assert "outer-space:" not in out
    assert script("bad.jsonl", "--show", "0")[1].count("bad.jsonl:") == 1


def test_json_holds_all_of_it(script, files):
    code, out, _ = script("bad.jsonl", "good.jsonl", "--json", "--show", "1")
    assert code == 1
    bad, good = json.loads(out)["files"]
    assert (bad["rows"], bad["errors"], bad["warnings"]) == (3, 2, 1)
    assert bad["counts"] == {"control-character": 1, "bad-json": 1, "outer-space": 1}
    assert [(one["code"], one["line"], one["severity"]) for one in bad["findings"]] == [
        ("control-character", 1, "error"),
        ("bad-json", 2, "error"),
        ("outer-space", 3, "warning"),
    ]
    assert good["findings"] == []


def test_a_file_is_repaired_and_converted(script, files, tmp_path):
    code, out, _ = script("bad.jsonl", "--fix", "fixed.jsonl", "--to", "openai")
    assert code == 1
    assert "bad.jsonl:2: dropped: bad-json" in out
    assert "wrote 2 of 3 rows in the format openai to fixed.jsonl" in out
    first = json.loads((tmp_path / "fixed.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert first == {"messages": [{"role": "user", "content": "Ça va ?"}, {"role": "assistant", "content": "[31mOui."}]}
    assert script("fixed.jsonl", "--strict")[0] == 0
    assert script("fixed.jsonl", "--to", "text", "--out", "text.jsonl")[0] == 0
    text = json.loads((tmp_path / "text.jsonl").read_text(encoding="utf-8").splitlines()[1])
    assert text == {"text": "<|user|>Quoi ?<|end|><|assistant|>Rien.<|end|></s>"}
    written = json.loads(script("bad.jsonl", "--fix", "fixed.jsonl", "--json")[1])["written"]
    assert (written["rows"], written["written"]) == (3, 2)
    assert [change["action"] for change in written["changes"]] == ["repaired", "dropped", "repaired"]


def test_a_trained_tokenizer_and_its_context_are_checked(script, files, tmp_path):
    train_tokenizer(["Ça va ? Oui. Moi aussi. " * 50], tmp_path / "tokenizer", vocab_size=280)
    assert script("good.jsonl", "--tokenizer", "tokenizer", "--context", "100")[0] == 0
    code, out, _ = script("good.jsonl", "--tokenizer", "tokenizer", "--context", "12")
    assert code == 1
    assert "too-long: " in out
    assert "expected at most 12" in out


def test_leaks_are_found(script, files):
    code, out, _ = script("good.jsonl", "--against", "space.jsonl")
    assert code == 1
    assert "good.jsonl:1: leak: the prompt of line 1 of space.jsonl" in out


def test_help_and_the_list_of_rules(script):
    code, out, _ = script("--help")
    assert code == 0
    assert "python scripts/check_instructions.py instructions.jsonl" in " ".join(out.split())
    code, out, _ = script("--rules")
    assert code == 0
    assert "near-duplicate" in out
    assert CheckInstructions.__doc__


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_where_only_ascii_can_be_written_signs_are_escaped(script, files, monkeypatch, flags):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    code, _, err = script("bad.jsonl", *flags)
    sys.stdout.flush()
    assert (code, err) == (1, "")
    out = written.getvalue().decode("ascii")
    if flags:
        assert json.loads(out)["files"][0]["rows"] == 3
    else:
        assert "bad.jsonl:1:" in out


def test_an_output_that_cannot_be_is_refused_before_the_check(script, files, tmp_path, monkeypatch):
    monkeypatch.setattr("jarvis_nano.corpus.instructions.command.check_file", None)
    for out, message in {"bad.jsonl": "is the input", "no/o.jsonl": "is no folder", ".": "is a folder"}.items():
        code, _, err = script("bad.jsonl", "--fix", out)
        assert code == 2
        assert message in err


def test_an_empty_result_says_what_went(script, files):
    code, _, err = script("good.jsonl", "--against", "good.jsonl", "--fix", "o.jsonl")
    assert code == 2
    assert "the 2 row(s) are beyond repair or to be left out (leak 2)" in err
