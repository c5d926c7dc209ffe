"""The rows of a layer table: what each layer is, not how it is computed (no torch)."""

from dataclasses import dataclass
from typing import Literal

Activation = Literal["relu", "relu6", "hard_sigmoid", "none"]


@dataclass(frozen=True)
class Conv:
    """A convolution with bias and "same" padding, then BatchNorm if `norm`, 2x2 max pooling if `pool`, activation.

    The activations never decrease, so pooling first gives the same numbers at a quarter of the activations' cost.
    """

    name: str
    inputs: int
    outputs: int
    kernel: int = 3
    groups: int = 1
    norm: bool = True
    pool: bool = False
    activation: Activation = "relu"


@dataclass(frozen=True)
class Linear:
    """A fully connected layer with bias, then the activation."""

    name: str
    inputs: int
    outputs: int
    activation: Activation = "none"


@dataclass(frozen=True)
class Operation:
    """A layer without parameters."""

    name: str
    kind: Literal["global_pool", "flatten", "dropout2d", "dropout", "shuffle"]
    groups: int = 1  # of a shuffle


@dataclass(frozen=True)
class Block:
    """Layers whose input x is used again. Their names are written after the block's, with a dot between.

    residual: x + layers(x), then ReLU if `rectified`, the whole of it `times` times with the same weights;
    dense: x and layers(x), one after the other along the channels; squeeze: x * layers(x).
    """

    name: str
    kind: Literal["residual", "dense", "squeeze"]
    layers: tuple["Layer", ...]
    rectified: bool = True
    times: int = 1


Layer = Conv | Linear | Operation | Block
