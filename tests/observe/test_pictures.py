"""A heat map's cell has the colour of its value, whatever the outliers; an attention map shows each head's shares."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from jarvis_nano.observe.pictures import (
    MAX_PIXELS,
    MISSING,
    attention_picture,
    colours,
    heat_map,
    png,
    scale_of,
)


def _lightness(rgb: np.ndarray) -> np.ndarray:
    """CIE L* of sRGB colours, by the definition: linear light, luminance Y, cube root."""
    linear = np.where(rgb <= 0.04045 * 255, rgb / 255 / 12.92, ((rgb / 255 + 0.055) / 1.055) ** 2.4)
    return 116 * np.cbrt(linear @ np.array([0.2126, 0.7152, 0.0722])) - 16


def test_equal_steps_of_the_value_are_equal_steps_to_the_eye():
    lightness = _lightness(colours(np.linspace(0, 1, 33)).astype(float))
    steps = np.diff(lightness)
    assert lightness[0] < 12
    assert lightness[-1] > 93
    assert (steps > 0.55 * steps.mean()).all()
    assert (steps < 1.45 * steps.mean()).all()


def _cell(heat, row: int, column: int) -> tuple[int, ...]:
    """The colours in a cell of the decoded PNG, which must be one."""
    image = np.asarray(Image.open(io.BytesIO(png(heat.picture))))
    y, x = heat.top + row * heat.height, heat.left + column * heat.width
    (colour,) = {tuple(pixel) for line in image[y : y + heat.height, x : x + heat.width].tolist() for pixel in line}
    return colour


def test_each_cell_has_the_colour_of_its_value():
    values = np.linspace(0.0, 1.0, 60).reshape(3, 20)
    values[1, 7] = np.nan
    heat = heat_map(range(10, 210, 10), ["00", "01", "final"], values, title="layers/x")
    low, high = np.percentile(values[np.isfinite(values)], (2, 98))
    for row, column in ((0, 0), (0, 13), (1, 8), (2, 5), (2, 19)):
        share = min(max((values[row, column] - low) / (high - low), 0), 1)
        assert _cell(heat, row, column) == tuple(colours(np.array(share)).tolist())
    assert _cell(heat, 1, 7) == MISSING


def test_one_outlier_does_not_dim_the_rest():
    values = np.linspace(1.0, 2.0, 100).reshape(1, 100)
    values[0, 50] = 1e9
    scale = scale_of(values)
    assert not scale.log
    assert 1.9 < scale.high < 2.1
    assert scale.shares(values)[0, 50] == 1.0


def test_decades_are_told_apart_on_a_logarithmic_scale():
    values = np.logspace(-6, 0, 49)
    scale = scale_of(values)
    assert scale.log
    inner = scale.shares(values)[2:-2]
    np.testing.assert_allclose(np.diff(inner), np.diff(inner).mean(), rtol=1e-6)
    assert scale.value(0.5) == pytest.approx(1e-3, rel=1e-2)
    assert scale.shares(np.array([0.0, -1.0])).tolist() == [0.0, 0.0]
    assert not scale_of(np.linspace(1, 30, 50)).log
    assert scale_of(np.linspace(1, 30, 50), log=True).log
    assert not scale_of(np.linspace(-100, 1000, 50), log=True).log


@pytest.mark.parametrize("values", [np.full((2, 3), 7.0), np.zeros((2, 3)), np.full((2, 3), np.nan)])
def test_one_value_alone_or_none_can_be_drawn(values):
    heat = heat_map([1, 2, 3], ["a", "b"], values)
    expected = MISSING if np.isnan(values).all() else tuple(colours(np.array(0.5)).tolist())
    assert _cell(heat, 1, 2) == expected


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (12, 200), (384, 200), (1536, 3)])
def test_a_picture_is_of_a_sensible_size_and_labelled(rows, columns):
    noise = np.random.default_rng(0).random((rows, columns))
    heat = heat_map(range(columns), [f"{row:02d}" for row in range(rows)], noise, title="layers/grad_norm: é")
    assert heat.picture.shape[0] <= 1100
    assert heat.picture.shape[1] <= 1200
    assert len(png(heat.picture)) < 500_000
    beside = heat.picture[heat.top : heat.top + heat.height * rows, : heat.left]
    assert (beside < 100).any(), "no label"
    assert (heat.picture[: heat.top] < 100).any(), "no title"


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 3\), expected \(2 members, 4 steps\)"):
        heat_map(range(4), ["a", "b"], np.zeros((2, 3)))
    with pytest.raises(ValueError, match="expected"):
        attention_picture(np.zeros((2, 3, 4)))
    with pytest.raises(ValueError, match="expected uint8"):
        png(np.zeros((4, 4, 3)))
    with pytest.raises(ValueError, match="pixels"):
        png(np.zeros((MAX_PIXELS // 1000 + 1, 1000, 3), dtype=np.uint8))


def _panels(picture: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(pixel) for pixel in picture.reshape(-1, 3).tolist()}


def test_an_attention_map_shows_each_head_and_leaves_the_future_white():
    heads, n_tokens = 4, 8
    maps = np.zeros((heads, n_tokens, n_tokens))
    for head in range(heads):
        for query in range(n_tokens):
            maps[head, query, max(query - head, 0)] = 1.0
    picture = attention_picture(maps, title="attention/00")
    full, none = colours(np.array(1.0)), colours(np.array(0.0))
    seen = (picture == full).all(-1)
    zoom = 21  # two panels side by side
    assert seen.sum() == heads * n_tokens * zoom**2
    # below the diagonal, it included, and not looked at
    assert (picture == none).all(-1).sum() == heads * (n_tokens * (n_tokens + 1) // 2 - n_tokens) * zoom**2
    # the first panel looks at itself: its diagonal runs down to the right
    rows, columns = np.nonzero(seen)
    top, left = rows.min(), columns.min()
    assert [seen[top + place * zoom, left + place * zoom] for place in range(n_tokens)] == [True] * n_tokens


@pytest.mark.parametrize(("heads", "n_tokens"), [(1, 2), (12, 256), (16, 1024), (32, 100)])
def test_an_attention_picture_is_bounded(heads, n_tokens):
    maps = np.random.default_rng(0).random((heads, n_tokens, n_tokens)).astype(np.float32)
    maps = np.tril(maps / maps.sum(-1, keepdims=True))
    picture = attention_picture(maps)
    assert max(picture.shape) <= 1400
    assert len(png(picture)) < 2_000_000


def test_a_long_text_is_drawn_by_the_means_of_squares_of_tokens():
    maps = np.zeros((1, 512, 512))
    maps[0, 100, 40] = 1.0
    picture = attention_picture(maps)
    expected = tuple(colours(np.sqrt(np.array(0.25))).tolist())  # one of 2 × 2
    assert (picture == expected).all(-1).sum() == 1
    assert picture.shape[0] < 350
