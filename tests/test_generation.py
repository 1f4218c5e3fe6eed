"""Generation: the cache is exact, the sampler draws what it says, and a row's text is its own."""

import dataclasses
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from jarvis_nano.config import ModelConfig
from jarvis_nano.errors import UserError
from jarvis_nano.generation import KVCache, generate, generate_batch, sample, stream
from jarvis_nano.model import Transformer

CONFIG = ModelConfig(vocab_size=61, context=24, n_layers=2, n_heads=4, n_kv_heads=2, d_model=32)


@pytest.fixture(autouse=True, scope="module")
def one_thread(two_threads):
    """For models this small a second thread costs more than it brings, and on a busy machine 50 times as much."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make(**changes):
    """A model with weights large enough for peaked, varied distributions."""
    torch.manual_seed(0)
    model = Transformer(dataclasses.replace(CONFIG, **changes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(8)
    return model


@pytest.fixture(scope="module")
def model():
    return make()


def window_of(ids, n_prompt, context):
    """What the next token may look back on, by the rule in generation.py: the reference, without a cache."""
    window = list(ids[:n_prompt])
    for token in ids[n_prompt:]:
        window.append(token)
        if len(window) > context:
            window = window[-max(1, context // 2) :]
    return window


def without_cache(model, prompt, n, *, temperature=0.0, seed=0):
    ids = list(prompt)
    for u in np.random.default_rng((seed, 0)).random(n):
        window = window_of(ids, len(prompt), model.config.context)
        with torch.no_grad():
            logits = model(torch.tensor([window]))[:, -1]
        draw = sample(logits, torch.tensor([u], dtype=torch.float64), temperature=temperature)
        ids.append(int(draw if temperature else logits.argmax()))
    return ids[len(prompt) :]


@pytest.mark.parametrize("positions", ["learned", "rotary"])
@pytest.mark.parametrize("n_kv_heads", [1, 4])
def test_cached_logits_equal_those_of_the_whole_text(positions, n_kv_heads):
    model = make(positions=positions, n_kv_heads=n_kv_heads, qk_norm=True)
    ids = torch.randint(61, (3, 20))
    cache = KVCache(room=3)  # grows on the way
    with torch.no_grad():
        expected = model(ids)
        pieces = [model(ids[:, a:b], cache=cache) for a, b in ((0, 1), (1, 6), (6, 7), (7, 20))]
    torch.testing.assert_close(torch.cat(pieces, dim=1), expected, rtol=1e-4, atol=1e-4)
    assert cache.length == 20


def test_a_cache_cut_back_and_thinned_reads_on_exactly(model):
    ids = torch.randint(61, (4, 12))
    rows = torch.tensor([3, 1])
    cache = KVCache()
    with torch.no_grad():
        model(ids, cache=cache)
        cache.truncate(5)
        cache.keep(rows)
        other = torch.randint(61, (2, 4))
        found = model(other, cache=cache)
        expected = model(torch.cat((ids[rows, :5], other), dim=1))[:, 5:]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="cannot cut"):
        cache.truncate(10)


@pytest.mark.parametrize("positions", ["learned", "rotary"])
@pytest.mark.parametrize("context", [1, 2, 9, 24])
def test_each_token_is_that_of_the_whole_window_also_past_the_context(positions, context):
    model = make(positions=positions, context=context)
    prompt = [5, 17, 3, 9, 22, 41][:context]
    n = 3 * context + 8
    for temperature in (0.0, 1.0):
        expected = without_cache(model, prompt, n, temperature=temperature, seed=4)
        assert generate(model, prompt, max_new_tokens=n, temperature=temperature, seed=4).tolist() == expected
        batch = generate_batch(model, [prompt, prompt[:1]], max_new_tokens=n, temperature=temperature, seed=4)
        assert batch[0].tolist() == expected
    assert len(set(expected)) > 8  # else the test says little


def test_batch_size_and_company_do_not_change_a_text(model):
    lengths = np.random.default_rng(0).integers(1, 20, 30)
    prompts = [np.random.default_rng(int(n) + 100 * i).integers(0, 61, n) for i, n in enumerate(lengths)]
    options = {"max_new_tokens": 40, "temperature": 0.9, "top_k": 30, "top_p": 0.95, "seed": 5, "stop": (1, 2, 3)}
    together = generate_batch(model, prompts, **options)
    for batch_size in (1, 4):
        apart = generate_batch(model, prompts, batch_size=batch_size, **options)
        assert [text.tolist() for text in apart] == [text.tolist() for text in together]
    for row in (0, 7, 29):
        assert list(stream(model, prompts[row], row=row, **options)) == together[row].tolist()
    assert len({len(text) for text in together}) > 5  # rows ended at different steps, and the batch shrank


def test_equal_prompts_get_different_texts_and_each_seed_its_own(model):
    first = generate_batch(model, [[7]] * 20, max_new_tokens=12, temperature=1.5)
    assert len({tuple(text) for text in first}) == 20
    again = generate_batch(model, [[7]] * 20, max_new_tokens=12, temperature=1.5)
    other = generate_batch(model, [[7]] * 20, max_new_tokens=12, temperature=1.5, seed=1)
    assert [t.tolist() for t in first] == [t.tolist() for t in again]
    assert all(t.tolist() != o.tolist() for t, o in zip(first, other, strict=True))
    assert generate(model, [7], max_new_tokens=12, temperature=1.5).tolist() == first[0].tolist()


def test_a_longer_text_begins_with_the_shorter_one(model):
    short, long = (generate(model, [7, 8], max_new_tokens=n, seed=3).tolist() for n in (5, 60))
    assert long[:5] == short


def test_generation_ends_before_the_stop_id_and_only_there(model):
    free = generate(model, [4], max_new_tokens=50, seed=2).tolist()
    assert len(free) == 50
    stop = free[20]
    first = free.index(stop)
    assert generate(model, [4], max_new_tokens=50, seed=2, stop=stop).tolist() == free[:first]
    assert generate(model, [4], max_new_tokens=50, seed=2, stop=(60, stop)).tolist() == free[:first]
    assert generate_batch(model, [[4]], max_new_tokens=50, seed=2, stop={stop})[0].tolist() == free[:first]
    assert generate(model, [4], max_new_tokens=0).tolist() == []
    assert generate_batch(model, [], max_new_tokens=5) == []


def filtered(logits, temperature, top_k, top_p):
    """The distribution on paper, row by row, in float64."""
    rows = []
    for row in logits.double():
        p = torch.softmax(row / temperature, dim=-1)
        order = p.argsort(descending=True, stable=True).tolist()
        order = order[:top_k] if top_k else order
        total, kept, reached = sum(p[i] for i in order), [], 0.0
        for i in order:
            if reached >= top_p:
                break
            kept.append(i)
            reached += float(p[i] / total)
        q = torch.zeros_like(p)
        q[kept] = p[kept]
        rows.append(q / q.sum())
    return torch.stack(rows)


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"),
    [(1, 0, 1), (0.7, 0, 1), (1.6, 5, 1), (1, 0, 0.6), (0.8, 7, 0.75), (1, 1, 1), (1, 0, 1e-9), (1, 99, 1)],
)
def test_draws_follow_the_distribution(temperature, top_k, top_p):
    torch.manual_seed(1)
    logits = torch.randn(3, 19) * 2
    expected = filtered(logits, temperature, top_k, top_p)
    n = 40_000
    uniforms = torch.linspace(0, 1, n + 1, dtype=torch.float64)[:-1]  # even: the counts are off by 1 at most
    for row in range(3):
        drawn = sample(logits[row].expand(n, -1), uniforms, temperature=temperature, top_k=top_k, top_p=top_p)
        found = torch.bincount(drawn, minlength=19) / n
        torch.testing.assert_close(found.double(), expected[row], rtol=0, atol=1e-4)
        assert set(drawn.tolist()) == set(expected[row].nonzero().flatten().tolist())


@pytest.mark.parametrize("top_p", [0.3, 0.9, 0.99])
def test_a_nucleus_is_whole_however_wide_it_is(top_p):
    """Peaked and flat rows in one batch: some need more of the vocabulary sorted than others."""
    torch.manual_seed(2)
    logits = torch.randn(3, 1000) * torch.tensor([[6.0], [1.0], [0.01]])
    expected = filtered(logits, 1.0, 0, top_p)
    assert (expected > 0).sum(dim=-1).tolist() == sorted((expected > 0).sum(dim=-1).tolist())
    n = 5000
    uniforms = torch.linspace(0, 1, n + 1, dtype=torch.float64)[:-1].repeat_interleave(3)
    drawn = sample(logits.repeat(n, 1), uniforms, top_p=top_p).view(n, 3)
    for row in range(3):
        found = torch.bincount(drawn[:, row], minlength=1000) / n
        torch.testing.assert_close(found.double(), expected[row], rtol=0, atol=1.5 / n)


def test_generators_of_many_rows_draw_the_softmax(model):
    """Not the sampler alone: the first token of 4,000 rows, each with its own generator."""
    with torch.no_grad():
        expected = model(torch.tensor([[9]]))[0, -1].softmax(-1).double().numpy()
    drawn = [text[0] for text in generate_batch(model, [[9]] * 4000, max_new_tokens=1, seed=11, batch_size=1000)]
    found = np.bincount(drawn, minlength=61) / 4000
    # Five standard deviations of a binomial, and a little for the rare ones.
    assert (np.abs(found - expected) < 5 * np.sqrt(expected * (1 - expected) / 4000) + 1e-3).all()


@given(
    st.integers(1, 40),
    st.sampled_from([0.0, 0.5, 1 - 2**-53]) | st.floats(0.0, 1.0, exclude_max=True),
    st.sampled_from([1e-300, 1e-37, 0.01, 1.0, 50.0]),
    st.integers(0, 50),
    st.floats(1e-6, 1.0),
)
@settings(max_examples=200, deadline=None)
def test_a_token_that_cannot_be_is_never_drawn(vocab_size, u, temperature, top_k, top_p):
    generator = torch.Generator().manual_seed(vocab_size)
    logits = torch.randn(1, vocab_size, generator=generator) * 3000
    logits[0, : vocab_size // 2] = -torch.inf
    logits[0, -1] = 100.0
    drawn = sample(logits, torch.tensor([u], dtype=torch.float64), temperature=temperature, top_k=top_k, top_p=top_p)
    assert logits[0, drawn[0]] > -torch.inf


def test_dropout_is_off_while_a_training_model_writes():
    model = make(dropout=0.5)
    expected = generate(model, [3], max_new_tokens=20, temperature=0).tolist()
    model.train()
    assert generate(model, [3], max_new_tokens=20, temperature=0).tolist() == expected
    assert model.training
    loss = model(torch.tensor([[1, 2, 3]])).sum()
    loss.backward()  # nothing that generation left behind is unfit for training


def test_a_given_cache_spares_reading_and_changes_nothing(model):
    ids = [5, 6, 7, 8, 9, 10]
    cache = KVCache()
    first = list(stream(model, ids[:3], max_new_tokens=4, temperature=0, cache=cache))
    assert cache.length == 3 + 4 - 1  # the last one drawn is not read
    cache.truncate(3)
    assert list(stream(model, ids, max_new_tokens=6, temperature=0, cache=cache)) == without_cache(model, ids, 6)
    assert first == without_cache(model, ids[:3], 4)
    full = KVCache()
    assert len(list(stream(model, ids[:3], max_new_tokens=24 - 3 + 1, cache=full))) == 22
    assert full.length == 24  # the context is full, and nothing slid for the sake of a token that is never drawn
    with pytest.raises(ValueError, match="the cache holds"):
        stream(model, ids[:2], max_new_tokens=1, cache=cache)


@pytest.mark.parametrize(
    ("ids", "options", "message"),
    [
        ([], {}, "at least one id"),
        ([1] * 25, {}, "25 tokens, the model's context is 24"),
        ([1, 61], {}, "the model knows 0 to 60"),
        ([-1], {}, "the model knows 0 to 60"),
        ([1], {"temperature": -0.1}, "temperature is -0.1"),
        ([1], {"temperature": float("nan")}, "temperature is nan"),
        ([1], {"top_k": -1}, "top_k is -1"),
        ([1], {"top_p": 0.0}, "top_p is 0"),
        ([1], {"top_p": 1.5}, "top_p is 1.5"),
        ([1], {"seed": -1}, "seed is -1"),
        ([1], {"max_new_tokens": -1}, "new tokens is -1"),
    ],
)
def test_bad_input_is_refused_at_once(model, ids, options, message):
    options = {"max_new_tokens": 2, **options}
    with pytest.raises(UserError, match=message):
        stream(model, ids, **options)  # not only when the first id is asked for
    with pytest.raises(UserError, match=message):
        generate_batch(model, [ids], **options)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_diverged_model_is_named(bad, temperature):
    logits = torch.zeros(2, 5)
    logits[1, 3] = bad
    with pytest.raises(UserError, match="not finite"):
        sample(logits, torch.zeros(2, dtype=torch.float64), temperature=temperature)


def test_rows_that_end_leave_the_batch(model, monkeypatch):
    """Long tails are cheap: the model reads few more rows than are still running."""
    read = []
    hidden = Transformer.hidden
    monkeypatch.setattr(Transformer, "hidden", lambda self, ids, **k: read.append(len(ids)) or hidden(self, ids, **k))
    texts = generate_batch(model, [[2]] * 64, max_new_tokens=200, stop=tuple(range(8)), seed=1)
    running = [sum(len(text) >= step for text in texts) for step in range(len(read))]
    assert read[0] == 64
    assert running[-1] <= 8
    assert all(rows <= max(1, n / 0.875) for rows, n in zip(read[1:], running[1:], strict=True))


@pytest.mark.slow
def test_two_hundred_samples_take_seconds():
    torch.manual_seed(0)
    model = Transformer(ModelConfig(vocab_size=4096, context=128, n_layers=4, n_heads=4, d_model=192))
    started = time.perf_counter()
    texts = generate_batch(model, [[3]] * 200, max_new_tokens=120, temperature=0.8)
    assert sum(map(len, texts)) == 200 * 120
    assert time.perf_counter() - started < 30  # 5 s on two idle cores
