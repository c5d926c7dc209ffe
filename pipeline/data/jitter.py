"""What happens to pictures live, batch by batch, and keeps their label: flips, shifts, another size.

B images of a batch of N images, C channels, H = W = image size.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def jitter(images_NHWC: Tensor, index_B: Tensor, flip: bool, shift: int, generator: torch.Generator) -> Tensor:
    """Take the images of a batch, flip each with probability 1/2 and move it up to `shift` pixels each way.

    Edges are reflected. One selection of pixels for the whole batch; uint8 in and out.
    """
    if not (flip or shift):
        return images_NHWC[index_B]
    _, height, width, _ = images_NHWC.shape
    count, device = len(index_B), images_NHWC.device
    rows_BH = _shifted(count, height, shift, generator, device)
    columns_BW = _shifted(count, width, shift, generator, device)
    if flip:
        flipped_B1 = torch.rand(count, 1, generator=generator, device=device) < 0.5
        columns_BW = torch.where(flipped_B1, columns_BW.flip(1), columns_BW)
    pixel_BHW = (index_B[:, None] * height + rows_BH)[:, :, None] * width + columns_BW[:, None, :]
    return images_NHWC.flatten(0, 2).index_select(0, pixel_BHW.flatten()).view(count, height, width, -1)


def resized(images_BCHW: Tensor, size: int | None) -> Tensor:
    """Normalised images at `size` x `size` pixels, antialiased, channels_last; unchanged where that is their size."""
    if size is None or tuple(images_BCHW.shape[2:]) == (size, size):
        return images_BCHW
    smaller = F.interpolate(images_BCHW, (size, size), mode="bilinear", antialias=True)
    return smaller.contiguous(memory_format=torch.channels_last)


def _shifted(count: int, length: int, shift: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """Source positions [count, length] of an axis moved by up to `shift`, reflected at both ends."""
    base = torch.arange(length, device=device)[None, :]
    offset = torch.randint(-shift, shift + 1, (count, 1), generator=generator, device=device)
    last = length - 1
    return last - (last - (base + offset).remainder(2 * last)).abs()  # a shift may exceed a small image: reflect again
