"""The CPU kernels' tests once more, with their C++ compiled under the address and the undefined-behaviour sanitizer."""

from __future__ import annotations

import pytest
import sanitize


@pytest.mark.slow
@pytest.mark.parametrize("instructions", ["avx512", "avx2", "portable"])
def test_no_kernel_reads_or_writes_where_it_must_not(tmp_path_factory, monkeypatch, instructions):
    if why := sanitize.missing("address"):
        pytest.skip(why)
    folder = sanitize.build("ops", "address", tmp_path_factory.getbasetemp() / "ops-address")
    from instruction_sets import NAMES

    from jarvis_nano.kernels import backends

    if NAMES.index(instructions) > NAMES.index(backends.instruction_set()):
        pytest.skip(f"this processor has {backends.instruction_set()} at most")
    monkeypatch.setenv("JARVIS_NANO_CPU", instructions)
    ran = sanitize.run("address", folder, sanitize.tests("ops"))
    assert ran.returncode == 0, ran.stdout[-5000:]
    assert " passed" in ran.stdout
