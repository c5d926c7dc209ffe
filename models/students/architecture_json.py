"""An architecture as plain JSON values, names included: in this form it travels with a checkpoint (no torch)."""

import dataclasses
from typing import Any

from models.students.architecture import Architecture
from models.students.rows import Block, Conv, Layer, Linear, Operation

_ROWS: dict[str, type[Layer]] = {"conv": Conv, "linear": Linear, "operation": Operation, "block": Block}


def to_json(architecture: Architecture) -> dict[str, Any]:
    """Return the image size and, for every row, what it is and each of its fields."""
    return {"image_size": architecture.image_size, "rows": [_row_to_json(row) for row in architecture.rows]}


def from_json(value: Any) -> Architecture:
    """Return the architecture; ValueError for values that `to_json` could not have made."""
    try:
        return Architecture(tuple(_row_from_json(row) for row in value["rows"]), value["image_size"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no architecture: {type(error).__name__} {error}") from None


def _row_to_json(row: Layer) -> dict[str, Any]:
    fields = {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
    if isinstance(row, Block):
        fields["layers"] = [_row_to_json(layer) for layer in row.layers]
    return {"row": type(row).__name__.lower()} | fields


def _row_from_json(value: dict[str, Any]) -> Layer:
    fields = dict(value)
    kind = _ROWS[fields.pop("row")]
    if kind is Block:
        fields["layers"] = tuple(_row_from_json(layer) for layer in fields["layers"])
    return kind(**fields)
