"""Bit widths: which layer has how many levels, and how many bits a weight then takes (no torch, no numpy).

Layers are named as in the layer table ("conv1"). A width of b bits has 2^b levels, ternary has 3.
"""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

from models.students.architecture import Architecture, parameter_shapes

LEVELS = {"ternary": 3, "2": 4, "3": 8, "4": 16, "5": 32, "6": 64, "8": 256}  # name of a bit width -> its levels


def code_range(levels: int) -> tuple[int, int]:
    """Smallest and largest code: from -(levels // 2) to (levels - 1) // 2, so that 0 is always one of them."""
    return -(levels // 2), (levels - 1) // 2


@dataclass(frozen=True)
class Bits:
    """Names of the bit widths of a student's weights: of the body, of the head, and of single layers.

    `initial_clip_std`: where a channel's outermost code begins, before LSQ, in standard deviations of its weights.
    """

    body: str
    head: str
    layers: Mapping[str, str]
    initial_clip_std: float

    def of_layers(self, architecture: Architecture) -> dict[str, int]:
        """Levels of every layer with weights, in order; ValueError for a layer that the network does not have."""
        shapes = parameter_shapes(architecture)
        names = [name.removesuffix(".weight") for name, shape in shapes if len(shape) > 1]
        unknown = next((name for name in self.layers if name not in names), None)
        if unknown is not None:
            raise ValueError(f"no layer {unknown!r}, expected one of {', '.join(names)}")
        own = {architecture.head.name: self.head} | dict(self.layers)
        return {name: LEVELS[own.get(name, self.body)] for name in names}


def gaussian_bits(levels: int, clip_std: float) -> float:
    """Entropy in bits of normally distributed weights whose outermost positive code lies at `clip_std` deviations."""
    lowest, highest = code_range(levels)
    step = clip_std / highest
    edges = [-math.inf, *((code + 0.5) * step for code in range(lowest, highest)), math.inf]
    below = [0.5 * (1 + math.erf(edge / math.sqrt(2))) for edge in edges]
    shares = [above - under for under, above in itertools.pairwise(below)]
    return -sum(share * math.log2(share) for share in shares if share > 0)
