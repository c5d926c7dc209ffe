"""Convolutions of small feature maps as one matrix product, because oneDNN's bf16 backward passes are slow there.

Measured on two cores with AMX bf16, batch 256, forward and backward: 512 channels at 4x4 take 584 ms as a convolution
and 192 as a product, 128 at 4x4 24.4 and 24.0, 64 at 4x4 8.4 and 12.9, 256 at 8x8 211 and 213; in float32 the product
is slower throughout. Hence the two limits below; whether products are used at all, a trial decides (arithmetic.py).
Shapes: images float [N, C, h, w], channels_last; O output channels.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LARGEST_MAP = 16  # output positions, 4x4
FEWEST_CHANNELS = 128  # of the input


class ConvAsMatmul(nn.Module):
    """The same parameters under the same names as a convolution, and the same function up to rounding."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        assert not isinstance(conv.padding, str)
        self.stride, self.padding = conv.stride, conv.padding

    def forward(self, images_NChw: Tensor) -> Tensor:
        """Feature maps [N, O, h', w']; as a product where they are small."""
        (top, left), (down, right) = self.padding, self.stride
        rows = (images_NChw.shape[2] + 2 * top - self.weight.shape[2]) // down + 1
        columns = (images_NChw.shape[3] + 2 * left - self.weight.shape[3]) // right + 1
        if rows * columns > LARGEST_MAP:
            return F.conv2d(images_NChw, self.weight, self.bias, self.stride, self.padding)
        return self._matmul(images_NChw, rows, columns)

    def _matmul(self, images_NChw: Tensor, rows: int, columns: int) -> Tensor:
        (top, left), (down, right) = self.padding, self.stride
        outputs, _, height, width = self.weight.shape
        padded_NhwC = F.pad(images_NChw.permute(0, 2, 3, 1), (0, 0, left, left, top, top))
        windows = [
            padded_NhwC[:, row : row + down * rows : down, column : column + right * columns : right]
            for row in range(height)
            for column in range(width)
        ]
        patches = torch.cat(windows, -1).flatten(0, 2)  # [N h' w', height width C]
        matrix = self.weight.permute(0, 2, 3, 1).flatten(1)  # [O, height width C]
        products = F.linear(patches, matrix, self.bias)
        return products.view(len(images_NChw), rows, columns, outputs).permute(0, 3, 1, 2)


def use_conv_as_matmul(network: nn.Module) -> None:
    """Replace, in place, the convolutions that may have small maps; the state dict stays the same."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Conv2d and _eligible(child):  # a subclass uses its weights differently
                setattr(module, name, ConvAsMatmul(child))


def _eligible(conv: nn.Conv2d) -> bool:
    plain = conv.groups == 1 and conv.dilation == (1, 1) and conv.padding_mode == "zeros"
    numbers = not isinstance(conv.padding, str)  # "same" and "valid" are resolved in nn.Conv2d
    return plain and numbers and conv.kernel_size != (1, 1) and conv.in_channels >= FEWEST_CHANNELS
