"""Pictures for TensorBoard's page Images: a family of curves as a heat map over time, a layer's attention as a grid.

Drawn with numpy and Pillow, which TensorBoard itself requires. Not for the terminal, and not for the report's charts.
"""

from __future__ import annotations

import functools
import io
import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from jarvis_nano.observe.families import Families, thin
from jarvis_nano.observe.tags import MEMBERS, Lang, describe

MAX_PIXELS = 4_000_000
VIEW = "view/"  # before each tag: on the page Time Series, where groups come by name, curves come before pictures

# Nine colours equally far apart in OKLab lightness (Ottosson 2020), 0.22 to 0.95, from violet over teal to yellow: a
# step of the value is a step to the eye, on grey paper and to the colour-blind too.
_ANCHORS = ("26063e", "28236b", "174882", "256a87", "298b95", "3aac9a", "5fcd8b", "afe572", "fbf488")
MISSING = (200, 200, 200)
_ASCII = str.maketrans({"’": "'", "«": '"', "»": '"', "œ": "oe", "σ": "sigma"})
_INK, _PAPER = (40, 40, 40), (255, 255, 255)

# Sizes in pixels. TensorBoard's cards are about 370 wide: a larger picture is shrunk, and its letters with it.
_PLOT_WIDTH, _PLOT_HEIGHT = 300, 240
_LABEL_WIDTH, _LINE, _LETTER, _GAP = 200, 15, 12, 6
_MAX_ROWS = 500
_GRID = 360  # a side of the grid of heads


@dataclass(frozen=True)
class Scale:
    """Which value gets which colour."""

    low: float
    high: float
    log: bool

    def shares(self, values: np.ndarray) -> np.ndarray:
        """Values (any shape) as 0..1 between low and high; NaN where a value is not finite."""
        values = np.where(np.isfinite(values), values, np.nan)
        low, high = self.low, self.high
        if self.log:
            # Zero has no logarithm: below every limit, it gets the lowest colour.
            values = np.log(np.maximum(values, np.finfo(np.float64).tiny))
            low, high = math.log(low), math.log(high)
        return np.clip((values - low) / (high - low), 0.0, 1.0)

    def value(self, share: float) -> float:
        if self.log:
            return self.low * (self.high / self.low) ** share
        return self.low + (self.high - self.low) * share


@dataclass(frozen=True)
class HeatMap:
    """A heat map, and where its cells lie: cell (row, column) begins at (top + row·height, left + column·width)."""

    picture: np.ndarray
    """uint8 (H, W, 3)."""
    left: int
    top: int
    width: int
    height: int
    scale: Scale


def colours(shares: np.ndarray) -> np.ndarray:
    """Shares 0..1 of any shape -> uint8 of that shape and 3; MISSING where NaN."""
    table = np.array([[int(name[i : i + 2], 16) for i in (0, 2, 4)] for name in _ANCHORS], dtype=np.float64)
    # 256 steps: more is not seen, and fewer different pixels make a smaller PNG.
    steps = np.round(np.nan_to_num(shares) * 255) / 255 * (len(table) - 1)
    rgb = np.stack([np.interp(steps, np.arange(len(table)), table[:, i]) for i in range(3)], axis=-1)
    rgb[np.isnan(shares)] = MISSING
    return np.round(rgb).astype(np.uint8)


def scale_of(values: np.ndarray, *, log: bool = False) -> Scale:
    """Limits at the 2nd and 98th percentile of the finite values, so that one outlier does not dim all the rest.

    Logarithmic where those are positive and two powers of ten apart; with `log`, one.
    """
    finite = values[np.isfinite(values)]
    if not finite.size:
        return Scale(0.0, 1.0, False)
    low, high = np.percentile(finite, (2, 98)).tolist()
    if low > 0 and high / low >= (10 if log else 100):
        return Scale(low, high, True)
    if high - low <= 1e-9 * max(abs(low), abs(high)):  # one value: the middle colour
        margin = max(abs(low) * 1e-3, 1e-6)
        low, high = low - margin, high + margin
    return Scale(low, high, False)


def heat_map(
    steps: Sequence[int],
    members: Sequence[str],
    values: np.ndarray,
    *,
    title: str = "",
    unit: str = "",
    log: bool = False,
) -> HeatMap:
    """`values` (members, steps) as coloured cells: a row a member, a column a step, the colours' scale beside them.

    `title` may have several lines. ValueError where the shapes do not fit.
    """
    if values.shape != (len(members), len(steps)) or not values.size:
        raise ValueError(f"values are {values.shape}, expected ({len(members)} members, {len(steps)} steps)")
    rows = thin(range(len(members)), _MAX_ROWS)
    values, members = values[rows], [members[row] for row in rows]
    scale = scale_of(values, log=log)
    width = min(max(_PLOT_WIDTH // len(steps), 2), 40)
    height = min(max(_PLOT_HEIGHT // len(members), 2), 18)
    # A label for every row that leaves room for its letters.
    every = -(-_LETTER // height)
    labels = {row: _fitting(members[row], _LABEL_WIDTH) for row in range(0, len(members), every)}
    left = 2 * _GAP + math.ceil(max(_length(label) for label in labels.values()))
    title += f" [{unit}]" if unit else ""
    title += " (log)" if scale.log else ""
    lines = title.split("\n")
    top = 2 * _GAP + _LINE * len(lines)
    across, down = width * len(steps), max(height * len(members), 5 * _LINE)
    right = left + across + _GAP
    limits = {share: f"{scale.value(share):.3g}" for share in (0.0, 0.5, 1.0)}
    wide = max(right + 12 + 2 * _GAP + max(map(_length, limits.values())), 2 * _GAP + max(map(_length, lines)))
    image = Image.new("RGB", (math.ceil(wide), top + down + 2 * _LINE), _PAPER)
    draw = ImageDraw.Draw(image)
    for place, line in enumerate(lines):
        _write(draw, (_GAP, _GAP + place * _LINE), line)
    cells = np.repeat(np.repeat(colours(scale.shares(values)), height, axis=0), width, axis=1)
    image.paste(Image.fromarray(cells), (left, top))
    for row, label in labels.items():
        _write(draw, (left - _GAP // 2 - _length(label), top + row * height + (height - _LINE) // 2), label)
    _write_steps(draw, steps, left, top + height * len(members) + 2, width)
    bar = colours(np.repeat(np.linspace(1.0, 0.0, down)[:, None], 12, axis=1))
    image.paste(Image.fromarray(bar), (right, top))
    for share, limit in limits.items():
        _write(draw, (right + 12 + _GAP // 2, top + round((1 - share) * (down - _LINE))), limit)
    return HeatMap(np.asarray(image), left, top, width, height, scale)


def draw_families(families: Families, lang: Lang = "fr") -> dict[str, np.ndarray]:
    """The heat map of each family, by its name: uint8 (H, W, 3)."""
    drawn = {}
    for name in families.names():
        steps, members, values = families.table(name)
        about = describe(name)
        title = name if about.title(lang) == name else f"{name}\n{about.title(lang)}"
        labels = [MEMBERS[member][lang == "en"] if member in MEMBERS else member for member in members]
        drawn[name] = heat_map(steps, labels, values, title=title, unit=about.unit, log=about.log).picture
    return drawn


def attention_picture(maps: np.ndarray, *, title: str = "") -> np.ndarray:
    """One layer's attention, `maps` (heads, T, T) of shares 0..1, a row a query -> uint8 (H, W, 3).

    A panel a head, labelled with its number. The colour is the square root of the share, the same for every step, so
    that what lies on many tokens is seen too; the future, which a query cannot look at, is left white. A long text is
    drawn in squares of tokens, each coloured by its mean. ValueError if `maps` is not (heads, T, T).
    """
    if maps.ndim != 3 or maps.shape[1] != maps.shape[2] or not maps.size:
        raise ValueError(f"maps are {maps.shape}, expected (heads, T, T)")
    n_heads = len(maps)
    across = math.ceil(math.sqrt(n_heads))
    down = -(-n_heads // across)
    side = min(max(_GRID // across - _GAP, 24), 256)
    shares = _pooled(maps.astype(np.float64), side)
    n_tokens = shares.shape[1]
    zoom = max(side // n_tokens, 1)
    rgb = colours(np.sqrt(shares.clip(0.0, 1.0)))
    rgb[:, np.triu(np.ones((n_tokens, n_tokens), dtype=bool), 1) & (shares.sum(0) == 0)] = _PAPER
    panel = n_tokens * zoom
    pitch_x, pitch_y, top = max(panel, 3 * _LINE) + _GAP, panel + _LINE + _GAP, _LINE + 2 * _GAP
    wide = max(across * pitch_x + _GAP, math.ceil(_length(title)) + 2 * _GAP)
    image = Image.new("RGB", (wide, top + down * pitch_y), _PAPER)
    draw = ImageDraw.Draw(image)
    _write(draw, (_GAP, _GAP), title)
    for head in range(n_heads):
        x, y = _GAP + head % across * pitch_x, top + head // across * pitch_y
        _write(draw, (x, y), f"{head:02d}")
        cells = np.repeat(np.repeat(rgb[head], zoom, axis=0), zoom, axis=1)
        image.paste(Image.fromarray(cells), (x, y + _LINE))
    return np.asarray(image)


def png(picture: np.ndarray) -> bytes:
    """uint8 (H, W, 3) as a PNG. ValueError for another shape or type, or one of more than MAX_PIXELS."""
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        raise ValueError(f"a picture is {picture.dtype} {picture.shape}, expected uint8 (H, W, 3)")
    if picture.shape[0] * picture.shape[1] > MAX_PIXELS:
        raise ValueError(f"a picture is {picture.shape}, expected at most {MAX_PIXELS:,} pixels; draw it smaller")
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "PNG")
    return data.getvalue()


def _pooled(maps: np.ndarray, side: int) -> np.ndarray:
    """(heads, T, T) -> (heads, at most side, at most side): means over squares of tokens."""
    size = -(-maps.shape[1] // side)
    if size == 1:
        return maps
    edges = np.arange(0, maps.shape[1], size)
    sums = np.add.reduceat(np.add.reduceat(maps, edges, axis=1), edges, axis=2)
    widths = np.diff(np.append(edges, maps.shape[1]))
    return sums / (widths[:, None] * widths[None, :])


def _write_steps(draw: ImageDraw.ImageDraw, steps: Sequence[int], left: int, top: int, width: int) -> None:
    """The first, the middle and the last step under their columns; fewer where they would touch."""
    end = -math.inf
    for column in sorted({0, len(steps) // 2, len(steps) - 1}):
        label = f"{steps[column]:,}".replace(",", " ")
        x = max(left + (column + 0.5) * width - _length(label) / 2, left)
        if x > end + _GAP:
            draw.line((left + (column + 0.5) * width, top - 2, left + (column + 0.5) * width, top + 2), fill=_INK)
            _write(draw, (x, top + 3), label)
            end = x + _length(label)


def _write(draw: ImageDraw.ImageDraw, place: tuple[float, float], text: str) -> None:
    draw.text(place, _plain(text), fill=_INK, font=_font())


def _length(text: str) -> float:
    """Pixels of a line of text."""
    return _font().getlength(_plain(text))


def _fitting(text: str, limit: int) -> str:
    """`text` without what is too much in its middle: names of parameters are told apart by both their ends."""
    short = text
    while _length(short) > limit:
        keep = len(short) - 4
        short = text[: keep // 2] + ".." + text[len(text) - (keep - keep // 2) :]
    return short


def _plain(text: str) -> str:
    """`text` in the letters that Pillow's own font has: ASCII, accents taken off."""
    decomposed = unicodedata.normalize("NFKD", text.translate(_ASCII))
    return "".join(c if c.isascii() else "?" for c in decomposed if not unicodedata.combining(c))


@functools.cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(12)
