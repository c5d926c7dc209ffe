"""The layer table of every student network: the one place where shapes come from (no torch).

`models.students.build` turns a table into modules; file sizes and header checks read the same table, so they cannot
disagree.
"""

from collections.abc import Iterable, Iterator
from math import prod

from models.students.families import Network, check_class_count, check_image_size
from models.students.rows import Block, Conv, Layer, Linear, Operation
from models.students.staged import staged_layers

# 32 MiB as float32: a few hostile header bytes can never ask for more, and real students are 50 times smaller.
MAX_PARAMETERS = 8 * 2**20


def layer_table(network: Network, classes: int, image_size: int) -> tuple[Layer, ...]:
    """Return the layers of a network in the order of execution.

    `image_size` is in pixels per side (RGB, square). Raises ValueError for an image size, a number of classes or a
    group width that the network cannot have, and beyond MAX_PARAMETERS. Source: the reference's layer tables;
    StudentNet is the NTU ML2020 course's network, after MobileNet (Howard et al. 2017, arXiv:1704.04861).
    """
    check_image_size(image_size)
    check_class_count(classes)
    families = {"plain": _plain, "grouped": _grouped, "studentnet": _studentnet}
    if make := families.get(network.family):
        layers = tuple(make(network.integers, classes, (image_size // 16) ** 2))
    else:
        layers = staged_layers(network, classes)
    weights = sum(prod(shape) for layer in layers for _, shape in _layer_shapes(layer))
    if weights > MAX_PARAMETERS:
        raise ValueError(
            f"{network.family} {network.integers} at {image_size} pixels with {classes} classes "
            f"has {weights} parameters, expected at most {MAX_PARAMETERS}"
        )
    return layers


def parameter_shapes(network: Network, classes: int, image_size: int) -> list[tuple[str, tuple[int, ...]]]:
    """Return (name, shape) of every parameter of the FOLDED network, in order, by arithmetic alone.

    Names and order equal `build_student(..., folded=True).named_parameters()`. Raises what `layer_table` raises.
    """
    return [pair for layer in layer_table(network, classes, image_size) for pair in _layer_shapes(layer)]


def parameter_count(network: Network, classes: int, image_size: int) -> int:
    """Return the number of trained parameters, BatchNorm's weights and biases included (the reference's figures)."""
    layers = layer_table(network, classes, image_size)
    folded = sum(prod(shape) for layer in layers for _, shape in _layer_shapes(layer))
    return folded + sum(2 * conv.outputs for conv in convolutions(layers) if conv.norm)


def convolutions(layers: Iterable[Layer]) -> Iterator[Conv]:
    """The convolutions of a layer table, those inside blocks too, in order."""
    for layer in layers:
        if isinstance(layer, Conv):
            yield layer
        elif isinstance(layer, Block):
            yield from convolutions(layer.layers)


def _layer_shapes(layer: Layer) -> list[tuple[str, tuple[int, ...]]]:
    match layer:
        case Conv(name, inputs, outputs, kernel, groups):
            weight = (outputs, inputs // groups, kernel, kernel)
        case Linear(name, inputs, outputs):
            weight = (outputs, inputs)
        case Operation():
            return []
        case Block(name, _, layers):
            return [(f"{name}.{inner}", shape) for layer in layers for inner, shape in _layer_shapes(layer)]
    return [(f"{name}.weight", weight), (f"{name}.bias", (outputs,))]


def _plain(integers: tuple[int, ...], classes: int, positions: int) -> Iterator[Layer]:
    width, hidden = integers
    channels = (3, *(width * factor for factor in (1, 1, 2, 2, 4, 4, 4)))
    for number in range(1, 8):
        yield Conv(f"conv{number}", channels[number - 1], channels[number], pool=number in (2, 4, 6, 7))
    yield from _head(channels[-1] * positions, hidden, classes)


def _grouped(integers: tuple[int, ...], classes: int, positions: int) -> Iterator[Layer]:
    last_width, blocks_after_pool, channels_per_group, hidden = integers
    channels = (3, 16, 16, 32, 32)
    for number in range(1, 5):
        yield Conv(f"conv{number}", channels[number - 1], channels[number], pool=number in (2, 4))
    widths = (32, 64, 64, *(last_width for _ in range(blocks_after_pool)))
    for number in range(1, len(widths)):
        inputs, outputs = widths[number - 1], widths[number]
        yield Conv(f"group{number}", inputs, inputs, groups=_group_count(inputs, channels_per_group))
        pool = number in (2, len(widths) - 1)
        yield Conv(f"point{number}", inputs, outputs, kernel=1, norm=False, pool=pool, activation="none")
    yield from _head(last_width * positions, hidden, classes)


def _studentnet(integers: tuple[int, ...], classes: int, positions: int) -> Iterator[Layer]:
    del positions  # global pooling: the head does not depend on the image size
    (width,) = integers
    widths = tuple(width * factor for factor in (1, 2, 4, 8, 16, 16, 16, 16))
    yield Conv("conv1", 3, width, pool=True, activation="relu6")
    for number in range(1, len(widths)):
        inputs = widths[number - 1]
        yield Conv(f"depth{number}", inputs, inputs, groups=inputs, activation="relu6")
        pool = number <= 3
        yield Conv(f"point{number}", inputs, widths[number], kernel=1, norm=False, pool=pool, activation="none")
    yield Operation("global_pool", "global_pool")
    yield from _head(widths[-1], 0, classes)


def _head(inputs: int, hidden: int, classes: int) -> Iterator[Layer]:
    if hidden:
        yield Operation("channel_dropout", "dropout2d")
    yield Operation("flatten", "flatten")
    if hidden:
        yield Linear("hidden", inputs, hidden, activation="relu")
        yield Operation("dropout", "dropout")
    yield Linear("classifier", hidden or inputs, classes)


def _group_count(inputs: int, channels_per_group: int) -> int:
    if channels_per_group == 0:
        return 1
    if inputs % channels_per_group:
        raise ValueError(f"grouped: channels_per_group {channels_per_group}, expected a divisor of {inputs} channels")
    return inputs // channels_per_group
