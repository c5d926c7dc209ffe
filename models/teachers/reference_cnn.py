"""The reference's kind of teacher: a plain VGG-like CNN of 40.7 MB.

N images, float [N, 3, H, W] normalised.
"""

import itertools

import torch
from torch import nn

from models.teachers.short_resnet import SMALLEST_FEATURES

HIDDEN = 760  # units of the head; with them the network has the reference's 40.7 MB


class ReferenceCNN(nn.Module):
    """The reference's kind of teacher, a plain VGG-like CNN: five 3x3 convolutions and a wide head.

    Of width 64, 10.15 M parameters at 64x64 and 11 classes, 40.6 MB in float32; the reference's own took 40.7 MB.
    """

    def __init__(self, classes: int, image_size: int, width: int = 64, dropout: float = 0.0) -> None:
        super().__init__()
        widths = (3, width, 2 * width, 4 * width, 8 * width, 8 * width)
        layers: list[nn.Module] = []
        rows = image_size
        for i, o in itertools.pairwise(widths):
            layers += [nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o)]
            if rows // 2 >= SMALLEST_FEATURES:
                layers.append(nn.MaxPool2d(2))  # before the ReLU: the same numbers, a quarter of them to rectify
                rows //= 2
            layers.append(nn.ReLU(inplace=True))
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(SMALLEST_FEATURES)
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(widths[-1] * SMALLEST_FEATURES**2, HIDDEN),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(HIDDEN, classes),
        )

    def forward_features(self, images_NCHW: torch.Tensor) -> torch.Tensor:
        """Feature maps [N, 8 widths, h, w] before the pooling."""
        return self.features(images_NCHW)

    def forward(self, images_NCHW: torch.Tensor) -> torch.Tensor:
        """Logits [N, classes]."""
        return self.head(self.pool(self.forward_features(images_NCHW)))
