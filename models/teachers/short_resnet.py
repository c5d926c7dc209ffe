"""A residual network for short trainings on small images.

Whitened patches, halving by max pooling, two residual blocks where the maps are small (Page 2018, "How to train your
ResNet", and the DAWNBench entries after it). Images may come in several sizes: the maps are pooled as a whole.
"""

import itertools
from collections.abc import Iterable

import torch
from torch import nn
from torch.nn import functional as F

SMALLEST_FEATURES = 4  # rows and columns that a teacher's halvings leave for the pooling
LOGIT_SCALE = 0.125  # of a maximum over the map, which is larger than a mean (Page 2018, part 4)
PATCH, STRIDE = 4, 2  # pixels
MOST_PATCH_FILTERS = 2 * 3 * PATCH**2
LEAST_VARIANCE = 5e-3  # added to each axis: what hardly varies is noise, and stays small


class ShortResNet(nn.Module):
    """Of widths 48, 96, 192 and 288, 2.4 M parameters for 11 classes. Images float [N, 3, H, W] normalised."""

    def __init__(self, classes: int, image_size: int, widths: tuple[int, ...] = (48, 96, 192, 288)) -> None:
        super().__init__()
        if len(widths) != 4:
            raise ValueError(f"widths: found {len(widths)} numbers, expected 4")
        self.patches = WhitenedPatches(widths[0])
        layers: list[nn.Module] = []
        rows = image_size // STRIDE
        for stage, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
            halved = rows // 2 >= SMALLEST_FEATURES
            rows = rows // 2 if halved else rows
            layers.append(_convolution(inputs, outputs, halved=halved))
            if stage % 2 == 0:
                layers.append(_Residual(outputs))
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, images_NCHW: torch.Tensor) -> torch.Tensor:
        """Logits [N, classes]."""
        return LOGIT_SCALE * self.head(self.features(self.patches(images_NCHW)).amax((2, 3)))


class WhitenedPatches(nn.Module):
    """Patches of 4x4 pixels along their principal axes at equal variance, each with both signs, rectified.

    The filters come from images, are not trained, and their biases are (Jordan 2024, arXiv 2404.00498, section 3.2:
    of all changes there this one saves most epochs). They are zero until `whiten` has seen images.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels % 2 or not 0 < channels <= MOST_PATCH_FILTERS:
            raise ValueError(f"widths: found {channels} first, expected an even number up to {MOST_PATCH_FILTERS}")
        self.weight = nn.Parameter(torch.zeros(channels, 3, PATCH, PATCH), requires_grad=False)
        self.bias = nn.Parameter(torch.zeros(channels))

    @torch.no_grad()
    def whiten(self, batches_NCHW: Iterable[torch.Tensor]) -> None:
        """Set the filters by the patches of normalised images, the axes of largest variance first."""
        numbers = 3 * PATCH**2
        count, sum_D, products_DD = 0, torch.zeros(numbers).double(), torch.zeros(numbers, numbers).double()
        for images_NCHW in batches_NCHW:
            patches_PD = F.unfold(images_NCHW.float(), PATCH, stride=STRIDE).transpose(1, 2).flatten(0, 1)
            count += len(patches_PD)
            sum_D += patches_PD.sum(0)
            products_DD += patches_PD.T @ patches_PD
        mean_D = sum_D / count
        variances, axes = torch.linalg.eigh(products_DD / count - mean_D.outer(mean_D))  # ascending
        whitening = (axes / (variances + LEAST_VARIANCE).sqrt()).T.flip(0)[: len(self.weight) // 2]
        self.weight.copy_(torch.cat([whitening, -whitening]).view(self.weight.shape))

    def forward(self, images_NCHW: torch.Tensor) -> torch.Tensor:
        """Maps [N, channels, H / 2, W / 2]."""
        padded_NCHW = F.pad(images_NCHW, (1, 1, 1, 1), mode="reflect")
        return F.conv2d(padded_NCHW, self.weight, self.bias, stride=STRIDE).relu_()


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(*(_convolution(channels, channels, halved=False) for _ in range(2)))

    def forward(self, features_NChw: torch.Tensor) -> torch.Tensor:
        return features_NChw + self.inner(features_NChw)


def _convolution(inputs: int, outputs: int, *, halved: bool) -> nn.Sequential:
    # pooled before the ReLU: the same numbers, a quarter of them to rectify
    pool = [nn.MaxPool2d(2)] if halved else []
    filters = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    return nn.Sequential(filters, nn.BatchNorm2d(outputs), *pool, nn.ReLU(inplace=True))
