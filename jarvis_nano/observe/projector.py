"""The page Projector: the token embeddings as points in space, each with its token's text.

Three files beside the run's event files, which TensorBoard reads without a checkpoint of its own kind:
projector_config.pbtxt, projector/tokens.bytes (or tokens.tsv) and projector/labels.tsv.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jarvis_nano.observe.replacing import replace_file

if TYPE_CHECKING:
    import torch

MAX_ROWS = 10_000  # a browser turns this many points smoothly


def write_projector(folder: str | Path, weight: torch.Tensor | np.ndarray, labels: Sequence[str]) -> None:
    """Write or rewrite the projector's files for `weight` (n, d), a row a label; the first MAX_ROWS rows.

    `folder` is the run's tensorboard/. TensorBoard looks for the files once, when it first sees the run: write them
    before the run's event file, so before Metrics is made, and again at checkpoints; a TensorBoard that has drawn the
    points keeps them until it is started again. Each file is written beside itself and renamed into place. ValueError
    where `weight` is not a matrix of as many rows as there are labels.
    """
    matrix = weight if isinstance(weight, np.ndarray) else weight.detach().float().cpu().numpy()
    if matrix.ndim != 2 or len(matrix) != len(labels) or not matrix.size:
        raise ValueError(f"weight is {matrix.shape}, expected two dimensions and {len(labels)} rows, a row a label")
    matrix = np.ascontiguousarray(matrix[:MAX_ROWS], dtype="<f4")
    folder = Path(folder)
    (folder / "projector").mkdir(parents=True, exist_ok=True)
    # Two columns, for of one alone TensorBoard takes the heading for a token.
    rows = ["token\tid", *(f"{label_of(label)}\t{index}" for index, label in enumerate(labels[:MAX_ROWS]))]
    replace_file(folder / "projector" / "labels.tsv", "".join(row + "\n" for row in rows).encode())
    data, name, other = matrix.tobytes(), "tokens.bytes", "tokens.tsv"
    if _looks_like_text(data):
        name, other = other, name
        lines = ("\t".join(f"{value:.9g}" for value in row) + "\n" for row in matrix.tolist())
        data = "".join(lines).encode()
    replace_file(folder / "projector" / name, data)
    config = (
        'embeddings {\n  tensor_name: "token_embedding"\n'
        f'  tensor_path: "projector/{name}"\n  metadata_path: "projector/labels.tsv"\n'
        f"  tensor_shape: {matrix.shape[0]}\n  tensor_shape: {matrix.shape[1]}\n}}\n"
    )
    replace_file(folder / "projector_config.pbtxt", config.encode())
    (folder / "projector" / other).unlink(missing_ok=True)


def label_of(token: str) -> str:
    """A token as one visible cell of a table: spaces as ␣, what cannot be printed as \\n, \\t, \\x00; never empty."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in token.replace(" ", "␣"))
    return shown or "(empty)"


def _looks_like_text(data: bytes) -> bool:
    """Whether TensorBoard would: it reads a tensor as a table, and takes it for binary where a line is no UTF-8."""
    try:
        data.partition(b"\n")[0].decode()
    except UnicodeDecodeError:
        return False
    return True
