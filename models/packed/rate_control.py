"""Makes a file end just below its limit by one knob: how much coarser than learned the steps of all channels are.

The entropy of rounded weights falls by log2 k when every step grows k times, so the size is, but for small jumps, a
falling function of k. Source of the idea: the clip width as the one rate control of the byte-limited language models of
2026 (openai/parameter-golf, pull request 1394).
"""

from collections.abc import Callable
from dataclasses import dataclass

FULL = 0.99  # of the limit: a file this large needs no finer steps
COARSEST = 2.0
FINEST = 0.8  # below, more weights are cut off at the outermost code than the finer step is worth
HALVINGS = 12


@dataclass(frozen=True)
class Fitted:
    """A packed file and the factor on its steps."""

    data: bytes
    coarser: float


def fit_limit(pack: Callable[[float], bytes], limit_bytes: int) -> Fitted:
    """A file in the last hundredth below the limit; with the learned steps where they fill it or it cannot be filled.

    `pack` makes the file for a factor. Sizes that jump over the last hundredth end as near below it as was found; where
    not even the coarsest steps fit, the coarsest file is returned: the gate will say so.
    """
    learned = Fitted(pack(1.0), 1.0)
    if FULL * limit_bytes <= len(learned.data) <= limit_bytes:
        return learned
    over = len(learned.data) > limit_bytes
    end = COARSEST if over else FINEST
    last = Fitted(pack(end), end)
    if over and len(last.data) > limit_bytes:
        return last
    if not over and len(last.data) <= limit_bytes:
        return last if len(last.data) >= FULL * limit_bytes else learned
    fits, exceeds = (last, 1.0) if over else (learned, FINEST)
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
