"""Which filters matter least: a score for every unit of channels, the mean over the filters that the unit has.

C: channels of a layer, N: images, h, w: rows and columns of a feature map, p: its places.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.compress.channel_units import STAYS, ChannelUnits

Units = Mapping[str, ChannelUnits]
Scores = dict[int, float]


def l1_scores(tensors: Mapping[str, Tensor], units: Units) -> Scores:
    """Mean absolute weight of a filter, in units of the mean of its layer (Li et al. 2017, arXiv 1608.08710)."""
    sizes_C = {name: tensors[f"{name}.weight"].abs().flatten(1).mean(1) for name in units}
    return _by_unit({name: size_C / size_C.mean() for name, size_C in sizes_C.items()}, units)


def batchnorm_scores(tensors: Mapping[str, Tensor], units: Units) -> Scores:
    """Absolute scale of a filter's BatchNorm (network slimming, Liu et al. 2017, arXiv 1708.06519).

    Units whose layers all lack a BatchNorm have no score.
    """
    scales = {name: tensors.get(f"{name}_norm.weight") for name in units}
    return _by_unit({name: scale.abs() for name, scale in scales.items() if scale is not None}, units)


def random_scores(units: Units, seed: int) -> Scores:
    """A random number for every unit: the control of the other rankings."""
    numbers = sorted({unit for own in units.values() for unit in own.outputs} - {STAYS})
    return dict(zip(numbers, np.random.default_rng(seed).random(len(numbers)).tolist(), strict=True))


def taylor_scores(student: nn.Module, units: Units, batches: Iterable[tuple[Tensor, Tensor]]) -> Scores:
    """How much the loss is expected to change without a feature map (Molchanov et al. 2017, arXiv 1611.06440).

    |mean over the map of value times gradient|, its mean over images, divided by the norm of the layer's scores
    (equation 9 and section 2.2 there). The map is that after the BatchNorm. batches: normalised images [N, 3, H, W] and
    target probabilities [N, C]; the loss is their cross-entropy. The student is put in evaluation mode.
    """
    student.eval()
    recorded: dict[str, list[Tensor]] = {name: [] for name in units}
    handles = [_record_maps(student, name, recorded[name]) for name in units]
    sums_C: dict[str, Tensor] = {}
    try:
        for images_N3HW, target_probs_NC in batches:
            for maps in recorded.values():
                maps.clear()
            student.zero_grad()
            F.cross_entropy(student(images_N3HW), target_probs_NC, reduction="sum").backward()
            for name, maps in recorded.items():
                found_C = torch.stack([_changes(maps_NChw) for maps_NChw in maps]).sum(0)
                sums_C[name] = sums_C[name] + found_C if name in sums_C else found_C
    finally:
        for handle in handles:
            handle.remove()
        student.zero_grad()
    return _by_unit({name: sum_C / sum_C.norm().clamp_min(1e-30) for name, sum_C in sums_C.items()}, units)


def _record_maps(student: nn.Module, name: str, maps: list[Tensor]) -> torch.utils.hooks.RemovableHandle:
    modules = dict(student.named_modules())

    def record(_: nn.Module, __: object, maps_NChw: Tensor) -> Tensor:
        maps_NChw.retain_grad()
        maps.append(maps_NChw)
        return maps_NChw.clone()  # the activation after it works in place

    return modules.get(f"{name}_norm", modules[name]).register_forward_hook(record)


def _changes(maps_NChw: Tensor) -> Tensor:
    """Sum over images of |mean over places of value times gradient|; a vector has one place."""
    assert maps_NChw.grad is not None
    changes_NCp = (maps_NChw.detach() * maps_NChw.grad).reshape(*maps_NChw.shape[:2], -1)
    return changes_NCp.mean(2).abs().sum(0)


def _by_unit(scores_C: Mapping[str, Tensor], units: Units) -> Scores:
    """Mean over all filters of a unit, in whichever layer they are."""
    sums: dict[int, list[float]] = {}
    for name, own_C in scores_C.items():
        for unit, score in zip(units[name].outputs, own_C.tolist(), strict=True):
            sums.setdefault(unit, []).append(score)
    sums.pop(STAYS, None)
    return {unit: sum(found) / len(found) for unit, found in sorted(sums.items())}
