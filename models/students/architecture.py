"""The architecture: the layer table that IS a network; every shape follows from it by arithmetic alone (no torch).

`models.students.build` turns it into modules; file sizes and header checks read the same table, so they cannot
disagree.
"""

from dataclasses import dataclass
from math import prod

from models.students import limits
from models.students.row_shapes import Output, output_of_rows
from models.students.rows import Block, Conv, Layer, Linear, Operation, with_weights

COLOURS = 3  # channels of the images


@dataclass(frozen=True)
class Architecture:
    """The rows of a network in the order of execution, and the pixels per side of its images (RGB, square).

    The last row, the head, is a Linear with an output per class. Raises ValueError for rows that do not follow from one
    another and for whatever exceeds `models.students.limits`, so that an impossible network cannot exist, whichever
    file it was read from.
    """

    rows: tuple[Layer, ...]
    image_size: int

    def __post_init__(self) -> None:
        limits.check_image_size(self.image_size)
        _check_count(self.rows)
        output_of_rows(self.rows, Output(COLOURS, self.image_size))
        if self.head.activation != "none":
            raise ValueError(f"{self.head.name}: activation {self.head.activation}, expected none after the last row")
        limits.check_class_count(self.classes)
        weights = sum(prod(shape) for _, shape in parameter_shapes(self))
        if weights > limits.MAX_PARAMETERS:
            raise ValueError(f"the network has {weights} parameters, expected at most {limits.MAX_PARAMETERS}")

    @property
    def head(self) -> Linear:
        """The last row: its outputs are the logits."""
        head = self.rows[-1] if self.rows else None
        if not isinstance(head, Linear):
            raise ValueError("the last row is no linear layer, expected one with an output per class")
        return head

    @property
    def classes(self) -> int:
        """The number of classes."""
        return self.head.outputs


def parameter_shapes(architecture: Architecture) -> list[tuple[str, tuple[int, ...]]]:
    """Return (name, shape) of every parameter of the FOLDED network, in order.

    Names and order equal `build_student(..., folded=True).named_parameters()`.
    """
    return [pair for row in architecture.rows for pair in _row_shapes(row)]


def parameter_count(architecture: Architecture) -> int:
    """Return the number of trained parameters, BatchNorm's weights and biases included (the reference's figures)."""
    norms = (layer for layer in with_weights(architecture.rows) if isinstance(layer, Conv) and layer.norm)
    folded = sum(prod(shape) for _, shape in parameter_shapes(architecture))
    return folded + sum(2 * conv.outputs for conv in norms)


def _row_shapes(row: Layer) -> list[tuple[str, tuple[int, ...]]]:
    match row:
        case Conv(name, inputs, outputs):
            weight = (outputs, inputs // row.groups, *row.kernel_size)
        case Linear(name, inputs, outputs):
            weight = (outputs, inputs)
        case Operation():
            return []
        case Block(name, _, layers):
            return [(f"{name}.{inner}", shape) for layer in layers for inner, shape in _row_shapes(layer)]
    return [(f"{name}.weight", weight), (f"{name}.bias", (outputs,))]


def _check_count(rows: tuple[Layer, ...], before: int = 0) -> int:
    """How many rows there are, those inside blocks included; raises ValueError as soon as they are too many."""
    count = before + len(rows)
    if count > limits.MAX_ROWS:
        raise ValueError(f"{count} rows, expected at most {limits.MAX_ROWS}")
    for row in rows:
        if isinstance(row, Block):
            count = _check_count(row.layers, count)
    return count
