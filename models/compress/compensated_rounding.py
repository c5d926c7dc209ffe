"""Rounds weights one input at a time, each error made good by the weights that are not rounded yet.

What a layer's output loses is (w - q)' H (w - q), with H the second moments of its inputs on real pictures; the update
below is the one that keeps it least (optimal brain surgeon, Hassibi and Stork 1993; in this form Frantar et al. 2023,
GPTQ, arXiv 2210.17323). Shapes: O output channels, G groups of a convolution, I inputs of one output: channels of its
group times the filter's area; H is [G, I, I].
"""

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.compress.low_bit import LowBit, code_range

DAMPING = 0.01  # of the mean of H's diagonal, so that inputs that are always zero do no harm
SMALLEST_DAMPING = 1e-6  # where all of them are


def round_with_compensation(
    folded: nn.Sequential, nearest: Mapping[str, LowBit], batches_NCHW: Iterable[Tensor]
) -> dict[str, LowBit]:
    """Round a folded student's weights again, at the scales and levels of `nearest`; names are those of parameters.

    Layer by layer, each on inputs that come from the layers already rounded. `batches_NCHW` are normalised pictures
    that the network learned from. `folded` holds the rounded weights afterwards.
    """
    batches = list(batches_NCHW)
    rounded = {}
    for name, tensor in nearest.items():
        layer = folded.get_submodule(name.removesuffix(".weight"))
        assert isinstance(layer, (nn.Conv2d, nn.Linear))
        moments_GII = second_moments(folded, layer, batches)
        rounded[name] = _round_layer(layer, tensor, moments_GII)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(rounded[name].values()))
    return rounded


@torch.no_grad()
def second_moments(network: nn.Module, layer: nn.Conv2d | nn.Linear, batches_NCHW: Iterable[Tensor]) -> Tensor:
    """Mean of x x' over all inputs that a layer multiplies its weights with, float64 [G, I, I]."""
    groups = layer.groups if isinstance(layer, nn.Conv2d) else 1
    sums, count = torch.zeros((), dtype=torch.float64), 0

    def take(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        nonlocal sums, count
        rows_GRI = _inputs(layer, inputs[0], groups)
        sums = sums + (rows_GRI.transpose(1, 2) @ rows_GRI).double()
        count += rows_GRI.shape[1]

    handle = layer.register_forward_pre_hook(take)
    try:
        for images_NCHW in batches_NCHW:
            network(images_NCHW)
    finally:
        handle.remove()
    return sums / count


def _inputs(layer: nn.Conv2d | nn.Linear, values: Tensor, groups: int) -> Tensor:
    """Every input vector as a row, [G, R, I]."""
    if isinstance(layer, nn.Linear):
        return values.flatten(0, -2)[None]
    assert not isinstance(layer.padding, str)
    columns = F.unfold(values, layer.kernel_size, padding=layer.padding, stride=layer.stride)  # [N, G I, positions]
    return columns.unflatten(1, (groups, -1)).permute(1, 0, 3, 2).flatten(1, 2)


@torch.no_grad()
def _round_layer(layer: nn.Conv2d | nn.Linear, nearest: LowBit, moments_GII: Tensor) -> LowBit:
    groups, inputs = moments_GII.shape[:2]
    weights = layer.weight.double().reshape(groups, -1, inputs).clone()  # [G, O / G, I]
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
    return LowBit(codes.reshape(layer.weight.shape).numpy().astype(np.int8), nearest.scale, nearest.levels)
