"""Live augmentation of a batch: flip, shift, resize, mixup and CutMix.

B images of a batch of N images, C channels, H = W = image size.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.data.mixing import cut_box
from pipeline.runtime.training_settings import AugmentSettings


@dataclass(frozen=True)
class Batch:
    """The input of one training step. A row of `hard_probs_BC` sums to 1 where the image has a label, else to 0."""

    images_BCHW: Tensor
    hard_probs_BC: Tensor
    soft_probs_BC: Tensor | None  # at the temperature of the loss

    def mixed(self, images_BCHW: Tensor, partner_B: Tensor, share: float) -> "Batch":
        """The batch with targets mixed like its images: `share` of its own, the rest of its partner's."""
        soft = self.soft_probs_BC
        soft = soft if soft is None else torch.lerp(soft[partner_B], soft, share)
        return Batch(images_BCHW, torch.lerp(self.hard_probs_BC[partner_B], self.hard_probs_BC, share), soft)


def jitter(images_NHWC: Tensor, index_B: Tensor, flip: bool, shift: int, generator: torch.Generator) -> Tensor:
    """Take the images of a batch, flip each with probability 1/2 and shift it up to `shift` pixels each way.

    Edges are reflected. One gather of pixels for the whole batch; uint8 in and out.
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
    """Source positions [count, length] of an axis shifted by up to `shift`, reflected at both ends."""
    base = torch.arange(length, device=device)[None, :]
    offset = torch.randint(-shift, shift + 1, (count, 1), generator=generator, device=device)
    last = length - 1
    return last - (last - (base + offset).remainder(2 * last)).abs()  # a shift may exceed a small image: reflect again


def mix(batch: Batch, augment: AugmentSettings, random: np.random.Generator, generator: torch.Generator) -> Batch:
    """Mixup (arXiv 1710.09412) or CutMix (arXiv 1905.04899) of images and all their labels, one share per batch."""
    alphas = {"mixup": augment.mixup_alpha, "cutmix": augment.cutmix_alpha}
    kinds = [kind for kind, alpha in alphas.items() if alpha > 0]
    if not kinds or random.random() >= augment.mix_probability:
        return batch
    kind = kinds[int(random.integers(len(kinds)))]
    share = float(random.beta(alphas[kind], alphas[kind]))
    images = batch.images_BCHW
    partner_B = torch.randperm(len(images), generator=generator, device=images.device)
    if kind == "mixup":
        return batch.mixed(torch.lerp(images[partner_B], images, share), partner_B, share)
    rows, columns = cut_box(share, images.shape[2], images.shape[3], random)
    pasted = images.clone(memory_format=torch.channels_last)
    pasted[:, :, rows, columns] = images[partner_B][:, :, rows, columns]
    cut = (rows.stop - rows.start) * (columns.stop - columns.start) / (images.shape[2] * images.shape[3])
    return batch.mixed(pasted, partner_B, 1.0 - cut)
