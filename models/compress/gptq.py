"""GPTQ: rounds a layer's weights one input at a time, each error compensated by the weights not rounded yet.

The error of a layer's output is (w - q)' H (w - q), with H the second moments of its inputs on real images; the update
below minimises it (optimal brain surgeon, Hassibi and Stork 1993; in this form Frantar et al. 2023, arXiv 2210.17323).
Shapes: O output channels, G groups of a convolution, I inputs of one output: channels of its group times the filter's
area; H is [G, I, I].
"""

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.hooks import RemovableHandle

from models.compress.bit_plan import code_range
from models.compress.low_bit import LowBit

DAMPING = 0.01  # of the mean of H's diagonal, so that H is invertible where inputs are always zero
SMALLEST_DAMPING = 1e-6  # where all inputs are zero
Weighted = nn.Conv2d | nn.Linear


def gptq_round(folded: nn.Module, nearest: Mapping[str, LowBit], moments: Mapping[str, Tensor]) -> dict[str, LowBit]:
    """Round a folded student's weights again, at the scales and levels of `nearest`; names are those of parameters.

    `moments` are the `second_moments` of the layers, [G, I, I] each, by the names of the layers.
    """
    rounded = {}
    for name, tensor in nearest.items():
        layer = name.removesuffix(".weight")
        rounded[name] = _round_layer(folded.get_parameter(name), tensor, moments[layer])
    return rounded


@torch.no_grad()
def second_moments(network: nn.Module, batches_NCHW: Iterable[Tensor]) -> dict[str, Tensor]:
    """Mean of x x' over all inputs that each layer multiplies its weights with, float64 [G, I, I], by layer.

    `batches_NCHW` are normalised images that the network learned from. The moments are those of the network as it is,
    so that one pass over the images serves any number of roundings.
    """
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = {}

    def measure(name: str, layer: Weighted) -> RemovableHandle:
        def add(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            rows_GRI = _input_rows(layer, inputs[0])
            sums[name] = sums.get(name, 0) + (rows_GRI.transpose(1, 2) @ rows_GRI).double()
            counts[name] = counts.get(name, 0) + rows_GRI.shape[1]

        return layer.register_forward_pre_hook(add)

    handles = [measure(name, layer) for name, layer in network.named_modules() if isinstance(layer, Weighted)]
    try:
        for images_NCHW in batches_NCHW:
            network(images_NCHW)
    finally:
        for handle in handles:
            handle.remove()
    return {name: total / counts[name] for name, total in sums.items()}


def _input_rows(layer: Weighted, values: Tensor) -> Tensor:
    """Every input vector as a row, [G, R, I]."""
    if isinstance(layer, nn.Linear):
        return values.flatten(0, -2)[None]
    assert not isinstance(layer.padding, str)
    columns = F.unfold(values, layer.kernel_size, padding=layer.padding, stride=layer.stride)  # [N, G I, positions]
    return columns.unflatten(1, (layer.groups, -1)).permute(1, 0, 3, 2).flatten(1, 2)


@torch.no_grad()
def _round_layer(weight: Tensor, nearest: LowBit, moments_GII: Tensor) -> LowBit:
    groups, inputs = moments_GII.shape[:2]
    weights = weight.double().reshape(groups, -1, inputs).clone()  # [G, O / G, I]
    scale = torch.from_numpy(nearest.scale.astype(np.float64)).reshape(groups, -1)
    divisor = torch.where(scale == 0, torch.inf, scale)
    lowest, highest = code_range(nearest.levels)
    damping = DAMPING * moments_GII.diagonal(dim1=1, dim2=2).mean(1).clamp_min(SMALLEST_DAMPING)
    damped = moments_GII + damping[:, None, None] * torch.eye(inputs)
    # the rows of this factor are what removing one input after the other leaves of the inverse (GPTQ, step 3)
    factor = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(damped)), upper=True)
    codes = torch.empty_like(weights)
    for i in range(inputs):
        codes[:, :, i] = (weights[:, :, i] / divisor).round().clamp(lowest, highest)
        error = (weights[:, :, i] - codes[:, :, i] * scale) / factor[:, i, i, None]
        weights[:, :, i + 1 :] -= error[:, :, None] * factor[:, None, i, i + 1 :]
    return LowBit(codes.reshape(weight.shape).numpy().astype(np.int8), nearest.scale, nearest.levels)
