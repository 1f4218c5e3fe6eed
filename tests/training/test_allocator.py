"""The arena for large CPU tensors: what it spares, that no two blocks overlap, who may refuse it. In processes of their
own: it is for good."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the arena is for POSIX systems")

START = """
import resource, sys
import torch
from jarvis_nano.training.allocator import keep_freed_memory
made = keep_freed_memory()
"""

# Page faults of 4 KB while 48 MB are written and freed again and again.
FAULTS = """
def use():
    torch.empty(12 << 20).fill_(1.0)
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    use()
print(made, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
BLOCK = (48 << 20) // 4096  # pages

# Tensors of random sizes come and go, also from threads; each holds its own number from end to end.
CHURN = """
import random, threading
from jarvis_nano import _allocator
assert made and keep_freed_memory()
before = _allocator.bytes_in_use()
wrong = []

def churn(seed):
    rng, held = random.Random(seed), {}
    for number in range(1500):
        if len(held) > 20 or (held and rng.random() < 0.45):
            of, tensor = held.popitem() if rng.random() < 0.5 else (k := rng.choice(list(held)), held.pop(k))
            if not bool((tensor == of).all()):
                wrong.append((seed, of))
        else:
            n = rng.choice((1, 1000, 16384, 16385, rng.randrange(1 << 19)))
            held[number] = torch.full((n,), float(number))

threads = [threading.Thread(target=churn, args=(seed,)) for seed in range(3)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert not wrong, wrong
assert _allocator.bytes_in_use() == before
print("opened", _allocator.bytes_opened())
big = torch.empty(_allocator.bytes_opened() // 4 - (1 << 19))   # all of it is one block again
big.zero_()
print("opened", _allocator.bytes_opened())
"""

# What is larger than the range goes to torch's own allocator, whose error it is.
TOO_LARGE = """
try:
    torch.empty(1 << 60)
except RuntimeError as error:
    print("refused" if "memory" in str(error) else error)
"""

FORK = """
import os, threading
stop = False
def busy():
    while not stop:
        torch.empty(1 << 16)
thread = threading.Thread(target=busy)
thread.start()
for _ in range(50):
    child = os.fork()
    if child == 0:
        torch.empty(1 << 16)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
stop = True
thread.join()
print("ended")
"""


def run(program, prefix=(), **variables):
    """What the program prints."""
    environment = {name: value for name, value in os.environ.items() if name != "JARVIS_NANO_ALLOCATOR"}
    command = [*prefix, sys.executable, "-c", START + program]
    done = subprocess.run(command, env=environment | variables, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_freed_memory_is_used_again_without_page_faults():
    made, faults = run(FAULTS).split()
    assert made == "True"
    assert int(faults) < BLOCK / 10


def test_without_it_every_use_faults_again():
    made, faults = run(FAULTS, JARVIS_NANO_ALLOCATOR="default").split()
    assert made == "False"
    assert int(faults) > 9 * BLOCK


def test_blocks_of_many_threads_never_overlap_and_join_again_when_all_are_free():
    first, second = (int(line.split()[1]) for line in run(CHURN).splitlines())
    assert first == second


def test_more_than_the_range_is_torchs_own_error():
    assert run(TOO_LARGE) == "refused\n"


def test_a_forked_child_can_allocate():
    assert run(FORK) == "ended\n"


def test_where_the_addresses_are_not_to_be_had_it_says_no():
    limit = 8 << 20  # KB: enough for torch, not for twice the memory of any machine it is tested on
    if 2 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") < limit << 10:
        pytest.skip("a machine with so little memory that the addresses fit into the limit")
    limited = ("sh", "-c", f'ulimit -v {limit}; exec "$@"', "-")
    made = run("print(made, float(torch.ones(1 << 20).sum()))", prefix=limited)
    assert made == "False 1048576.0\n"


def test_another_torch_is_refused_with_what_to_do():
    program = """
from jarvis_nano.errors import UserError
import jarvis_nano.training.allocator as allocator
allocator.torch = type("Other", (), {"__version__": "2.99.1+cpu"})
try:
    keep_freed_memory()
except UserError as error:
    print(error)
"""
    assert "this is 2.99.1+cpu; run pip install -e . again" in run(program)


def test_a_misspelt_wish_is_named():
    environment = os.environ | {"JARVIS_NANO_ALLOCATOR": "glibc"}
    done = subprocess.run([sys.executable, "-c", START], env=environment, capture_output=True, text=True)
    assert "JARVIS_NANO_ALLOCATOR is 'glibc'; expected arena or default" in done.stderr
