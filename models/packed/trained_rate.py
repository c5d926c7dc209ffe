"""What prediction leaves of a trained layer's bits, by the layer's place in the network (no torch, no numpy).

Fractions of what normally distributed, independent weights would take, fitted to eight trained students of food11, four
of them by six epochs only (measurements/entropy-coding.json); their files are predicted to 1.4 %. Filters are the
smoother the nearer they are to a global pooling, which sums over places; narrow ones more than wide ones.
"""

import math
from collections.abc import Iterator

from models.students.architecture import COLOURS, Architecture
from models.students.rows import Block, Conv, Layer, Linear, Operation

GLOBAL_POOLS = ("global_pool", "mean_max_pool")
INDEPENDENT = 1.007  # 1x1 and linear layers: rounded weights are not quite normal
FIRST = 1.01  # of three colours, a few hundred weights
POOLED = 0.93  # before a 2x2 pooling
INSIDE = 0.90
LAST, LAST_PER_OCTAVE, LAST_WIDTH = 0.81, 0.05, 32  # what a global pooling sums up, by its channels
UNPOOLED = 0.942  # in networks without a global pooling
FLATTENED = 0.935  # linear, on the flattened places of feature maps


def trained_rates(architecture: Architecture) -> dict[str, float]:
    """The fraction of every layer with weights, by its name."""
    rows = architecture.rows
    pooled = any(isinstance(row, Operation) and row.kind in GLOBAL_POOLS for row in rows)
    last_pool = max((place for place, row in enumerate(rows) if isinstance(row, Conv) and row.pool), default=-1)
    rates: dict[str, float] = {}
    flattened = False
    for place, row in enumerate(rows):
        flattened = flattened or (isinstance(row, Operation) and row.kind == "flatten" and not pooled)
        if isinstance(row, Linear):
            rates[row.name] = FLATTENED if flattened else INDEPENDENT
            flattened = False
        elif isinstance(row, Conv):
            rates[row.name] = _of_conv(row, pooled=pooled)
        elif isinstance(row, Block):
            rates |= dict(_of_block(row.name, row.layers, summed=pooled and place > last_pool))
    return rates


def _of_conv(row: Conv, *, pooled: bool) -> float:
    if row.kernel == 1:
        return INDEPENDENT
    if row.inputs == COLOURS:
        return FIRST
    if not pooled:
        return UNPOOLED
    return POOLED if row.pool else INSIDE


def _of_block(name: str, layers: tuple[Layer, ...], *, summed: bool) -> Iterator[tuple[str, float]]:
    """The last convolution of a block after the last 2x2 pooling is what a global pooling sums up."""
    wide = [layer for layer in layers if isinstance(layer, Conv) and layer.kernel > 1]
    for layer in layers:
        if isinstance(layer, Block):
            yield from _of_block(f"{name}.{layer.name}", layer.layers, summed=False)
        elif isinstance(layer, Linear):
            yield f"{name}.{layer.name}", INDEPENDENT
        elif isinstance(layer, Conv):
            is_last = summed and bool(wide) and layer is wide[-1]
            last = LAST + LAST_PER_OCTAVE * math.log2(layer.outputs / LAST_WIDTH)
            yield f"{name}.{layer.name}", min(last, INSIDE) if is_last else _of_conv(layer, pooled=True)
