"""The learning-rate factor over a run: linear warm-up, then half a cosine."""

from __future__ import annotations

import math

from holdfast.errors import ConfigError


def warmup_cosine(step: int, num_steps: int, warmup_steps: int = 0, *, final_share: float = 0.0) -> float:
    """Returns the factor in (0, 1] that multiplies the learning rate at update `step`, counted from 0.

    The warm-up's first factor is 1/warmup_steps and its last 1: unlike the common step/warmup_steps,
    no update is spent at a rate of zero. The cosine then falls from 1 towards `final_share`, which it
    would reach one update after the last, for the same reason. A warm-up longer than the run is
    shortened to it. `final_share=1` makes the rate constant after the warm-up.

    >>> [round(warmup_cosine(step, 6, 2), 3) for step in range(6)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146]
    """
    if not 0 <= step < num_steps:
        raise ConfigError(f"step {step} lies outside a run of {num_steps} steps (0 to {num_steps - 1}).", param="step")
    if warmup_steps < 0:
        raise ConfigError(f"warmup_steps must be 0 or more, not {warmup_steps}.", param="warmup_steps")
    if not 0 <= final_share <= 1:
        raise ConfigError(f"final_share must lie between 0 and 1, not {final_share}.", param="final_share")
    if step < warmup_steps:
        return (step + 1) / min(warmup_steps, num_steps)
    progress = (step - warmup_steps) / (num_steps - warmup_steps)
    return final_share + (1 - final_share) * 0.5 * (1 + math.cos(math.pi * progress))
