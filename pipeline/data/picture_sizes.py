"""How large the pictures of an epoch are, in pixels per side, and what that costs. Arithmetic alone."""

import math
from collections.abc import Sequence


def size_at(epoch: int, *, epochs: int, sizes: Sequence[int]) -> int | None:
    """Rows and columns, in pixels, of the pictures of an epoch, counted from 0; None: as they are stored.

    The sizes share the epochs equally. Small pictures first: coarse features come at a quarter of the price
    (progressive resizing; Tan and Le 2021, arXiv 2104.00298, section 4.2).
    """
    return sizes[epoch * len(sizes) // epochs] if sizes else None


def full_size_epochs(*, epochs: int, sizes: Sequence[int], full_size: int) -> int:
    """How many epochs with pictures of `full_size` pixels see as many pixels as these do, rounded up."""
    looked_at = (size_at(epoch, epochs=epochs, sizes=sizes) or full_size for epoch in range(epochs))
    return math.ceil(sum(size**2 for size in looked_at) / full_size**2)
