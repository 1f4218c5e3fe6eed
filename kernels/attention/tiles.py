"""How attention's Triton kernels are cut, by card, width and dtype: the largest tiles that spill no register.

Made by compiling alternatives with Triton 3.6 and 3.7 (docs/attention.md), not by measurement: no GPU was at hand.
"""

from __future__ import annotations

from typing import NamedTuple

import triton

_TRITON = tuple(int(part) for part in triton.__version__.split(".")[:2])


class Tiles(NamedTuple):
    """How a kernel is cut: BLOCK_M queries by BLOCK_N keys, so many warps, so many loads in flight."""

    BLOCK_M: int
    BLOCK_N: int
    num_warps: int
    num_stages: int
    maxnreg: int = 255  #: registers a thread. Left to itself, the assembler spills a few to come down to 128 or 80

    @property
    def options(self) -> dict[str, int]:
        """What the launch passes on to the compiler."""
        return {"num_warps": self.num_warps, "num_stages": self.num_stages, "maxnreg": self.maxnreg}


def padded(width: int) -> int:
    """Tiles are as wide as the next power of two, 16 at least."""
    return max(16, triton.next_power_of_2(width))


def tiles(kernel: str, architecture: int, width: int, itemsize: int, n_queries: int, group: int) -> Tiles:
    """The table: by kernel (forward, key_gradient, query_gradient), 10 · compute capability, width, bytes a value.

    A group of one is a constant to the compiler, which then spends fewer registers on key_gradient.
    """
    even, width = padded(width) == width, padded(width)
    if itemsize == 4:
        if width <= 64 or (width <= 128 and kernel == "forward"):
            return Tiles(32, 32, 8, 1)
        if width <= 128:
            return Tiles(16, 32, 8, 1)
        if kernel == "forward":
            return Tiles(32, 32, 8, 1) if architecture == 80 else Tiles(16, 16, 4, 1)
        return Tiles(16, 32, 8, 1) if kernel == "key_gradient" and architecture % 10 == 0 else Tiles(16, 16, 4, 1)
    if kernel == "forward" and n_queries <= 64 and width <= 128:
        return Tiles(16, 64, 4, 2) if n_queries <= 16 else Tiles(64, 64, 8, 2)
    # Ampere and consumer cards multiply from registers, Hopper and Blackwell's data-centre cards from shared memory.
    hopper = architecture in (90, 100)
    if width <= 64:
        # key_gradient: with two stages at width 64 Triton 3.6 spills 8 to 48 bytes on Ampere and consumer Blackwell.
        stages = 2 if architecture == 90 or _TRITON >= (3, 7) or width < 64 or group == 1 else 1
        key_gradient = Tiles(64, 64, 8, 1) if architecture == 100 else Tiles(32, 128, 8, stages)
        table = {
            "forward": Tiles(128, 64, 8, 2 if architecture == 120 else 3),
            "key_gradient": key_gradient,
            "query_gradient": Tiles(128, 64, 8, 2),
        }
        if architecture == 90:
            # 128 registers, where they suffice: two programs overlap on a multiprocessor. 64 columns, where they fit:
            # products 32 wide read their left operand too often from shared memory.
            table = {
                "forward": Tiles(128, 64, 8, 3, 128),
                "key_gradient": Tiles(64, 128, 8, 2) if group == 1 else key_gradient,
                "query_gradient": Tiles(128, 32, 8, 2, 128),
            }
    elif width <= 128:
        forward = {90: Tiles(128, 64, 8, 3), 100: Tiles(128, 32, 8, 2)}.get(architecture, Tiles(64, 64, 8, 2))
        key_gradient = Tiles(32, 32, 8, 2)
        if even and group == 1 and architecture != 100:
            key_gradient = Tiles(64 if architecture == 90 else 32, 64, 8, 2)
        table = {
            "forward": forward,
            "key_gradient": key_gradient,
            "query_gradient": Tiles(128, 64, 8, 2) if hopper else Tiles(64, 64, 8, 2),
        }
    else:
        table = {
            "forward": Tiles(64, 32, 8, 2),
            "key_gradient": Tiles(32, 32, 8, 1),
            "query_gradient": Tiles(32, 32, 8, 1),
        }
    return table[kernel]
