"""Rate control: one number, a factor on the steps of all channels, makes a file end just below its byte limit.

The entropy of rounded weights falls by log2 k when every step grows k times, so the size is, but for small jumps, a
falling function of k. Source of the idea: the clip width as the one rate control of the byte-limited language models of
2026 (openai/parameter-golf, pull request 1394). The factor is set before LSQ, by the initial clip; after LSQ it only
corrects what the training added. There it costs accuracy, so steps are never made finer: the larger file would be the
less accurate one (docs/negative-results.md).
"""

from collections.abc import Callable
from dataclasses import dataclass

FULL = 0.99  # of the limit: a file this large does not need to grow
CLIP_AIM = 0.997  # of the limit, before low-bit training changes the weights
FINEST, COARSEST = 0.8, 2.0  # range of the factor
HALVINGS = 12


@dataclass(frozen=True)
class Fitted:
    """A packed file and the factor on its learned steps."""

    data: bytes
    step_scale: float


def fit_initial_clip(size_of: Callable[[float], float], wanted: float, limit_bytes: int, *, fill: bool) -> float:
    """The initial clip with which a file is expected to end just below a limit; the wanted one where the file fits.

    `size_of` is the expected size for a clip. With `fill`, a file that is expected to miss the last hundredth gets a
    smaller clip. Never below FINEST or above COARSEST times the wanted one.
    """
    size = size_of(wanted)
    if size <= CLIP_AIM * limit_bytes and (size >= FULL * limit_bytes or not fill):
        return wanted
    low, high = FINEST * wanted, COARSEST * wanted
    for _ in range(HALVINGS):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if size_of(middle) > CLIP_AIM * limit_bytes else (low, middle)
    return high


def fit_limit(pack: Callable[[float], bytes], limit_bytes: int) -> Fitted:
    """The file with the learned steps where it fits, else one with larger steps in the last hundredth below the limit.

    `pack` makes the file for a factor. Where sizes jump over the last hundredth, the largest file found below it is
    returned; where not even the coarsest steps fit, the coarsest file: the size gate will refuse it.
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
        middle = (fits.step_scale * exceeds) ** 0.5
        tried = Fitted(pack(middle), middle)
        if len(tried.data) <= limit_bytes:
            fits = tried
        else:
            exceeds = middle
    return fits
