"""Makes a file fit its limit by one knob: how much coarser than learned the steps of all channels are.

The entropy of rounded weights falls by log2 k when every step grows k times, so the size is, but for small jumps, a
falling function of k. Source of the idea: the clip width as the one rate control of the byte-limited language models of
2026 (openai/parameter-golf, pull request 1394). Steps are never made finer: weights that learned with their steps lose
accuracy by any others, and the larger file would be the worse one (README, "What did not work").
"""

from collections.abc import Callable
from dataclasses import dataclass

FULL = 0.99  # of the limit: a file this large need not grow
COARSEST = 2.0
HALVINGS = 12


@dataclass(frozen=True)
class Fitted:
    """A packed file and the factor on its steps."""

    data: bytes
    coarser: float


def fit_limit(pack: Callable[[float], bytes], limit_bytes: int) -> Fitted:
    """The file with the learned steps where it fits, else one with coarser steps in the last hundredth below the limit.

    `pack` makes the file for a factor. Sizes that jump over the last hundredth end as near below it as was found; where
    not even the coarsest steps fit, the coarsest file is returned: the gate will say so.
    """
    learned = Fitted(pack(1.0), 1.0)
    if len(learned.data) <= limit_bytes:
        return learned
    fits, exceeds = Fitted(pack(COARSEST), COARSEST), 1.0
    if len(fits.data) > limit_bytes:
        return fits
    for _ in range(HALVINGS):
        if len(fits.data) >= FULL * limit_bytes:
            break
        middle = (fits.coarser * exceeds) ** 0.5
        tried = Fitted(pack(middle), middle)
        if len(tried.data) <= limit_bytes:
            fits = tried
        else:
            exceeds = middle
    return fits
