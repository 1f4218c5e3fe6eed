"""How the C library hands out memory while a model trains: freed blocks stay with the process.

glibc maps a block of more than 128 KB to 32 MB afresh and gives it back when it is freed. Every large tensor of a step
is then a page fault for each 4 KB, and the kernel zeroes what is overwritten at once. See docs/training.md.
"""

from __future__ import annotations

import ctypes
import os
import platform

SWITCH = "JARVIS_NANO_ALLOCATOR"  # "default" leaves the C library's own settings
# mallopt's parameters, from malloc.h.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -2, -3, -4
LARGEST = 1 << 30  # bytes: what is larger is mapped and given back, as before
PAD = 64 << 20  # bytes: the heap grows in steps of these, hundreds of system calls fewer


def keep_freed_memory() -> bool:
    """Let the process keep blocks of up to 1 GiB that it frees; returns whether the setting was made.

    It is for the whole process and cannot be taken back, so programs call it, never an import. Nothing happens where
    the C library is not glibc, where JARVIS_NANO_ALLOCATOR=default is set, or where the user has chosen by MALLOC_… or
    GLIBC_TUNABLES.
    """
    chosen = os.environ.get(SWITCH) == "default" or "glibc.malloc." in os.environ.get("GLIBC_TUNABLES", "")
    if chosen or any(name.startswith("MALLOC_") for name in os.environ) or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    if not mallopt(M_MMAP_THRESHOLD, LARGEST):  # before glibc 2.35 at most 32 MB: map nothing then
        mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, LARGEST)
    mallopt(M_TOP_PAD, PAD)
    return True
