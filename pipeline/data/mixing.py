"""Two images made into one: mixup or CutMix. H, W: rows and columns of an image, uint8 [H, W, 3]."""

import numpy as np


def cut_box(share: float, height: int, width: int, random: np.random.Generator) -> tuple[slice, slice]:
    """Rows and columns of a box of about (1 - share) of the area around a uniform centre, cut at the edges.

    CutMix (arXiv 1905.04899), section 3.1. share: of the image that stays, 0 to 1.
    """
    sides = []
    for length in (height, width):
        half = length * (1.0 - share) ** 0.5 / 2
        centre = random.uniform(0, length)
        sides.append(slice(round(max(0.0, centre - half)), round(min(float(length), centre + half))))
    return sides[0], sides[1]


def mix_two(image_HWC: np.ndarray, partner_HWC: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Mixup or CutMix, each in half of the cases, with a share that is uniform in 0 to 1. uint8 in and out."""
    is_cut, share = bool(random.integers(2)), float(random.random())
    if not is_cut:
        mixed_HWC = share * image_HWC.astype(np.float32) + (1.0 - share) * partner_HWC.astype(np.float32)
        return np.rint(mixed_HWC).astype(np.uint8)
    rows, columns = cut_box(share, image_HWC.shape[0], image_HWC.shape[1], random)
    pasted_HWC = image_HWC.copy()
    pasted_HWC[rows, columns] = partner_HWC[rows, columns]
    return pasted_HWC
