"""What TensorBoard draws is what was given: counts of histograms, the very text of a sample."""

from __future__ import annotations

import html
import re

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jarvis_nano.observe.events import N_BUCKETS, bucket_counts, markdown
from jarvis_nano.observe.metrics import Metrics, read_metrics


@pytest.mark.parametrize(
    "tensor",
    [
        torch.randn(192, 577, generator=torch.Generator().manual_seed(1)),
        torch.randn(64, 65, generator=torch.Generator().manual_seed(2)).t(),
        torch.randn(3000, generator=torch.Generator().manual_seed(3)).bfloat16(),
        torch.arange(1000),
        torch.tensor([-3e38, 0.0, 1.0, 3e38]),
    ],
    ids=["float32", "transposed", "bfloat16", "integers", "a width past float32"],
)
def test_counts_are_those_of_numpy(tensor):
    histogram, left_out = bucket_counts(tensor)
    values = tensor.double().numpy().ravel()
    counts, edges = np.histogram(values, bins=N_BUCKETS)
    assert left_out == 0
    assert histogram.num == sum(histogram.bucket) == values.size
    np.testing.assert_allclose(histogram.bucket_limit, edges[1:], rtol=1e-6)
    # float32: a value on an edge may fall on either side of it
    assert np.abs(np.array(histogram.bucket) - counts).sum() <= max(2, values.size * 1e-3)
    assert (histogram.min, histogram.max) == (values.min(), values.max())
    np.testing.assert_allclose((histogram.sum, histogram.sum_squares), (values.sum(), (values**2).sum()), rtol=1e-9)


def test_a_parameter_that_needs_a_gradient_can_be_drawn():
    histogram, _ = bucket_counts(torch.nn.Parameter(torch.ones(7)))
    assert sum(histogram.bucket) == 7
    assert histogram.min < 1 < histogram.max


@pytest.mark.parametrize("tensor", [torch.zeros(0), torch.full((5,), torch.nan)])
def test_nothing_to_draw_is_no_bucket(tensor):
    histogram, left_out = bucket_counts(tensor)
    assert histogram.num == 0
    assert left_out == tensor.numel()


def test_values_that_are_not_finite_are_left_out_and_counted(tmp_path):
    tensor = torch.tensor([1.0, torch.nan, 2.0, torch.inf, -torch.inf])
    with Metrics(tmp_path) as metrics:
        metrics.histograms(7, {"weights/a": tensor, "weights/b": torch.ones(4)})
        metrics.histograms(8, {"weights/b": torch.ones(4)})
    (row,) = read_metrics(tmp_path)
    assert (row["step"], row["histograms/non_finite"]) == (7, 3)
    histogram, _ = bucket_counts(tensor)
    assert (histogram.min, histogram.max, histogram.sum, sum(histogram.bucket)) == (1.0, 2.0, 3.0, 2.0)


def test_deterministic_algorithms_allow_histograms():
    torch.use_deterministic_algorithms(True)
    try:
        histogram, _ = bucket_counts(torch.randn(100))
    finally:
        torch.use_deterministic_algorithms(False)
    assert sum(histogram.bucket) == 100


def _displayed(text: str) -> str:
    """What TensorBoard's own Markdown renderer makes of it, with the tags taken off."""
    from tensorboard.plugin_util import markdown_to_safe_html

    page = markdown_to_safe_html(markdown(text))
    assert page.startswith("<p>"), page
    assert page.count("<p>") == 1, page
    return html.unescape(re.sub(r"<[^>]*>", "", page)).replace("\u00a0", " ")


@pytest.mark.parametrize(
    "text",
    [
        "Il était une fois un *chat* _gris_ ; il s'appelait `Minou`.\n\n  — Bonjour, dit-il.\n    Encore",
        "# Titre\n=====\n1. un\n- deux\n> trois\n| a | b |\n|---|---|\n| 1 | 2 |",
        "<|user|>Va<|end|><CALL:open_app{'app':'Spotify'}> &lt; [lien](http://a.fr) <b>gras</b>",
        "https://exemple.fr\n***\n---\n```\ncode\n```",
    ],
)
def test_a_sample_is_shown_as_it_is(text):
    assert _displayed(text).split("\n") == [line or " " for line in text.split("\n")]


@example(" \n")
@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from("ab é«\n  #*_-=`~<>&|[]()!:'\"\\1.+^{}"), min_size=1, max_size=60))
def test_any_text_is_shown_as_it_is(text):
    text = "début " + text + " fin"
    assert _displayed(text).split("\n") == [line or " " for line in text.split("\n")]
