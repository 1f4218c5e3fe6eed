"""A kernel that reads one value past the end of its tensor: the memory checker must see it, or it sees nothing."""

from __future__ import annotations

import torch
import triton
import triton.language as tl


@triton.jit
def copy_from_the_next(x_ptr, y_ptr, SIZE: tl.constexpr):
    at = tl.arange(0, SIZE)
    tl.store(y_ptr + at, tl.load(x_ptr + at + 1))


if __name__ == "__main__":
    x, y = torch.zeros(128, device="cuda"), torch.empty(128, device="cuda")
    copy_from_the_next[(1,)](x, y, 128)
    torch.cuda.synchronize()
