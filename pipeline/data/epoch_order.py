"""Which images an epoch learns from, and in which order. N images of the set."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class EndGame:
    """The last epochs of a training, which learn from some of the images alone."""

    rows_N: Tensor  # int64, those images
    part: float  # of the epochs, the last ones, above 0, at most 1

    def includes(self, epoch: int, epochs: int) -> bool:
        """Whether an epoch, counted from 0, is one of them; the last one always is."""
        return epoch >= epochs - max(1, round(self.part * epochs))


def shuffled(count: int, generator: torch.Generator) -> Tensor:
    """Every number below `count` once, int64 [count], on the generator's device."""
    return torch.randperm(count, generator=generator, device=generator.device)


def shuffled_rounds(rows_N: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` of the rows: all of them before any comes again, each round in an order of its own.

    An epoch keeps its number of steps that way, and with it the schedule.
    """
    rounds = -(-count // len(rows_N))
    return rows_N[torch.cat([shuffled(len(rows_N), generator) for _ in range(rounds)])[:count]]
