"""Schedules as pure functions: the learning rate of a step, and the epochs after which validation is measured."""

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


def validates_after(epoch: int, epochs: int, every: int) -> bool:
    """Whether validation is measured after this epoch, counted from 1: every so many epochs, and after the last."""
    return epoch % every == 0 or epoch == epochs
