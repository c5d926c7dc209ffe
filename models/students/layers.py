"""The layer tables of the reference's families: rows from a few integers (no torch).

Source: the reference's layer tables. A family's rows may be impossible: `Architecture` checks them.
"""

from collections.abc import Iterator

from models.students.rows import Conv, Layer, Linear, Operation


def plain(integers: tuple[int, ...], classes: int, image_size: int) -> Iterator[Layer]:
    """Rows of the reference's plain CNNs: width, units of a hidden layer in the head (0: none)."""
    width, hidden = integers
    channels = (3, *(width * factor for factor in (1, 1, 2, 2, 4, 4, 4)))
    for number in range(1, 8):
        yield Conv(f"conv{number}", channels[number - 1], channels[number], pool=number in (2, 4, 6, 7))
    yield from _head(channels[-1] * _positions(image_size), hidden, classes)


def grouped(integers: tuple[int, ...], classes: int, image_size: int) -> Iterator[Layer]:
    """Rows of the reference's CNNs of grouped and 1x1 convolutions; ValueError for groups that do not divide."""
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
    yield from _head(last_width * _positions(image_size), hidden, classes)


def separable(integers: tuple[int, ...], classes: int, image_size: int) -> Iterator[Layer]:
    """The plain CNN with every convolution as a depthwise and a 1x1 one: N M k k weights become N k k + N M."""
    width, hidden = integers
    channels = (3, *(width * factor for factor in (1, 1, 2, 2, 4, 4, 4)))
    for number in range(1, 8):
        inputs, outputs = channels[number - 1], channels[number]
        yield Conv(f"depth{number}", inputs, inputs, groups=inputs)
        pool = number in (2, 4, 6, 7)
        yield Conv(f"point{number}", inputs, outputs, kernel=1, norm=False, pool=pool, activation="none")
    yield from _head(channels[-1] * _positions(image_size), hidden, classes)


def studentnet(integers: tuple[int, ...], classes: int, image_size: int) -> Iterator[Layer]:
    """Rows of the NTU ML2020 course's network, after MobileNet (Howard et al. 2017, arXiv:1704.04861)."""
    del image_size  # global pooling: the head does not depend on it
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


def _positions(image_size: int) -> int:
    """Pixels of the last feature maps, which are halved four times."""
    return (image_size // 16) ** 2


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
