"""The rows of a layer table: what each layer is, not how it is computed (no torch)."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

Activation = Literal["none", "relu", "relu6", "hard_sigmoid"]
OperationKind = Literal[
    "global_pool",
    "flatten",
    "dropout2d",
    "dropout",
    "shuffle",
    "average_pool",
    "pixel_unshuffle",
    "mean_max_pool",
    "silu",
]
BlockKind = Literal["residual", "dense", "squeeze"]
KernelForm = Literal["square", "tall", "wide"]
# The places of these names are their numbers in a packed file: names are added at the end, none is moved.
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)
OPERATION_KINDS: tuple[OperationKind, ...] = get_args(OperationKind)
BLOCK_KINDS: tuple[BlockKind, ...] = get_args(BlockKind)
KERNEL_FORMS: tuple[KernelForm, ...] = get_args(KernelForm)


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
    form: KernelForm = "square"  # tall: kernel x 1, wide: 1 x kernel

    @property
    def kernel_size(self) -> tuple[int, int]:
        """Rows and columns of the kernel."""
        return 1 if self.form == "wide" else self.kernel, 1 if self.form == "tall" else self.kernel


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
    kind: OperationKind
    groups: int = 1  # of a shuffle
    side: int = 1  # of what an average_pool gives, in pixels


@dataclass(frozen=True)
class Block:
    """Layers whose input x is used again. Their names are written after the block's, with a dot between.

    residual: x + layers(x), then ReLU if `rectified`, the whole of it `times` times with the same weights;
    dense: x and layers(x), one after the other along the channels; squeeze: x * layers(x).
    """

    name: str
    kind: BlockKind
    layers: tuple["Layer", ...]
    rectified: bool = True
    times: int = 1


Layer = Conv | Linear | Operation | Block


def numbered(rows: Iterable[Layer]) -> tuple[Layer, ...]:
    """The same rows, each named after its kind and its place, from 1: "conv1", "residual2" with "residual2.conv1".

    Two tables that differ in names alone become equal; these are the names that a packed file of rows gives.
    """
    return tuple(numbered_row(row, place) for place, row in enumerate(rows, 1))


def numbered_row(row: Layer, place: int) -> Layer:
    """The same row, named after its kind and its place, as are those inside."""
    match row:
        case Block():
            return dataclasses.replace(row, name=f"{row.kind}{place}", layers=numbered(row.layers))
        case Operation():
            return dataclasses.replace(row, name=f"{row.kind}{place}")
        case _:
            return dataclasses.replace(row, name=f"{type(row).__name__.lower()}{place}")


def with_weights(rows: Iterable[Layer]) -> Iterator[Conv | Linear]:
    """The layers that have weights, those inside blocks too, in order."""
    return (row for _, row in named_weights(rows))


def named_weights(rows: Iterable[Layer], prefix: str = "") -> Iterator[tuple[str, Conv | Linear]]:
    """The same layers, each with the name of its module."""
    for row in rows:
        if isinstance(row, Block):
            yield from named_weights(row.layers, f"{prefix}{row.name}.")
        elif not isinstance(row, Operation):
            yield prefix + row.name, row


def with_replaced(
    rows: Iterable[Layer], replace: Callable[[str, Conv | Linear], Iterable[Layer]], prefix: str = ""
) -> tuple[Layer, ...]:
    """The same rows, each layer that has weights in the form of those that `replace` gives for its name and itself."""
    found: list[Layer] = []
    for row in rows:
        if isinstance(row, Block):
            layers = with_replaced(row.layers, replace, f"{prefix}{row.name}.")
            found.append(dataclasses.replace(row, layers=layers))
        elif isinstance(row, Operation):
            found.append(row)
        else:
            found += replace(prefix + row.name, row)
    return tuple(found)
