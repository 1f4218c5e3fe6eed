"""TensorBoard's event files, written with TensorBoard's own records and protos.

torch's SummaryWriter is not used: it renames text tags (`…/text_summary`), counts its histograms on the host, loads
tensorflow where that is installed, and takes 0.65 s to import where this takes 0.3 s.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.histogram_pb2 import HistogramProto
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import metadata as custom_scalar
from tensorboard.plugins.text import metadata as text_plugin
from tensorboard.summary.writer.record_writer import RecordWriter
from tensorboard.util.tensor_util import make_tensor_proto

if TYPE_CHECKING:
    import torch

N_BUCKETS = 64

# Charts that hold two curves at once, on TensorBoard's page "Custom Scalars".
CHARTS = {"loss": ("train/loss", "eval/loss"), "perplexity": ("train/perplexity", "eval/perplexity")}

# Every character that Markdown or HTML would take for markup.
_MARKUP = {ord(mark): f"&#{ord(mark)};" for mark in "\\`*_{}[]()#+-.!|<>&~=:^'\""}


class EventFile:
    """One event file in `folder`, flushed after every call so that TensorBoard's next look finds it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        now = time.time_ns()
        # TensorBoard reads a run's files in the order of their names: a resumed run's file must sort last.
        name = f"events.out.tfevents.{now // 10**9:010d}.{now % 10**9:09d}.{socket.gethostname()}.{os.getpid()}"
        self._path = folder / name
        self._records = RecordWriter(self._path.open("xb"))
        self._write(Event(wall_time=now / 1e9, file_version="brain.Event:2"))
        self._write_layout()

    def scalars(self, step: int, wall_time: float, values: Mapping[str, float]) -> None:
        points = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        self._write(Event(step=step, wall_time=wall_time, summary=Summary(value=points)))

    def text(self, step: int, wall_time: float, tag: str, text: str) -> None:
        metadata = text_plugin.create_summary_metadata(display_name=None, description=None)
        value = _value(tag, metadata, np.array(markdown(text).encode(), dtype=object))
        self._write(Event(step=step, wall_time=wall_time, summary=Summary(value=[value])))

    def histograms(self, step: int, wall_time: float, tensors: Mapping[str, torch.Tensor]) -> int:
        """Write each tensor's histogram; returns how many values were not finite and so are in none."""
        values, non_finite = [], 0
        for tag, tensor in tensors.items():
            histogram, left_out = bucket_counts(tensor)
            non_finite += left_out
            if histogram.num:
                values.append(Summary.Value(tag=tag, histo=histogram))
        self._write(Event(step=step, wall_time=wall_time, summary=Summary(value=values)))
        return non_finite

    def forget_after(self, step: int) -> None:
        """Tell TensorBoard that what it has read beyond `step` is void (what SummaryWriter calls purge_step)."""
        for _ in range(2):  # TensorBoard takes the first START of a run for its beginning; the second one voids
            restart = SessionLog(status=SessionLog.START)
            self._write(Event(step=step + 1, wall_time=time.time(), session_log=restart))
        if step < 0:
            self._write_layout()  # it stood at step 0

    def close(self) -> None:
        self._records.close()

    def _write_layout(self) -> None:
        self._write(Event(wall_time=time.time(), summary=Summary(value=[_layout()])))

    def _write(self, event: Event) -> None:
        try:
            self._records.write(event.SerializeToString())
            self._records.flush()
        except OSError as error:
            error.filename = str(self._path)
            raise


def markdown(text: str) -> str:
    """`text` as the Markdown that TensorBoard's text page shows as that very text, line breaks and all."""
    lines = []
    for line in text.translate(_MARKUP).splitlines():
        body = line.lstrip(" \t")
        indent = len(line.expandtabs(4)) - len(body.expandtabs(4))
        lines.append("&nbsp;" * indent + body)
    # The page keeps line breaks (white-space: pre-wrap); only an empty line would begin a paragraph.
    return "\n".join(line or "&nbsp;" for line in lines)


def bucket_counts(tensor: torch.Tensor) -> tuple[HistogramProto, int]:
    """The histogram of the finite values in N_BUCKETS equal buckets, and how many values were not finite.

    Counted where the tensor lies; only the counts and four sums come to the host. `num` is 0 where nothing is finite.
    """
    import torch

    flat = tensor.detach().reshape(-1).float()
    n_values = flat.numel()
    if n_values and not torch.isfinite(flat.sum(dtype=torch.float64)):
        flat = flat[torch.isfinite(flat)]
    left_out = n_values - flat.numel()
    if not flat.numel():
        return HistogramProto(), left_out
    low, high = torch.aminmax(flat)
    norm = torch.linalg.vector_norm(flat, dtype=torch.float64)
    first, last, total, squares = torch.stack((low, high, flat.sum(dtype=torch.float64), norm.square())).tolist()
    if first == last:  # one value: a bar of a width that a browser can draw
        half = max(abs(first) * 1e-3, 1e-6)
        first, last = first - half, last + half
    if last - first > torch.finfo(torch.float32).max:  # the width would overflow
        flat = flat.double()
    # bincount, not histc: 3 times as fast on one core, and allowed under torch.use_deterministic_algorithms on CUDA.
    bucket = ((flat - first) * (N_BUCKETS / (last - first))).int().clamp_(0, N_BUCKETS - 1)
    counts = torch.bincount(bucket, minlength=N_BUCKETS).tolist()
    edges = np.linspace(first, last, N_BUCKETS + 1)
    histogram = HistogramProto(min=first, max=last, num=flat.numel(), sum=total, sum_squares=squares)
    histogram.bucket_limit.extend(edges[1:].tolist())
    histogram.bucket.extend(counts)
    return histogram, left_out


def _value(tag: str, metadata: SummaryMetadata, data: np.ndarray | np.generic) -> Summary.Value:
    return Summary.Value(tag=tag, metadata=metadata, tensor=make_tensor_proto(data))


def _layout() -> Summary.Value:
    charts = [
        layout_pb2.Chart(title=title, multiline=layout_pb2.MultilineChartContent(tag=[f"^{tag}$" for tag in tags]))
        for title, tags in CHARTS.items()
    ]
    layout = layout_pb2.Layout(category=[layout_pb2.Category(title="train and eval", chart=charts)])
    data = np.array(layout.SerializeToString(), dtype=object)
    return _value(custom_scalar.CONFIG_SUMMARY_TAG, custom_scalar.create_summary_metadata(), data)
