"""The page Custom Scalars: curves that are read together, in one chart each. Not a list of what is measured."""

from __future__ import annotations

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.custom_scalar import layout_pb2, metadata
from tensorboard.util.tensor_util import make_tensor_proto

from jarvis_nano.observe.tags import GROUPS, TAGS, Lang

# Group of tags.GROUPS -> charts; a chart of several curves: ((French, English) title, tags); of one: its tag.
CHARTS: dict[str, tuple[tuple[tuple[str, str], tuple[str, ...]] | str, ...]] = {
    "learning": (
        (("Perte", "Loss"), ("train/loss", "eval/loss", "train/unigram_loss")),
        (("Perplexité", "Perplexity"), ("train/perplexity", "eval/perplexity")),
        (("Exactitude", "Accuracy"), ("train/accuracy", "eval/accuracy")),
        "eval/bits_per_byte",
        "train/in_context",
        "eval/grammar",
    ),
    "step": (
        (
            ("Gradient : norme et écrêtage", "Gradient: norm and clipping"),
            ("train/grad_norm", "train/grad_norm_max", "train/clip_rate"),
        ),
        (("Pics : perte et gradient", "Spikes: loss and gradient"), ("train/loss_spike", "train/grad_spike")),
        "train/learning_rate",
        "train/weight_norm",
        "train/noise_scale",
    ),
    "output": (
        (("Surprise et incertitude annoncée", "Surprise and stated uncertainty"), ("train/loss", "train/entropy")),
        "train/log_z",
        "probe/lens_depth",
    ),
    "layers": ("probe/dead_neurons", "probe/kurtosis_max"),
    "attention": (
        (
            ("Têtes : induction, token précédent, doublon", "Heads: induction, previous token, duplicate"),
            ("probe/induction_best", "probe/previous_token_best", "probe/duplicate_best"),
        ),
        "probe/attention_entropy_min",
        "probe/max_logit",
    ),
    "weights": ("probe/hessian_max",),
    "machine": (
        "train/tokens_per_second",
        "train/flop_utilisation",
        "train/memory_mb",
        "observe/overhead_percent",
    ),
}


def charts(group: str, lang: Lang) -> list[tuple[str, tuple[str, ...]]]:
    """The charts of a group: (title, tags) each."""
    found = []
    for chart in CHARTS[group]:
        titles, tags = (TAGS[chart].titles, (chart,)) if isinstance(chart, str) else chart
        found.append((titles[lang == "en"], tags))
    return found


def layout(lang: Lang = "fr") -> Summary.Value:
    """The layout as TensorBoard reads it: a category for each group, in the table's order."""
    categories = [
        layout_pb2.Category(
            title=titles[lang == "en"],
            chart=[
                layout_pb2.Chart(title=title, multiline=layout_pb2.MultilineChartContent(tag=[f"^{t}$" for t in tags]))
                for title, tags in charts(group, lang)
            ],
        )
        for group, titles in GROUPS.items()
        if group in CHARTS
    ]
    data = layout_pb2.Layout(category=categories).SerializeToString()
    return Summary.Value(
        tag=metadata.CONFIG_SUMMARY_TAG, metadata=metadata.create_summary_metadata(), tensor=make_tensor_proto(data)
    )
