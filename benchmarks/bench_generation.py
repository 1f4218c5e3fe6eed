"""Decoding: new tokens a second for one text and for 64 together, and the same model without a KV cache.

    pytest benchmarks/bench_generation.py --benchmark-only --benchmark-columns=median,ops

extra_info holds tokens_per_second. The model is 4 layers of width 192 with a vocabulary of 4096, context 256.
"""

import pytest
import torch

from jarvis_nano.config import ModelConfig
from jarvis_nano.generation import generate_batch
from jarvis_nano.model import Transformer

PROMPT, NEW = 16, 64


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    shape = {"vocab_size": 4096, "context": 256, "n_layers": 4, "n_heads": 4, "d_model": 192}
    model = Transformer(ModelConfig(**shape, norm="rmsnorm", positions="rotary")).eval()
    with torch.no_grad():
        model.final_norm.weight.mul_(15)  # peaked like a trained model: a flat one would need all ids for its top-p
    return model


def prompts(n_rows):
    return torch.randint(4096, (n_rows, PROMPT), generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def decode_without_cache(model, ids):
    """What a generator without a cache does: every token reads the whole text again."""
    for _ in range(NEW):
        probabilities = model(ids)[:, -1].softmax(-1)
        ids = torch.cat((ids, torch.multinomial(probabilities, 1)), dim=1)
    return ids


def measure(benchmark, n_rows, run, rounds=3, warmup_rounds=1):
    benchmark.pedantic(run, rounds=rounds, warmup_rounds=warmup_rounds)
    benchmark.extra_info["tokens_per_second"] = round(n_rows * NEW / benchmark.stats.stats.median)


@pytest.mark.parametrize("n_rows", [1, 64])
@pytest.mark.parametrize("settings", [{}, {"top_k": 50}, {"top_p": 0.95}], ids=["plain", "top_k", "top_p"])
def test_decode(benchmark, model, n_rows, settings):
    ids = list(prompts(n_rows))
    measure(benchmark, n_rows, lambda: generate_batch(model, ids, max_new_tokens=NEW, temperature=0.8, **settings))


@pytest.mark.parametrize("n_rows", [1, 64])
def test_decode_without_cache(benchmark, model, n_rows):
    ids = prompts(n_rows)
    measure(benchmark, n_rows, lambda: decode_without_cache(model, ids), rounds=1, warmup_rounds=0)
