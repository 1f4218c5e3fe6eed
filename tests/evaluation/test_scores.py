"""The scores, on texts and answers whose score is known beforehand."""

import math
import random

import numpy as np
import pytest
import torch

from jarvis_nano.config import ModelConfig
from jarvis_nano.corpus import assistant, checker, faults, stories
from jarvis_nano.data.batches import Batch
from jarvis_nano.evaluation import answers
from jarvis_nano.evaluation.perplexity import HeldOut, evaluate
from jarvis_nano.evaluation.stories import _whole, score
from jarvis_nano.model import Transformer

TALES = list(stories.generate(40, seed=11))


def test_the_grammar_s_own_stories_are_right_and_known_ones_are_not_new():
    sentences = {sentence for tale in TALES for sentence in checker.sentences(tale)}
    found = score(TALES, sentences)
    assert found.grammar_percent == 100
    assert found.new_percent == 0
    assert found.sentences == sum(len(checker.sentences(tale)) for tale in TALES)
    assert score(TALES, set()).new_percent == 100


def test_repeated_stories_are_not_distinct():
    one = TALES[0]
    n = len(checker.sentences(one))
    assert score([one] * 4, set()).distinct_percent == pytest.approx(100 * len(set(checker.sentences(one))) / (4 * n))


def test_each_planted_fault_costs_its_sentence():
    rng = random.Random(3)
    sentences = [s for tale in TALES for s in checker.sentences(tale)]
    planted = [(s, faults.plant(s, "verb number", rng)) for s in sentences]
    wrong = [bad for _, bad in planted if bad is not None][:50]
    good = sentences[:50]
    assert len(wrong) == 50
    found = score([*good, *wrong], set())
    assert found.grammar_percent == pytest.approx(50, abs=3)
    assert found.faults


def test_a_story_cut_by_the_limit_loses_its_last_sentence_only():
    text = "Le chat dort. La lune brille sur le pré. Le vieux"
    assert _whole(text, ended=False) == "Le chat dort. La lune brille sur le pré."
    assert _whole(text, ended=True) == text


def test_percent_by_kind_counts_right_answers():
    examples = list(assistant.examples(60, 2, "held_out"))
    said = [answers.Answered(e, e.response if i % 2 else "Je ne sais pas.") for i, e in enumerate(examples)]
    percent = answers.percent_by_kind(said)
    right = sum(one.right for one in said)
    assert right == 30
    assert sum(percent[e.kind] for e in examples) == pytest.approx(100 * right)


def test_held_out_loss_is_the_mean_over_counted_targets():
    torch.manual_seed(0)
    model = Transformer(ModelConfig(vocab_size=50, context=16, n_layers=1, n_heads=2, d_model=16))
    ids = torch.randint(0, 50, (3, 16))
    targets = torch.randint(0, 50, (3, 16))
    targets[1, 4:] = -100
    found = evaluate(model, [Batch(ids[:2], targets[:2]), Batch(ids[2:], targets[2:])])
    with torch.no_grad():
        logits = model(ids).flatten(0, 1)
    expected = torch.nn.functional.cross_entropy(logits, targets.flatten(), ignore_index=-100).item()
    assert found.tokens == 36
    assert found.loss == pytest.approx(expected, rel=1e-5)
    kept = targets.flatten() != -100
    assert found.accuracy == pytest.approx((logits.argmax(-1) == targets.flatten())[kept].float().mean().item())


def test_bits_per_byte_is_nats_over_ln_2_and_bytes():
    assert HeldOut(nats=80 * math.log(2), tokens=10, hits=5).bits_per_byte(40) == pytest.approx(2.0)
    assert np.isfinite(HeldOut(nats=1e9, tokens=1, hits=0).perplexity)
