"""The allocator's setting: what it spares, and who may refuse it. In processes of their own: it is for good."""

import os
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")

# Page faults of 4 KB while a block of 48 MB is written and freed again and again.
PROGRAM = """
import ctypes, resource, sys
from jarvis_nano.training.allocator import keep_freed_memory
made = "unset" if sys.argv[1:] else keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]

def use():
    block = libc.malloc(48 << 20)
    ctypes.memset(block, 1, 48 << 20)
    libc.free(block)

use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    use()
print(made, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
BLOCK = (48 << 20) // 4096  # pages


def run(*arguments, **variables):
    """What keep_freed_memory returned ("unset": it was not called), and the page faults of ten blocks."""
    mine = ("JARVIS_NANO_ALLOCATOR", "GLIBC_TUNABLES")
    environment = {name: value for name, value in os.environ.items() if name not in mine and name[:7] != "MALLOC_"}
    command = [sys.executable, "-c", PROGRAM, *arguments]
    done = subprocess.run(command, env=environment | variables, capture_output=True, text=True, check=True)
    made, faults = done.stdout.split()
    return made, int(faults)


def test_a_freed_block_is_used_again_without_page_faults():
    made, faults = run()
    assert made == "True"
    assert faults < BLOCK / 10


def test_without_it_every_use_faults_again():
    _, faults = run("unset")
    assert faults > 9 * BLOCK


@pytest.mark.parametrize(
    "variables",
    [
        {"JARVIS_NANO_ALLOCATOR": "default"},
        {"MALLOC_MMAP_THRESHOLD_": "1048576"},
        {"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=1048576"},
    ],
    ids=lambda variables: next(iter(variables)),
)
def test_the_user_can_refuse_it_or_choose_otherwise(variables):
    assert run(**variables)[0] == "False"
