"""Fewer images: the same share of every class, for studies of how much data a student needs."""

from collections.abc import Sequence

import torch
from torch import Tensor


def rows_of_share(labels: Sequence[int], share: float, seed: int) -> Tensor:
    """The rows that stay, ascending, int64: of every class this share, rounded, and all rows without a label (-1).

    A larger share has the images of a smaller one too.
    """
    labels_N = torch.tensor(labels)
    generator = torch.Generator().manual_seed(seed)
    kept = [(labels_N < 0).nonzero().flatten()]
    for label in range(int(labels_N.max()) + 1):
        rows_N = (labels_N == label).nonzero().flatten()
        order_N = rows_N[torch.randperm(len(rows_N), generator=generator)]
        kept.append(order_N[: round(share * len(rows_N))])
    return torch.cat(kept).sort().values
