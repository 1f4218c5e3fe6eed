"""What a Triton kernel module says about itself so that it can be compiled without a GPU (tests/kernels)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Configuration(NamedTuple):
    """One way to compile a kernel; `module.ahead_of_time(architecture)` yields all that its tables can choose."""

    name: str
    kernel: Any  #: the function under @triton.jit
    signature: Mapping[str, str]  #: argument -> "*bf16", "i32", "fp32"…; pointers count as 16-byte aligned
    constants: Mapping[str, Any]  #: the tl.constexpr arguments
    num_warps: int = 4
    num_stages: int = 3
    divisible: tuple[str, ...] = ()  #: whole-number arguments that are multiples of 16 (strides, most of the time)
    maxnreg: int | None = None  #: the most registers a thread may take
