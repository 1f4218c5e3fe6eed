"""TensorBoard's event files, written with TensorBoard's own records and protos.

torch's SummaryWriter is not used: it renames text tags (`…/text_summary`), counts its histograms on the host, loads
tensorflow where that is installed, and takes 0.65 s to import where this takes 0.3 s.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.histogram_pb2 import HistogramProto
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.text import metadata as text_plugin
from tensorboard.summary.writer.record_writer import RecordWriter
from tensorboard.util.tensor_util import make_tensor_proto

from jarvis_nano.observe import hparams
from jarvis_nano.observe.layout import layout
from jarvis_nano.observe.tags import Lang, split

if TYPE_CHECKING:
    import torch

N_BUCKETS = 64

# Every character that Markdown or HTML would take for markup.
_MARKUP = {ord(mark): f"&#{ord(mark)};" for mark in "\\`*_{}[]()#+-.!|<>&~=:^'\""}


class EventFile:
    """One event file in `folder`, flushed after every call so that TensorBoard's next look finds it."""

    def __init__(
        self, folder: Path, *, lang: Lang = "fr", began: float | None = None, part: Path | None = None
    ) -> None:
        """Open a new file. `lang`: of the charts' titles.

        `began`: the wall time of its first records, where they are older than the file. `part`: write there, where
        TensorBoard does not look, and move the file into `folder` when it is closed.
        """
        folder.mkdir(parents=True, exist_ok=True)
        now = time.time_ns()
        # TensorBoard reads a run's files in the order of their names: a resumed run's file must sort last.
        name = f"events.out.tfevents.{now // 10**9:010d}.{now % 10**9:09d}.{socket.gethostname()}.{os.getpid()}"
        self._place = folder / name
        self._path = part or self._place
        self._records = RecordWriter(self._path.open("xb"))
        self._began = now / 1e9 if began is None else began
        self._write(Event(wall_time=self._began, file_version="brain.Event:2"))
        # What stands at step 0 and must stand there again when a run starts over.
        self._standing = [layout(lang)]
        self._summary(0, self._began, self._standing)

    def scalars(self, step: int, wall_time: float, values: Mapping[str, float]) -> None:
        """A point on each curve; members of families are left out: `images` draws them, as heat maps."""
        points = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items() if split(tag) is None]
        if points:
            self._summary(step, wall_time, points)

    def text(self, step: int, wall_time: float, tag: str, text: str) -> None:
        self.markdown(step, wall_time, tag, markdown(text))

    def markdown(self, step: int, wall_time: float, tag: str, text: str) -> None:
        """Markdown as it is."""
        metadata = text_plugin.create_summary_metadata(display_name=None, description=None)
        data = make_tensor_proto(np.array(text.encode(), dtype=object))
        self._summary(step, wall_time, [Summary.Value(tag=tag, metadata=metadata, tensor=data)])

    def histograms(self, step: int, wall_time: float, tensors: Mapping[str, torch.Tensor]) -> int:
        """Write each tensor's histogram; returns how many values were not finite and so are in none."""
        values, non_finite = [], 0
        for tag, tensor in tensors.items():
            histogram, left_out = bucket_counts(tensor)
            non_finite += left_out
            if histogram.num:
                values.append(Summary.Value(tag=tag, histo=histogram))
        self._summary(step, wall_time, values)
        return non_finite

    def images(self, step: int, wall_time: float, pictures: Mapping[str, np.ndarray]) -> None:
        """Write each picture, uint8 (H, W, 3), as `view/<tag>`; ValueError as of pictures.png."""
        from jarvis_nano.observe.pictures import VIEW, png  # here: a run without pictures need not load Pillow

        values = []
        for tag, picture in pictures.items():
            encoded = png(picture)
            height, width = picture.shape[:2]
            image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=encoded)
            values.append(Summary.Value(tag=VIEW + tag, image=image))
        if values:
            self._summary(step, wall_time, values)

    def hyperparameters(self, settings: Mapping[str, hparams.Setting], metrics: Sequence[str]) -> None:
        """The run's settings, for the page HParams, and the curves whose last values stand beside them there."""
        values = hparams.start(settings, metrics, self._began)
        self._standing.extend(values)
        self._summary(0, self._began, values)

    def finished(self, wall_time: float, success: bool) -> None:
        """Note on the page HParams how the run ended."""
        self._summary(0, wall_time, [hparams.end(success, wall_time)])

    def copy(self, event: Event) -> None:
        """Write an event of another file as it is."""
        self._write(event)

    def forget_after(self, step: int) -> None:
        """Tell TensorBoard that what it has read beyond `step` is void (what SummaryWriter calls purge_step)."""
        for _ in range(2):  # TensorBoard takes the first START of a run for its beginning; the second one voids
            restart = SessionLog(status=SessionLog.START)
            self._write(Event(step=step + 1, wall_time=time.time(), session_log=restart))
        if step < 0:
            self._summary(0, self._began, self._standing)

    def close(self) -> None:
        self._records.close()
        if self._path != self._place:
            self._path.replace(self._place)
            self._path = self._place

    def _summary(self, step: int, wall_time: float, values: Sequence[Summary.Value]) -> None:
        self._write(Event(step=step, wall_time=wall_time, summary=Summary(value=values)))

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
        bare = body.rstrip(" ")  # spaces at the end of a line would be a line break, or lost
        lines.append("&nbsp;" * indent + bare + "&nbsp;" * (len(body) - len(bare)))
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
