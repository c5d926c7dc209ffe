"""Which images an epoch learns from, and in which order. N images of the set."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class EndGame:
    """The last epochs of a training: clean pictures, neither moved nor mixed, many of them of some images."""

    rows_N: Tensor  # int64, those images
    part: float  # of the epochs, the last ones, above 0, at most 1
    share: float  # of an epoch's pictures that are of those images, at most 1; they are never fewer than elsewhere

    def includes(self, epoch: int, epochs: int) -> bool:
        """Whether an epoch, counted from 0, is one of them; the last one always is."""
        return epoch >= epochs - max(1, round(self.part * epochs))

    def order(self, count: int, generator: torch.Generator) -> Tensor:
        """What one of those epochs learns from, int64 [count], of a set of `count` images.

        An epoch keeps its number of steps that way, and with it the schedule.
        """
        rows_N = self.rows_N.to(generator.device)
        is_other_N = torch.ones(count, dtype=torch.bool, device=generator.device).index_fill_(0, rows_N, False)
        often = max(round(self.share * count), len(rows_N))
        others_N = shuffled_rounds(is_other_N.nonzero().flatten(), count - often, generator)
        order_N = torch.cat([shuffled_rounds(rows_N, often, generator), others_N])
        return order_N[shuffled(count, generator)]


def shuffled(count: int, generator: torch.Generator) -> Tensor:
    """Every number below `count` once, int64 [count], on the generator's device."""
    return torch.randperm(count, generator=generator, device=generator.device)


def shuffled_rounds(rows_N: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` of the rows: all of them before any comes again, each round in an order of its own."""
    if count == 0:
        return rows_N[:0]
    rounds = -(-count // len(rows_N))
    return rows_N[torch.cat([shuffled(len(rows_N), generator) for _ in range(rounds)])[:count]]
