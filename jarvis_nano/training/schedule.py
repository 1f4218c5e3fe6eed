"""The learning rate over the steps, as a share of its peak."""

from __future__ import annotations

import math

from jarvis_nano.config import TrainConfig


def rate(step: int, config: TrainConfig) -> float:
    """Share of the peak rate at `step` (0-based): linear warm-up, then cosine or stable and linear decay."""
    warmup = round(config.warmup * config.steps)
    if step < warmup:
        return (step + 1) / warmup
    if config.schedule == "cosine":
        progress = (step - warmup) / max(1, config.steps - warmup)
        return config.final_lr + (1 - config.final_lr) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    decay = max(1, round(config.decay * config.steps))
    left = max(0, config.steps - step)
    return config.final_lr + (1 - config.final_lr) * min(1.0, left / decay)
