"""The learning rate as a pure function of the step."""

import math


def learning_rate_at(step: int, *, total_steps: int, peak: float, warmup_fraction: float) -> float:
    """Linear warm-up to `peak`, then a cosine to zero; steps count from 0.

    The last warm-up step reaches `peak`; the first step is already above zero, so that no step is lost.
    """
    warmup_steps = round(total_steps * warmup_fraction)
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return peak * 0.5 * (1.0 + math.cos(math.pi * progress))
