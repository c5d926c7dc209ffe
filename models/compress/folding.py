"""Folds every BatchNorm into the convolution before it: the same function with fewer numbers to store."""

import copy
import itertools

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights


def fold_batchnorm(student: nn.Module) -> nn.Sequential:
    """Return a copy of a student without BatchNorm, in eval mode, on the CPU, float32, with equal eval output.

    The parameters are called as in `build_student(..., folded=True)`. The student itself is left as it was. Raises
    ValueError for anything but an nn.Sequential and for a BatchNorm that does not follow a convolution.
    Source: Jacob et al. 2018, arXiv:1712.05877, section 3.2.
    """
    if not isinstance(student, nn.Sequential):
        raise ValueError(
            f"cannot fold a {type(student).__name__}, expected the nn.Sequential that build_student returns"
        )
    folded = copy.deepcopy(student).cpu().float()
    for sequence, conv, norm in norm_pairs(folded):
        _absorb(sequence.get_submodule(conv), sequence.get_submodule(norm))
        delattr(sequence, norm)
    return folded.eval()


def norm_pairs(student: nn.Module) -> list[tuple[nn.Sequential, str, str]]:
    """Every convolution with a BatchNorm after it: the sequence that holds them and both names in it.

    Raises ValueError for a BatchNorm that does not follow a convolution.
    """
    pairs: list[tuple[nn.Sequential, str, str]] = []
    for sequence in student.modules():
        if not isinstance(sequence, nn.Sequential):
            continue
        children = list(sequence.named_children())
        for (before, previous), (name, module) in itertools.pairwise([("", sequence), *children]):
            if not isinstance(module, nn.BatchNorm2d):
                continue
            if not isinstance(previous, nn.Conv2d):
                found = "nothing" if previous is sequence else type(previous).__name__
                raise ValueError(f"BatchNorm {name!r} follows {found}, expected a convolution")
            pairs.append((sequence, before, name))
    return pairs


@torch.no_grad()
def _absorb(conv: nn.Module, norm: nn.Module) -> None:
    """Write the norm's effect into the convolution, computed in float64 so that only one rounding is added."""
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    mean, variance, weight, bias = (
        tensor.detach().cpu().double() for tensor in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    conv_bias = None if conv.bias is None else conv.bias.double()
    fused_weight, fused_bias = fuse_conv_bn_weights(
        conv.weight.double(), conv_bias, mean, variance, norm.eps, weight, bias
    )
    conv.weight = nn.Parameter(fused_weight.float())
    conv.bias = nn.Parameter(fused_bias.float())
