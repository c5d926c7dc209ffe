"""Pruning of whole filters: the smaller network that computes what the larger one does without some of its units.

Surgery: of a layer the rows of its outputs and the columns of its inputs that stay are kept, its BatchNorm's values
with them; a depthwise convolution loses groups. Nothing is masked, so the file shrinks. o, i: output and input channels
of a layer, k: kernel.
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor

from models.compress.channel_units import STAYS, ChannelUnits, channel_units
from models.students.architecture import Architecture
from models.students.rows import Conv, Linear, with_replaced

Space = tuple[str, ...]  # the layers whose outputs its units are


def removed_units(
    scores: Mapping[int, float], competing: Mapping[Space, Sequence[int]], keep: Mapping[Space, int]
) -> set[int]:
    """The units with the lowest scores of every space; keep: how many of each stay, at least one.

    Units without a score stay. Of equal scores the earlier unit stays.
    """
    removed: set[int] = set()
    for names, units in competing.items():
        scored = sorted((unit for unit in units if unit in scores), key=lambda unit: (scores[unit], -unit))
        removed |= set(scored[: max(0, len(units) - max(1, keep[names]))])
    return removed


def pruning_counts(sizes: Mapping[Space, int], share: float) -> dict[Space, int]:
    """How many units of every space stay where this share of `sizes` does; one stays always."""
    return {names: max(1, round(size * share)) for names, size in sizes.items()}


def pruning_shares(sizes: Mapping[Space, int], keep: float, rate: float) -> list[float]:
    """The shares of the first units that stay after each step, `rate` of those before it, down to `keep`.

    Steps that remove nothing are left out: a layer of 16 filters loses one at 0.9 and at 0.85.
    """
    shares, share, counts = [], 1.0, dict(sizes)
    while share > keep:
        share = max(keep, share * rate)
        left = pruning_counts(sizes, share)
        if left != counts:
            shares.append(share)
        counts = left
    return shares


def without_units(
    architecture: Architecture, tensors: Mapping[str, Tensor], removed: Collection[int]
) -> tuple[Architecture, dict[str, Tensor]]:
    """Return the network without these units, and its tensors: those of the state dict of a student or a folded one.

    Raises ValueError where a layer would lose all of its channels.
    """
    units, gone = channel_units(architecture), frozenset(removed) - {STAYS}
    kept = dict(tensors)
    for name, own in units.items():
        outputs, inputs = _staying(own.outputs, gone), _staying(own.inputs, gone)
        if not len(outputs) or not len(inputs):
            raise ValueError(f"{name}: every channel is removed, expected one to stay")
        weight = tensors[f"{name}.weight"]
        columns = inputs[inputs < weight.shape[1]]  # of a group: all groups lose the same of theirs
        is_depthwise = weight.shape[1] == 1 and len(own.inputs) > 1
        rows = weight[outputs.to(weight.device)]
        kept[f"{name}.weight"] = rows.clone() if is_depthwise else rows[:, columns.to(weight.device)]
        kept |= {key: tensors[key][outputs.to(weight.device)] for key in _per_output(name, tensors)}
    rows = with_replaced(architecture.rows, lambda name, row: (_thinner(row, units[name], gone),))
    return Architecture(rows, architecture.image_size), kept


def _staying(units: Sequence[int], gone: frozenset[int]) -> Tensor:
    return torch.tensor([place for place, unit in enumerate(units) if unit not in gone], dtype=torch.long)


def _per_output(name: str, tensors: Mapping[str, Tensor]) -> list[str]:
    """Names of the tensors of a layer and its BatchNorm that have a value per output channel."""
    norm = [f"{name}_norm.{value}" for value in ("weight", "bias", "running_mean", "running_var")]
    return [key for key in (f"{name}.bias", *norm) if key in tensors]


def _thinner(row: Conv | Linear, own: ChannelUnits, gone: frozenset[int]) -> Conv | Linear:
    inputs, outputs = (sum(unit not in gone for unit in end) for end in (own.inputs, own.outputs))
    if isinstance(row, Conv) and row.groups == row.inputs > 1:
        return dataclasses.replace(row, inputs=inputs, outputs=outputs, groups=inputs)
    return dataclasses.replace(row, inputs=inputs, outputs=outputs)
