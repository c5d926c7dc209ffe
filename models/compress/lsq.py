"""LSQ, learned step size quantisation: training with rounded weights, where each output channel learns its step.

A quantised layer keeps float weights [O, ...] and, per output channel, the base-2 logarithm of its step. Gradients pass
the rounding unchanged (straight-through, Bengio et al. 2013, arXiv 1308.3432); the step has the gradient of Esser et
al. 2020 (LSQ, arXiv 1902.08153). It is stored as a logarithm because Adam changes a parameter by about its learning
rate, regardless of its size (Jain et al. 2020, arXiv 1903.08066). Shapes: O output channels, N images.
"""

import copy
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.compress.batchnorm_folding import fold_batchnorm, norm_pairs
from models.compress.bit_plan import code_range
from models.compress.low_bit import LowBit, nearest_codes
from models.compress.short_scales import nearest_scales

SMALLEST_STEP = 2.0**-20  # of a channel whose weights are all zero


class QuantisedConv2d(nn.Conv2d):
    """A convolution whose weights are rounded in every forward pass; parameters are those of the one it replaces."""

    def __init__(self, conv: nn.Conv2d, levels: int, initial_clip_std: float) -> None:
        super().__init__(*_conv_shape(conv), device="meta")
        self.weight, self.bias, self.levels = conv.weight, conv.bias, levels
        self.log_step = _initial_log_steps(conv.weight, levels, initial_clip_std)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (nn.Conv2d calls it so)
        """Feature maps, as nn.Conv2d."""
        return self._conv_forward(input, fake_quantise(self.weight, self.log_step, self.levels), self.bias)


class QuantisedLinear(nn.Linear):
    """A fully connected layer whose weights are rounded in every forward pass; parameters as above."""

    def __init__(self, linear: nn.Linear, levels: int, initial_clip_std: float) -> None:
        super().__init__(linear.in_features, linear.out_features, linear.bias is not None, device="meta")
        self.weight, self.bias, self.levels = linear.weight, linear.bias, levels
        self.log_step = _initial_log_steps(linear.weight, levels, initial_clip_std)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (nn.Linear calls it so)
        """Outputs [N, O]."""
        return F.linear(input, fake_quantise(self.weight, self.log_step, self.levels), self.bias)


Quantised = QuantisedConv2d | QuantisedLinear


def fake_quantise(weight: Tensor, log_step: Tensor, levels: int) -> Tensor:
    """`code * step` for every weight [O, ...], float32; the gradients are those of LSQ (see above).

    A step's gradient is a sum over its channel; LSQ's gradient scale (section 2.2) brings it to the size of a weight's.
    """
    lowest, highest = code_range(levels)
    gradient_scale = (highest * weight[0].numel()) ** -0.5
    log_step = log_step * gradient_scale + (log_step * (1 - gradient_scale)).detach()
    step = torch.exp2(log_step).view(-1, *(1 for _ in weight.shape[1:]))
    clipped = (weight / step).clamp(lowest, highest)
    return (clipped + (clipped.round() - clipped).detach()) * step


def prepare_lsq(student: nn.Module, levels: Mapping[str, int], initial_clip_std: float) -> nn.Module:
    """Return a copy of a student, the layers named in `levels` quantised to so many levels.

    A channel's first step puts its outermost code at `initial_clip_std` standard deviations of its weights. A larger
    value gives a larger step and a smaller file: doubling it saves about one bit per weight. Raises ValueError for a
    name that is no layer with weights.
    """
    quantised = copy.deepcopy(student)
    for name, count in levels.items():
        layer = dict(quantised.named_modules()).get(name)
        if type(layer) is nn.Conv2d:
            quantised.set_submodule(name, QuantisedConv2d(layer, count, initial_clip_std))
        elif type(layer) is nn.Linear:
            quantised.set_submodule(name, QuantisedLinear(layer, count, initial_clip_std))
        else:
            raise ValueError(f"{name}: {type(layer).__name__}, expected a convolution or a linear layer to quantise")
    return quantised


def _initial_log_steps(weight: Tensor, levels: int, initial_clip_std: float) -> nn.Parameter:
    spread_O = weight.detach().flatten(1).square().mean(1).sqrt()  # the mean of weights is nearly zero
    return nn.Parameter((initial_clip_std * spread_O / code_range(levels)[1]).clamp_min(SMALLEST_STEP).log2())


def _conv_shape(conv: nn.Conv2d) -> tuple[Any, ...]:
    sizes = (conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding, conv.dilation)
    return (*sizes, conv.groups, conv.bias is not None)


def _float_layer(layer: Quantised) -> nn.Module:
    """The layer with float weights that a quantised one replaced."""
    if isinstance(layer, nn.Conv2d):
        conv = nn.Conv2d(*_conv_shape(layer), device="meta")
        conv.weight, conv.bias = layer.weight, layer.bias
        return conv
    linear = nn.Linear(layer.in_features, layer.out_features, layer.bias is not None, device="meta")
    linear.weight, linear.bias = layer.weight, layer.bias
    return linear


def quantised_layers(student: nn.Module) -> dict[str, Quantised]:
    """The quantised layers of a student by name, in order."""
    return {name: module for name, module in student.named_modules() if isinstance(module, Quantised)}


def with_scaled_steps(student: nn.Module, step_scale: float) -> nn.Module:
    """Return a copy of a quantised student on the CPU, every learned step multiplied by `step_scale`."""
    copied = copy.deepcopy(student).cpu()
    for layer in quantised_layers(copied).values():
        layer.log_step.data += math.log2(step_scale)
    return copied


def low_bit_weights(student: nn.Module) -> tuple[nn.Sequential, dict[str, LowBit]]:
    """The folded network of a quantised student, with float weights, and its weights as codes and scales, by name.

    A channel's scale is its step times BatchNorm's factor, sign included, rounded to eight bits (`short_scales`).
    Names are those of parameters ("conv1.weight"). The student is not changed.
    """
    plain, weights = copy.deepcopy(student).cpu(), {}
    factors = _batchnorm_factors(plain)
    for name, layer in quantised_layers(plain).items():
        step_O = torch.exp2(layer.log_step.detach().double())
        codes = nearest_codes(layer.weight.detach().numpy(), step_O.numpy(), layer.levels)
        scale_O = nearest_scales((step_O * factors.get(name, 1.0)).numpy())
        codes[scale_O == 0] = 0  # a channel too small for float16
        weights[f"{name}.weight"] = LowBit(codes, scale_O, layer.levels)
        plain.set_submodule(name, _float_layer(layer))
    return fold_batchnorm(plain), weights


@torch.no_grad()
def snap_scales(student: nn.Module) -> None:
    """Round every channel's scale to eight bits, in place: by its BatchNorm's weight, else by its step.

    What a channel gives changes by at most 0.4 %; BatchNorm's statistics have to be measured again after it.
    """
    factors, norms = _batchnorm_factors(student), _batchnorms(student)
    for name, layer in quantised_layers(student).items():
        step_O = torch.exp2(layer.log_step.detach().double().cpu())
        scale_O = step_O * factors.get(name, 1.0)
        snapped_O = torch.from_numpy(nearest_scales(scale_O.numpy()).astype(np.float64))
        if name in norms:
            norms[name].weight.mul_(torch.where(scale_O == 0, 0, snapped_O / scale_O).to(norms[name].weight))
        else:
            layer.log_step.copy_(snapped_O.clamp_min(SMALLEST_STEP).log2())


def _batchnorms(student: nn.Module) -> dict[str, nn.BatchNorm2d]:
    """Every BatchNorm by the name of the convolution before it."""
    names, found = {module: name for name, module in student.named_modules()}, {}
    for sequence, conv, norm_name in norm_pairs(student):
        norm = sequence.get_submodule(norm_name)
        assert isinstance(norm, nn.BatchNorm2d)
        found[names[sequence.get_submodule(conv)]] = norm
    return found


def _batchnorm_factors(student: nn.Module) -> dict[str, Tensor]:
    """The factor of each output channel when its BatchNorm is folded, float64 [O], by the convolution's name."""
    factors = {}
    for name, norm in _batchnorms(student).items():
        assert norm.running_var is not None
        factors[name] = norm.weight.detach().double() / (norm.running_var.double() + norm.eps).sqrt()
    return factors
