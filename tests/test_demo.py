"""The demo keeps its promises: what it reaches on this machine, from nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_the_demo_writes_french_and_answers(tmp_path):
    command = [sys.executable, str(ROOT / "scripts" / "demo.py"), "--no-tensorboard"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((tmp_path / "runs/demo/demo.json").read_text(encoding="utf-8"))
    assert found["grammar_percent"] >= 90
    assert found["distinct_percent"] >= 80
    assert found["new_percent"] >= 50
    assert found["held_out_answers_percent"] >= 60
    assert len(found["held_out_answers_by_kind"]) >= 8
    assert all(turn["assistant"] for turn in found["transcript"])
    chat = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "chat.py")],
        cwd=tmp_path,
        input="Bonjour !\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert chat.returncode == 0, chat.stderr
    assert chat.stdout.strip()
