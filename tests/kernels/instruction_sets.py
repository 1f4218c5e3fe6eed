"""Tests again, in a process of their own that is held to one instruction set: torch is imported once for all."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from jarvis_nano.kernels import backends

NAMES = ("portable", "avx2", "avx512")
ORDER = (*NAMES, "amx")  # tiles, for matrix products alone


def pass_with(instructions: str, chosen: Mapping[Path, str]) -> None:
    """Run of each file the tests that its expression (pytest -k) selects; skips where the processor lacks them."""
    if backends.missing_ops():
        pytest.skip(backends.missing_ops())
    if instructions == "amx":  # has to be asked for, so the process does not say whether it could
        cpu = Path("/proc/cpuinfo")
        if not cpu.exists() or " amx_bf16" not in cpu.read_text(encoding="utf-8"):
            pytest.skip("this processor has no tiles (AMX)")
    elif ORDER.index(instructions) > ORDER.index(backends.instruction_set()):
        pytest.skip(f"this processor has {backends.instruction_set()} at most")
    if instructions == backends.instruction_set():
        pytest.skip(f"this process runs them with {instructions} itself")
    program = (
        "import sys, pytest, torch\nfrom jarvis_nano.kernels import backends\n"
        f"assert backends.missing_ops() is None and backends.instruction_set() == {instructions!r}\n"
        f"for file, expression in {[(str(file), expression) for file, expression in chosen.items()]!r}:\n"
        "    if code := pytest.main(['-qx', '-p', 'no:cacheprovider', file, '-k', expression]):\n"
        "        sys.exit(code)"
    )
    environment = {**os.environ, "JARVIS_NANO_CPU": instructions}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
