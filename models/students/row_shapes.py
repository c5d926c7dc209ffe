"""What a row gives for what comes in, and the rows that fit nowhere: channels, sides and limits (no torch)."""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from models.students import limits
from models.students.limits import check_range
from models.students.rows import (
    ACTIVATIONS,
    BLOCK_KINDS,
    KERNEL_FORMS,
    OPERATION_KINDS,
    Block,
    Conv,
    Layer,
    Linear,
    Operation,
    OperationKind,
    with_weights,
)


class Output(NamedTuple):
    """What a row gives for one image: channels of side x side values each; side 0: a vector, once flattened."""

    channels: int
    side: int


def output_of_rows(rows: Sequence[Layer], entering: Output, nesting: int = 0, times: int = 1) -> Output:
    """Return what the last row gives. Raises ValueError, naming the row, for the first that cannot be.

    `nesting` and `times` are those of the blocks around the rows.
    """
    names: set[str] = set()
    for row in rows:
        _check_name(row, names)
        entering = output_of(row, entering, nesting, times)
    return entering


def output_of(row: Layer, entering: Output, nesting: int = 0, times: int = 1) -> Output:
    """Return what one row gives. Raises ValueError, naming the row, for one that cannot be."""
    try:
        match row:
            case Conv():
                return _of_conv(row, entering)
            case Linear():
                return _of_linear(row, entering)
            case Operation():
                return _of_operation(row, entering)
            case Block():
                return _of_block(row, entering, nesting, times)
    except ValueError as error:
        raise ValueError(f"{row.name}: {error}") from None


def check_nesting(nesting: int) -> None:
    """Raise ValueError for blocks inside too many others; asked before anything is done with what they hold."""
    if nesting > limits.MAX_NESTING:
        raise ValueError(f"blocks inside each other, expected at most {limits.MAX_NESTING}")


def _of_conv(row: Conv, entering: Output) -> Output:
    _check_maps(entering)
    _check_inputs(row.inputs, entering)
    check_range("outputs", row.outputs, 1, limits.MAX_CHANNELS)
    check_range("kernel", row.kernel, 1, limits.MAX_KERNEL)
    check_range("groups", row.groups, 1, row.inputs)
    _check_one_of("activation", row.activation, ACTIVATIONS)
    _check_one_of("form", row.form, KERNEL_FORMS)
    _check_flags(row.norm, row.pool)
    if row.form != "square" and row.kernel == 1:
        raise ValueError(f"a {row.form} kernel of 1, expected a square one")
    if row.kernel % 2 == 0:
        raise ValueError(f"kernel {row.kernel}, expected an odd one, whose padding keeps the size")
    if row.inputs % row.groups or row.outputs % row.groups:
        raise ValueError(f"{row.groups} groups, expected a divisor of {row.inputs} inputs and {row.outputs} outputs")
    if row.pool and entering.side < 2:
        raise ValueError("pools maps of a single pixel, expected two per side at least")
    _check_size(Output(row.outputs, entering.side))
    return Output(row.outputs, entering.side // 2 if row.pool else entering.side)


def _of_linear(row: Linear, entering: Output) -> Output:
    if entering.side:
        raise ValueError(f"follows maps of {entering.side} pixels per side, expected a flatten between")
    _check_inputs(row.inputs, entering)
    check_range("outputs", row.outputs, 1, limits.MAX_CHANNELS)
    _check_one_of("activation", row.activation, ACTIVATIONS)
    return Output(row.outputs, 0)


def _of_operation(row: Operation, entering: Output) -> Output:
    _check_one_of("operation", row.kind, OPERATION_KINDS)
    if row.kind == "dropout":
        if entering.side:
            raise ValueError("dropout of maps, expected dropout2d, which takes whole channels")
    else:
        _check_maps(entering)
    check_range("groups", row.groups, *((2, entering.channels) if row.kind == "shuffle" else (1, 1)))
    check_range("side", row.side, *((2, entering.side - 1) if row.kind == "average_pool" else (1, 1)))
    if entering.channels % row.groups:
        raise ValueError(f"{row.groups} groups, expected a divisor of {entering.channels} channels")
    return _OPERATIONS.get(row.kind, _unchanged)(row, entering)


def _unchanged(_: Operation, entering: Output) -> Output:
    """Of shuffle, dropout, dropout2d, silu."""
    return entering


def _pooled(row: Operation, entering: Output) -> Output:
    return Output(entering.channels, row.side)


def _pooled_twice(_: Operation, entering: Output) -> Output:
    return Output(2 * entering.channels, 1)


def _flattened(_: Operation, entering: Output) -> Output:
    return Output(entering.channels * entering.side**2, 0)


def _unshuffled(_: Operation, entering: Output) -> Output:
    if entering.side % 2 or entering.side < 2:
        raise ValueError(f"maps of {entering.side} pixels per side, expected an even number")
    check_range("channels", 4 * entering.channels, 1, limits.MAX_CHANNELS)
    return Output(4 * entering.channels, entering.side // 2)


_OPERATIONS: dict[OperationKind, Callable[[Operation, Output], Output]] = {
    "flatten": _flattened,
    "global_pool": _pooled,
    "average_pool": _pooled,
    "mean_max_pool": _pooled_twice,
    "pixel_unshuffle": _unshuffled,
}


def _of_block(row: Block, entering: Output, nesting: int, times: int) -> Output:
    _check_one_of("block", row.kind, BLOCK_KINDS)
    _check_maps(entering)
    _check_flags(row.rectified)
    check_nesting(nesting + 1)
    check_range("times", row.times, 1, limits.MAX_TIMES // times)
    if row.kind != "residual" and (row.times > 1 or not row.rectified):
        raise ValueError(f"{row.kind}: times {row.times}, rectified {row.rectified}, which residual blocks alone have")
    if not any(with_weights(row.layers)):
        raise ValueError("a block without a convolution")
    inside = output_of_rows(row.layers, entering, nesting + 1, times * row.times)
    channels = inside.channels if row.kind == "dense" else entering.channels
    expected = Output(channels, 1 if row.kind == "squeeze" else entering.side)
    if inside != expected:
        raise ValueError(f"{row.kind}: its layers give {_maps(inside)}, expected {_maps(expected)}")
    if row.kind == "dense":
        joined = Output(entering.channels + inside.channels, entering.side)
        check_range("channels", joined.channels, 1, limits.MAX_CHANNELS)
        _check_size(joined)
        return joined
    return entering


def _check_name(row: Layer, seen: set[str]) -> None:
    """Names become those of modules, as do those of what follows a convolution."""
    if type(row) not in (Conv, Linear, Operation, Block):
        raise ValueError(f"{row!r}, expected a row of a layer table")
    if not isinstance(row.name, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", row.name, re.ASCII):
        raise ValueError(f"layer name {row.name!r}, expected a-z, 0-9 and _")
    if row.name in seen:
        raise ValueError(f"layer name {row.name!r} occurs twice, expected different names")
    seen |= {row.name, *(f"{row.name}_{part}" for part in ("norm", "pool", "act"))}


def _check_inputs(inputs: int, entering: Output) -> None:
    if type(inputs) is not int or inputs != entering.channels:
        raise ValueError(f"{inputs!r} inputs, expected {entering.channels}, which the rows before give")


def _check_maps(entering: Output) -> None:
    if not entering.side:
        raise ValueError("follows a flatten, expected a linear layer or dropout there")


def _check_size(output: Output) -> None:
    if output.channels * output.side**2 > limits.MAX_ACTIVATIONS:
        raise ValueError(f"{_maps(output)} for an image, expected at most {limits.MAX_ACTIVATIONS} values")


def _check_one_of(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"unknown {what} {value!r}, expected one of {', '.join(known)}")


def _check_flags(*flags: bool) -> None:
    if any(type(flag) is not bool for flag in flags):
        raise ValueError(f"{flags}, expected true or false")


def _maps(output: Output) -> str:
    return f"{output.channels} channels of {output.side} pixels per side"
