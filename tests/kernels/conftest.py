"""Kernels are tested without a GPU: Triton's run in its interpreter, which must be asked for before it is imported."""

from __future__ import annotations

import os

import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")
