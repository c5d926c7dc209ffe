"""One row of a layer table as named torch modules."""

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.students.rows import Activation, Block, Conv, Layer, Linear, Operation, OperationKind

DROPOUT = 0.5  # the reference's, in both places of the head


def layer_modules(layer: Layer, *, folded: bool) -> list[tuple[str, nn.Module]]:
    """Return the (name, module) pairs of one layer.

    With `folded` no BatchNorm is built: its convolution has absorbed it (`models.compress.batchnorm_folding`). The
    convolution keeps its name either way, so that the parameters of both forms have the same names.
    """
    match layer:
        case Conv():
            return _conv_modules(layer, folded=folded)
        case Linear():
            linear = nn.Linear(layer.inputs, layer.outputs)
            return [(layer.name, linear), *_activation_modules(layer.name, layer.activation)]
        case Operation():
            return [(layer.name, _OPERATIONS[layer.kind](layer))]
        case Block():
            return [(layer.name, _block_module(layer, folded=folded))]


class Residual(nn.Sequential):
    """x + layers(x), rectified or not (He et al. 2016, arXiv 1512.03385); several times where the weights are tied."""

    rectified: bool
    times: int

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (nn.Sequential calls it so)
        """Feature maps of the input's shape."""
        maps_NChw = input
        for _ in range(self.times):
            maps_NChw = maps_NChw + super().forward(maps_NChw)
            if self.rectified:
                maps_NChw = F.relu_(maps_NChw)
        return maps_NChw


class Dense(nn.Sequential):
    """x and layers(x) side by side (Huang et al. 2017, arXiv 1608.06993)."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (nn.Sequential calls it so)
        """Feature maps with the layers' channels after the input's."""
        return torch.cat([input, super().forward(input)], 1)


class Squeeze(nn.Sequential):
    """Squeeze-and-excitation (Hu et al. 2018, arXiv 1709.01507): x * layers(x), with one factor per channel."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (nn.Sequential calls it so)
        """Feature maps of the input's shape."""
        return input * super().forward(input)


class MeanMaxPool(nn.Module):
    """The mean over places of every channel, then the maximum over places of every channel."""

    def forward(self, maps_NChw: Tensor) -> Tensor:
        """Maps [N, 2 C, 1, 1]."""
        return torch.cat([maps_NChw.mean((2, 3), keepdim=True), maps_NChw.amax((2, 3), keepdim=True)], 1)


def _conv_modules(layer: Conv, *, folded: bool) -> list[tuple[str, nn.Module]]:
    rows, columns = layer.kernel_size
    conv = nn.Conv2d(
        layer.inputs, layer.outputs, (rows, columns), padding=(rows // 2, columns // 2), groups=layer.groups
    )
    modules: list[tuple[str, nn.Module]] = [(layer.name, conv)]
    if layer.norm and not folded:
        modules.append((f"{layer.name}_norm", nn.BatchNorm2d(layer.outputs)))
    if layer.pool:
        modules.append((f"{layer.name}_pool", nn.MaxPool2d(2)))
    return modules + _activation_modules(layer.name, layer.activation)


def _activation_modules(name: str, activation: Activation) -> list[tuple[str, nn.Module]]:
    match activation:
        case "relu":
            return [(f"{name}_act", nn.ReLU(inplace=True))]
        case "relu6":
            return [(f"{name}_act", nn.ReLU6(inplace=True))]
        case "hard_sigmoid":
            return [(f"{name}_act", nn.Hardsigmoid())]
        case "none":
            return []


_OPERATIONS: dict[OperationKind, Callable[[Operation], nn.Module]] = {
    "global_pool": lambda _: nn.AdaptiveAvgPool2d(1),
    "flatten": lambda _: nn.Flatten(),
    "dropout2d": lambda _: nn.Dropout2d(DROPOUT),
    "dropout": lambda _: nn.Dropout(DROPOUT),
    "shuffle": lambda operation: nn.ChannelShuffle(operation.groups),
    "average_pool": lambda operation: nn.AdaptiveAvgPool2d(operation.side),
    "pixel_unshuffle": lambda _: nn.PixelUnshuffle(2),
    "mean_max_pool": lambda _: MeanMaxPool(),
    "silu": lambda _: nn.SiLU(),  # not in place: a rectifier before it needs what it gave
}


def _block_module(block: Block, *, folded: bool) -> nn.Sequential:
    inner = OrderedDict(pair for layer in block.layers for pair in layer_modules(layer, folded=folded))
    match block.kind:
        case "residual":
            residual = Residual(inner)
            residual.rectified, residual.times = block.rectified, block.times
            return residual
        case "dense":
            return Dense(inner)
        case "squeeze":
            return Squeeze(inner)
