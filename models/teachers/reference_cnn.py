"""The reference's kind of teacher: a plain VGG-like CNN of 40.7 MB; as a module, and as rows that can be packed.

N images, float [N, 3, H, W] normalised.
"""

import itertools
from collections.abc import Iterator

import torch
from torch import nn

from models.students.architecture import Architecture
from models.students.build import build_student
from models.students.rows import Conv, Layer, Linear, Operation
from models.teachers.short_resnet import SMALLEST_FEATURES

HIDDEN = 760  # units of the head; with them the network has the reference's 40.7 MB


class ReferenceCNN(nn.Module):
    """The reference's kind of teacher, a plain VGG-like CNN: five 3x3 convolutions and a wide head.

    Of width 64, 10.15 M parameters at 64x64 and 11 classes, 40.6 MB in float32; the reference's own took 40.7 MB.
    """

    def __init__(self, classes: int, image_size: int, width: int = 64, dropout: float = 0.0) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for conv in _convolutions(image_size, width):
            layers += [nn.Conv2d(conv.inputs, conv.outputs, 3, padding=1, bias=False), nn.BatchNorm2d(conv.outputs)]
            if conv.pool:
                layers.append(nn.MaxPool2d(2))  # before the ReLU: the same numbers, a quarter of them to rectify
            layers.append(nn.ReLU(inplace=True))
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(SMALLEST_FEATURES)
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(8 * width * SMALLEST_FEATURES**2, HIDDEN),
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


def reference_architecture(classes: int, image_size: int, width: int = 64) -> Architecture:
    """The network as rows, without its dropout; ValueError for an image size that no packed file has."""
    return Architecture(tuple(_rows(classes, image_size, width)), image_size)


@torch.no_grad()
def reference_student(network: ReferenceCNN, architecture: Architecture) -> nn.Sequential:
    """A student of `reference_architecture` with the weights of a ReferenceCNN and its function in eval mode.

    Convolutions have no bias there: it is 0 here. In eval mode, on the CPU.
    """
    student = build_student(architecture)
    for module in student.modules():
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            module.bias.zero_()
    for ours, theirs in zip(_with_weights(student), _with_weights(network), strict=True):
        ours.load_state_dict(theirs.state_dict(), strict=False)  # which has no bias
    return student.eval()


def _convolutions(image_size: int, width: int) -> Iterator[Conv]:
    """Maps are halved as long as they stay large enough for the head."""
    side = image_size
    widths = (3, width, 2 * width, 4 * width, 8 * width, 8 * width)
    for number, (inputs, outputs) in enumerate(itertools.pairwise(widths), 1):
        pool = side // 2 >= SMALLEST_FEATURES
        side //= 2 if pool else 1
        yield Conv(f"conv{number}", inputs, outputs, pool=pool)


def _rows(classes: int, image_size: int, width: int) -> Iterator[Layer]:
    convolutions = list(_convolutions(image_size, width))
    yield from convolutions
    if image_size >> sum(conv.pool for conv in convolutions) > SMALLEST_FEATURES:
        yield Operation("pool", "average_pool", side=SMALLEST_FEATURES)
    yield Operation("flatten", "flatten")
    yield Linear("hidden", 8 * width * SMALLEST_FEATURES**2, HIDDEN, activation="relu")
    yield Linear("classifier", HIDDEN, classes)


def _with_weights(network: nn.Module) -> list[nn.Module]:
    return [module for module in network.modules() if isinstance(module, (nn.Conv2d, nn.BatchNorm2d, nn.Linear))]
