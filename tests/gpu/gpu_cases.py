"""Which cases there are: tiny and ugly ones, one of a middling size an op, and those of real models."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from gpu_case import PAIRS, REHEARSAL, Case
from gpu_ops import activation, adamw, attention, cross_entropy, norm, rotary

# What a new combination of dtype and width costs is a second or two of Triton's compiler for each kernel: float16 and
# float32 are left to some of the large cases.
BF16 = (torch.bfloat16,)
BF16_FP32 = (torch.bfloat16, torch.float32)

CASES = [
    norm("layer", (239, 1), size="small"),
    norm("layer", (79, 11), residual=True, size="small"),
    norm("layer without bias", (5, 113), size="small"),
    norm("rms", (2, 7, 3, 64), sliced=True, size="small"),
    norm("rms", (3, 760), residual=True, size="small"),
    norm("layer", (1500, 768), residual=True, size="medium"),
    norm("layer", (1000, 760), residual=True, dtypes=BF16_FP32),
    norm("rms", (16384, 768), residual=True),
    norm("layer", (3000, 1128), residual=True),
    norm("layer without bias", (513, 4096)),
    norm("rms", (2000, 4096), residual=True, dtypes=BF16),
    norm("rms", (10, 1000, 10, 64), sliced=True),
    norm("rms", (4, 1000, 6, 128), sliced=True, dtypes=BF16),
    norm("layer", (300, 12289), residual=True, dtypes=BF16_FP32),  # for CUDA, which walks over rows that are so wide
    attention(1, 1, 1, 1, 1, 1, size="small"),
    attention(2, 3, 3, 39, 39, 5, "window", size="small"),
    attention(1, 2, 1, 113, 203, 24, size="small"),
    attention(1, 4, 2, 70, 70, 64, "both", size="small"),
    attention(1, 2, 1, 50, 70, 128, "document", size="small"),
    attention(2, 8, 2, 300, 300, 64, "both", size="medium"),
    attention(1, 2, 2, 239, 239, 1, dtypes=BF16_FP32),
    attention(1, 2, 2, 799, 799, 3, "window", dtypes=BF16_FP32),
    attention(1, 2, 2, 113, 113, 203, dtypes=BF16_FP32),
    attention(1, 2, 1, 108, 108, 256, dtypes=BF16_FP32),
    attention(2, 4, 4, 2048, 2048, 64),
    attention(2, 4, 4, 2048, 2048, 128, dtypes=(torch.bfloat16, torch.float16)),
    attention(2, 8, 2, 1000, 1000, 64, "both", dtypes=BF16),
    attention(2, 4, 1, 515, 1030, 128, "document", dtypes=BF16),
    attention(2, 4, 2, 1, 777, 64, dtypes=BF16),
    attention(2, 4, 4, 1024, 1024, 32, "document", dtypes=BF16),
    cross_entropy(1, 1, 1, size="small"),
    cross_entropy(5, 3, 7, ignored=0.3, size="small"),
    cross_entropy(39, 24, 113, ignored=0.3, z_loss=1e-2, uneven=True, size="small"),
    cross_entropy(600, 256, 4999, ignored=0.1, z_loss=1e-3, size="medium"),
    cross_entropy(239, 1, 2049, uneven=True),
    cross_entropy(799, 3, 1001, ignored=1.0),
    cross_entropy(5000, 64, 50257, ignored=0.1, uneven=True),
    cross_entropy(3000, 768, 50304, ignored=0.1, z_loss=1e-3),
    rotary(1, 1, 1, 2, size="small"),
    rotary(2, 11, 3, 50, "each", size="small"),
    rotary(2, 40, 2, 64, "shared", size="small"),
    rotary(4, 256, 6, 64, "each", size="medium"),
    rotary(4, 1024, 24, 64, "shared"),
    rotary(1, 799, 5, 160),
    *(activation(kind, 39, 3, size="small") for kind in ("gelu", "swiglu", "relu_squared")),
    activation("gelu", 5, 113, bias=False, size="small"),
    activation("swiglu", 1000, 1128, size="medium"),
    activation("gelu", 8192, 3072),
    activation("relu_squared", 799, 1000, bias=False),
    activation("relu_squared", 3001, 768),
    adamw([(1,), (3, 5), (2048,), (2049,)], rates_on_device=False, size="small"),
    adamw([(50, 103), (7,)], rates_on_device=True, size="small"),
    adamw([(1000, 768), (768,), (513, 3)], rates_on_device=True, size="medium"),
    adamw([(50304, 768), (768,), (3, 5), (2304, 768), (3,)], rates_on_device=False),
]


def of_op(op: str, *sizes: str) -> list[Case]:
    return [case for case in CASES if case.op == op and (not sizes or case.size in sizes)]


def medium(op: str) -> Case:
    return (of_op(op, "small") if REHEARSAL else of_op(op, "medium"))[-1]


def small(op: str, backend: str) -> Iterator[tuple[Case, torch.dtype]]:
    """The small cases that the backend takes, in each of its dtypes."""
    for case in of_op(op, "small"):
        for dtype in case.dtypes_of(backend):
            yield case, dtype


def error_cases() -> Iterator[tuple[str, str, Case, torch.dtype]]:
    for op, backend in PAIRS:
        for case in of_op(op, "small") if REHEARSAL else of_op(op):
            for dtype in case.dtypes_of(backend):
                yield op, backend, case, dtype
