"""python -m jarvis_nano.kernels tells the truth about this machine, in 80 columns."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch

from jarvis_nano import kernels
from jarvis_nano.kernels import __main__ as doctor
from jarvis_nano.kernels import backends
from jarvis_nano.kernels.bpe.kinds import kinds
from jarvis_nano.kernels.bpe.op import extension


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["doctor", *arguments])
    doctor.main()


def test_what_runs_is_measured_and_what_does_not_says_why(monkeypatch, capsys):
    run(monkeypatch, "--json")
    found = json.loads(capsys.readouterr().out)
    lines = {(line["op"], line["backend"]): line for line in found["backends"]}
    assert {op for op, _ in lines} == {*backends.OPS, "BpeEncoder"}
    for line in lines.values():
        assert line["usable"] == (line["error"] is not None)
        assert line["usable"] or line["why_not"]
        assert line["built"] or not line["usable"]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    for name, op in backends.all_ops().items():
        assert lines[name, op.choose(torch.empty(0, device=device))]["chosen"]
    assert found["machine"]["torch"] == torch.__version__


def test_each_kind_of_tokenizer_is_native_or_says_why(monkeypatch, capsys):
    run(monkeypatch, "--json")
    found = {line["kind"]: line for line in json.loads(capsys.readouterr().out)["tokenizers"]}
    assert {"GPT-2", "Llama-3, cl100k", "o200k", "Qwen", "NeoX", "french", "the original's"} <= set(found)
    for line in found.values():
        assert line["error"] == 0
        assert line["native"] == (line["why_not"] == "")


def test_a_tokenizer_of_the_user_s_is_told_native_or_why_not(monkeypatch, capsys, tmp_path):
    samples = kinds()
    (tmp_path / "tokenizer.json").write_bytes(samples["french"])
    run(monkeypatch, "--tokenizer", str(tmp_path))
    told = capsys.readouterr().out
    assert told.startswith(f"{tmp_path}: 265 ids, ")
    assert ("native" in told) == (extension()[0] is not None)
    data = json.loads(samples["french"])
    data["model"]["dropout"] = 0.5
    (tmp_path / "tokenizer.json").write_text(json.dumps(data), encoding="utf-8")
    run(monkeypatch, "--tokenizer", str(tmp_path / "tokenizer.json"))
    assert "through the tokenizers library, the same ids but slower: merge dropout 0.5" in capsys.readouterr().out
    for broken in ("none", "tokenizer.json"):
        (tmp_path / "tokenizer.json").write_text("{", encoding="utf-8")
        with pytest.raises(SystemExit, match="2"):
            run(monkeypatch, "--tokenizer", str(tmp_path / broken))
        assert capsys.readouterr().err.startswith("error: ")


def test_the_table_fits_80_columns(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    run(monkeypatch)
    text = capsys.readouterr().out
    assert "layer_norm" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_kernel_that_is_wrong_is_named_and_the_exit_code_is_1(monkeypatch, capsys):
    measured = doctor.largest_error
    monkeypatch.setattr(
        doctor,
        "largest_error",
        lambda op, b, d: float("nan") if (op, b) == ("layer_norm", "cpp") else measured(op, b, d),
    )
    with pytest.raises(SystemExit, match="layer_norm cpp: further than"):
        run(monkeypatch)
    assert "nan" in capsys.readouterr().out


def test_available_lists_the_backends_of_every_op():
    found = kernels.available("cpu")
    assert set(found) == set(backends.OPS)
    assert all("reference" in names for names in found.values())
    assert "cuda" not in found["layer_norm"]


def test_a_backend_is_chosen_by_argument_then_context_then_environment_then_device():
    op = backends.all_ops()["layer_norm"]
    x = torch.zeros(2)
    assert op.choose(x) == "cpp"
    with kernels.use_backend("reference"):
        assert op.choose(x) == "reference"
        assert op.choose(x, "cpp") == "cpp"
        with kernels.use_backend("auto"):
            assert op.choose(x) == "cpp"
    assert op.choose(x.double()) == "reference"
    program = (
        "import torch\nfrom jarvis_nano.kernels import backends, use_backend\n"
        "op = backends.all_ops()['layer_norm']; x = torch.zeros(2); print(op.choose(x), op.choose(x, 'cpp'))\n"
        "with use_backend('cpp'): print(op.choose(x))"
    )
    environment = {**os.environ, "JARVIS_NANO_BACKEND": "reference"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["reference", "cpp", "cpp"]


@pytest.fixture
def a_gpu_like_h200(monkeypatch, tmp_path):
    """A machine that says it has a GPU of capability 9.0, and a table of what passed on which."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    monkeypatch.setattr(backends, "PROVEN_ON_GPU", tmp_path / "proven_on_gpu.json")
    monkeypatch.setattr(backends, "has_cuda_kernels", lambda: True)
    backends.proven_on_this_gpu.cache_clear()
    yield tmp_path / "proven_on_gpu.json"
    backends.proven_on_this_gpu.cache_clear()


@pytest.mark.parametrize(
    ("table", "chosen"),
    [
        (None, "reference"),
        ({"8.0": {"layer_norm": ["cuda", "triton"]}}, "reference"),
        ({"9.0": {"causal_attention": ["triton"]}}, "reference"),
        ({"9.0": {"layer_norm": ["triton", "cuda"]}}, "triton"),
        ({"9.0": {"layer_norm": ["cuda"]}}, "cuda"),
    ],
)
def test_auto_takes_the_fastest_kernel_that_has_passed_on_a_gpu_of_this_kind(a_gpu_like_h200, table, chosen):
    if table is not None:
        a_gpu_like_h200.write_text(json.dumps(table), encoding="utf-8")
    op = backends.all_ops()["layer_norm"]
    assert backends._first_usable(op, "cuda", torch.float32, 768)[0] == chosen


def test_a_gpu_that_nothing_has_passed_on_yet_is_told_what_to_do(a_gpu_like_h200, caplog):
    op = backends.all_ops()["linear_cross_entropy"]
    key = (op.name, "auto", "cuda", torch.float32, None)
    try:
        assert backends._resolve(*key) == "reference"
        assert "run `make gpu`" in caplog.text
    finally:
        op._chosen.pop(key[1:], None)


def test_use_backend_refuses_a_name_it_does_not_know():
    with pytest.raises(ValueError, match="unknown backend 'quick'"), kernels.use_backend("quick"):
        pass
