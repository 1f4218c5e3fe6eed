"""The page Custom Scalars shows curves that exist, and however large the model there are not too many curves."""

from __future__ import annotations

import re

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator as PluginEventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2

from jarvis_nano.observe.metrics import Metrics
from jarvis_nano.observe.tags import GROUPS, TAGS

FAMILIES = {
    name
    for name in TAGS
    if name.split("/")[0] in ("layers", "heads", "positions", "frequency", "spectrum", "categories", "grammar")
}


@pytest.mark.parametrize("lang", ["fr", "en"])
def test_the_layout_shows_curves_that_exist_and_each_curve_of_the_table_once_or_more(tmp_path, lang):
    with Metrics(tmp_path, lang=lang):
        pass
    accumulator = PluginEventAccumulator(str(tmp_path / "tensorboard"))
    accumulator.Reload()
    (event,) = accumulator.Tensors("custom_scalars__config__")
    layout = layout_pb2.Layout.FromString(event.tensor_proto.string_val[0])
    curves = {name for name in TAGS if not any(name == family for family in FAMILIES)}
    shown = set()
    for category in layout.category:
        assert category.title in {titles[lang == "en"] for titles in GROUPS.values()}
        titles = [chart.title for chart in category.chart]
        assert len(set(titles)) == len(titles)
        for chart in category.chart:
            found = {name for name in TAGS for pattern in chart.multiline.tag if re.search(pattern, name)}
            assert len(found) == len(chart.multiline.tag)
            shown |= found
    assert curves - shown == {"histograms/non_finite"}
    assert shown <= curves


def test_there_are_at_most_300_curves(tmp_path):
    """Of a model of 24 layers and 16 heads that records every tag of the table."""
    blocks = ["embedding", *(f"{block:02d}" for block in range(24)), "final"]
    heads = [f"{block:02d}.{head:02d}" for block in range(24) for head in range(16)]
    row = {}
    for name in TAGS:
        if name not in FAMILIES:
            row[name] = 1.0
        else:
            row.update({f"{name}/{member}": 1.0 for member in (heads if name.startswith("heads/") else blocks)})
    assert len(row) > 2000
    with Metrics(tmp_path) as metrics:
        metrics.scalars(1, row)
    accumulator = EventAccumulator(str(tmp_path / "tensorboard"))
    accumulator.Reload()
    assert 30 < len(accumulator.Tags()["scalars"]) <= 300
