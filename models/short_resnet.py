"""A residual network for short trainings on small pictures.

Nine layers with weights, halved by max pooling, two residual blocks where the maps are small (Page 2018, "How to train
your ResNet", and the DAWNBench entries after it). Pictures may come in several sizes: the maps are pooled as a whole.
"""

import itertools

import torch
from torch import nn

SMALLEST_FEATURES = 4  # rows and columns that a teacher's halvings leave for the pooling
LOGIT_SCALE = 0.125  # of a maximum over the map, which is larger than a mean (Page 2018, part 4)


class ShortResNet(nn.Module):
    """Of widths 64, 128, 256 and 384, 4.2 M parameters for 11 classes. Images float [N, 3, H, W] normalised."""

    def __init__(self, classes: int, image_size: int, widths: tuple[int, ...] = (64, 128, 256, 384)) -> None:
        super().__init__()
        if len(widths) != 4:
            raise ValueError(f"widths: found {len(widths)} numbers, expected 4")
        layers: list[nn.Module] = []
        rows = image_size
        for stage, (inputs, outputs) in enumerate(itertools.pairwise((3, *widths))):
            halved = rows // 2 >= SMALLEST_FEATURES
            rows = rows // 2 if halved else rows
            layers.append(_convolution(inputs, outputs, halved=halved))
            if stage % 2:
                layers.append(_Residual(outputs))
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, images_NCHW: torch.Tensor) -> torch.Tensor:
        """Logits [N, classes]."""
        return LOGIT_SCALE * self.head(self.features(images_NCHW).amax((2, 3)))


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
