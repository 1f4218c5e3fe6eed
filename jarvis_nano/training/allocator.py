"""Where large CPU tensors lie while a model trains: in memory that the process keeps (csrc/arena.h).

The C library maps a large block afresh and gives it back when it is freed, and the kernel zeroes each of its pages at
the next use; told to keep blocks (mallopt), it scatters them among small ones and grows. See docs/training.md.
"""

from __future__ import annotations

import os
import re

import torch

from jarvis_nano.errors import UserError

SWITCH = "JARVIS_NANO_ALLOCATOR"  # "default" leaves torch's own
_ADDRESSES = 2  # times the machine's memory: they cost nothing


def keep_freed_memory() -> bool:
    """Let torch's CPU tensors of 64 KB and more lie in an arena that keeps what is freed; returns whether they do.

    It is for the whole process and cannot be taken back, so programs call it, never an import. Nothing happens with
    JARVIS_NANO_ALLOCATOR=default, where the module is not compiled (systems other than POSIX), and where the process
    may not reserve the addresses (ulimit -v). UserError where it was compiled for another torch.
    """
    wish = os.environ.get(SWITCH, "arena")
    if wish not in ("arena", "default"):
        raise UserError(f"{SWITCH} is {wish!r}; expected arena or default")
    if wish == "default" or os.name != "posix":
        return False
    from jarvis_nano import _allocator

    version = re.match(r"\d+\.\d+\.\d+", torch.__version__)
    if version is None or version[0] != _allocator.TORCH_VERSION:
        raise UserError(
            f"the allocator was compiled for torch {_allocator.TORCH_VERSION}, this is {torch.__version__}; "
            f"run pip install -e . again, or set {SWITCH}=default"
        )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return _allocator.install(_ADDRESSES * memory)
