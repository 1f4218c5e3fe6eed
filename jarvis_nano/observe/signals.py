"""What a training shows of itself for next to nothing: figures made from the steps' own by-products.

Norms by block, spikes, the gradient noise scale, the loss by position and by frequency, memory. The sums and norms come
from the training loop (training/objective.py, optimizer.py); here they become the tags of metrics.jsonl.
"""

from __future__ import annotations

import math
import resource
import statistics
import sys
from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor

WINDOW = 128  # steps that a spike is measured against (OLMo's definition, Groeneveld et al. 2024)
FEWEST = 32  # of them, before a score means anything
EARLY, LATE = 1 / 10, 1.0  # of the context: Olsson et al. (2022) compare the 500th of 512 tokens with the 50th


def block_of(parameter: str) -> str:
    """The member of `layers/…` that a parameter belongs to: embedding, 00, 01, …, final."""
    parts = parameter.split(".")
    if parts[0] == "blocks":
        return f"{int(parts[1]):02d}"
    return "embedding" if parts[0].endswith("embedding") else "final"


def norms_by_block(
    names: Sequence[str], gradient: Tensor, update: Tensor, weight: Tensor, *, total: float, max_norm: float
) -> dict[str, float]:
    """Gradient norms before and after clipping, and ‖ΔW‖ / ‖W‖, of each block; the tensors (n) hold one norm a name.

    total: the norm of all gradients; max_norm: what they were clipped to (inf: not at all).
    """
    members = list(dict.fromkeys(map(block_of, names)))
    place = torch.tensor([members.index(block_of(name)) for name in names])
    squares = torch.stack((gradient, update, weight)).double().cpu().square()
    g, u, w = torch.zeros(3, len(members), dtype=torch.float64).index_add_(1, place, squares).sqrt().tolist()
    scale = min(1.0, max_norm / (total + 1e-6))
    found: dict[str, float] = {}
    for member, one, change, size in zip(members, g, u, w, strict=True):
        found[f"layers/grad_norm/{member}"] = one
        found[f"layers/clipped_grad_norm/{member}"] = one * scale
        found[f"layers/update_ratio/{member}"] = change / size if size else math.nan
    return found


class Spikes:
    """How many standard deviations a value lies above the mean of the 128 before it."""

    def __init__(self) -> None:
        self._last: deque[float] = deque(maxlen=WINDOW)

    def score(self, values: Sequence[float]) -> float | None:
        """The largest score among new values; None until 32 lie behind. Values that are not finite leave no trace."""
        worst: float | None = None
        for value in values:
            if len(self._last) >= FEWEST and math.isfinite(value):
                spread = statistics.pstdev(self._last)
                score = (value - statistics.fmean(self._last)) / spread if spread else 0.0
                worst = score if worst is None else max(worst, score)
            if math.isfinite(value):
                self._last.append(value)
        return worst


class NoiseScale:
    """The gradient noise scale tr(Σ) / |G|², in tokens: batches much above it are wasted (McCandlish et al. 2018, A.1).

    From the squared gradient norms of a small and a large batch; both estimates are noisy, so each is averaged over
    time before they are divided.
    """

    def __init__(self, memory: float = 0.9) -> None:
        self._memory, self._noise, self._signal = memory, 0.0, 0.0

    def update(self, small: float, large: float, small_tokens: float, large_tokens: float) -> float | None:
        """‖g‖² of a mean gradient over so many tokens each -> the scale; None where the signal drowns, and where a
        part had no tokens."""
        if not (math.isfinite(small) and math.isfinite(large) and 0 < small_tokens < large_tokens):
            return None
        signal = (large_tokens * large - small_tokens * small) / (large_tokens - small_tokens)
        noise = (small - large) / (1 / small_tokens - 1 / large_tokens)
        keep = self._memory
        self._signal = keep * self._signal + (1 - keep) * signal
        self._noise = keep * self._noise + (1 - keep) * noise
        return self._noise / self._signal if self._signal > 0 and self._noise > 0 else None


def position_losses(starts: Sequence[int], means: Sequence[float]) -> dict[str, float]:
    """`positions/loss/…` of the buckets that begin at `starts`; train/in_context: the last one's minus an early one's.
    """
    found = {f"positions/loss/{start:04d}": mean for start, mean in zip(starts, means, strict=True) if mean == mean}
    context = 2 * starts[-1]
    early = max((i for i, start in enumerate(starts) if start <= EARLY * context), default=0)
    if early < len(starts) - 1 and means[-1] == means[-1] and means[early] == means[early]:
        found["train/in_context"] = means[-1] - means[early]
    return found


def frequency_losses(means: Sequence[float]) -> dict[str, float]:
    """`frequency/loss/0` to `9`: the mean loss of targets in each decile of frequency, 0 the rarest."""
    return {f"frequency/loss/{i}": mean for i, mean in enumerate(means) if mean == mean}


def memory_mb(device: torch.device) -> float:
    """The most memory so far, in MB: of the GPU's allocator, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    unit = 1.0 if sys.platform == "darwin" else 1024.0  # ru_maxrss is in bytes there, in kilobytes on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
