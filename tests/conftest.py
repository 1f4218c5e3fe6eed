"""Fixtures for every test: the shared data beside the repository, and a small, fixed number of threads.

Without a GPU Triton's kernels run in its interpreter, which must be asked for before anything imports triton.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder ../shared/data beside the repository: real texts, instructions, the seed's checkpoint."""
    folder = ROOT.parent / "shared/data"
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder}")
    return folder


@pytest.fixture(autouse=True, scope="session")
def two_threads() -> None:
    """Two threads, whatever the machine: enough to test the splitting of work, and the same result everywhere."""
    torch.set_num_threads(min(2, os.cpu_count() or 1))
