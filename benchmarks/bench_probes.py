"""What a look inside costs: each probe once, on the `mini` preset, beside the model's own forward pass.

    OMP_NUM_THREADS=2 pytest benchmarks/bench_probes.py --benchmark-only --benchmark-columns=min,median,rounds
"""

import pytest
import torch

from jarvis_nano.config import PRESETS
from jarvis_nano.model import Transformer
from jarvis_nano.observe.curvature import largest_eigenvalue, loss_gradient
from jarvis_nano.observe.heads import head_patterns
from jarvis_nano.observe.probe import probe
from jarvis_nano.observe.spectra import spectra


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Transformer(PRESETS["mini"].model)


@pytest.fixture(scope="module")
def rows():
    return torch.randint(8, 8192, (2, 257), generator=torch.Generator().manual_seed(0))


def measure(benchmark, run, rounds=9):
    benchmark.pedantic(run, rounds=rounds, warmup_rounds=1)


@torch.no_grad()
def test_forward_alone(benchmark, model, rows):
    measure(benchmark, lambda: model.hidden(rows[:, :-1]))


def test_probe(benchmark, model, rows):
    measure(benchmark, lambda: probe(model, rows[:, :-1], targets=rows[:, 1:]))


def test_head_patterns(benchmark, model):
    measure(benchmark, lambda: head_patterns(model, length=256, n_rows=2))


def test_spectra(benchmark, model):
    measure(benchmark, lambda: spectra(model), rounds=5)


def test_largest_eigenvalue(benchmark, model, rows):
    parameters = list(model.parameters())
    gradient_of = loss_gradient(model, rows[:, :-1], rows[:, 1:])
    measure(benchmark, lambda: largest_eigenvalue(gradient_of, parameters, iterations=20), rounds=1)
