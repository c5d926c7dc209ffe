"""Students made for bytes: a stem and three stages of blocks, then global pooling; the head costs next to nothing.

The stages work at a half, a quarter and an eighth of the image's size, with width, twice that and `top` channels; `top`
can grow by single channels, so that a file ends near its limit, and costs little time. Families differ by their block;
`study networks` measures which one has the best accuracy at 100,000 bytes. Integers: width, depth (blocks per stage),
top; for dense: growth (channels that a layer adds), depth (layers per stage).
"""

import itertools
from collections.abc import Callable, Iterator

from models.students.rows import Block, Conv, Layer, Linear, Operation

GROUPS = 4  # of a grouped convolution
EXPANSION = 4  # of an inverted residual
SQUEEZE = 4  # reduction ratio of squeeze-and-excitation
Blocks = Callable[[str, int, int], Iterator[Layer]]  # of a stage: name, channels, depth


def staged(blocks: Blocks, integers: tuple[int, ...], classes: int, image_size: int) -> Iterator[Layer]:
    """Rows of a network whose stages consist of these blocks."""
    del image_size  # global pooling: the head does not depend on it
    width, depth, top = integers
    yield Conv("stem", 3, width, pool=True)
    yield from blocks("stage1", width, depth)
    for stage, (before, channels) in enumerate(itertools.pairwise((width, 2 * width, top)), 2):
        yield Conv(f"widen{stage}", before, channels, pool=True)
        yield from blocks(f"stage{stage}", channels, depth)
    yield from _head(top, classes)


def dense(integers: tuple[int, ...], classes: int, image_size: int) -> Iterator[Layer]:
    """Every layer adds `growth` channels, seen by all later ones of its stage; a stage ends with half its channels."""
    del image_size
    growth, depth = integers
    channels = 2 * growth
    yield Conv("stem", 3, channels, pool=True)
    for stage in (1, 2, 3):
        for number in range(1, depth + 1):
            yield Block(f"stage{stage}_{number}", "dense", (Conv("conv", channels, growth),))
            channels += growth
        if stage < 3:
            yield Conv(f"halve{stage}", channels, channels // 2, kernel=1, pool=True)
            channels //= 2
    yield from _head(channels, classes)


def straight(name: str, channels: int, depth: int) -> Iterator[Layer]:
    """Two convolutions, nothing around them."""
    for number in range(1, depth + 1):
        yield Conv(f"{name}_{number}_conv1", channels, channels)
        yield Conv(f"{name}_{number}_conv2", channels, channels)


def residual(name: str, channels: int, depth: int) -> Iterator[Layer]:
    """Residual blocks of two convolutions (He et al. 2016, arXiv 1512.03385)."""
    yield from _repeated(name, depth, _body(channels))


def tied(name: str, channels: int, depth: int) -> Iterator[Layer]:
    """One residual block, done `depth` times with the same weights."""
    yield Block(name, "residual", _body(channels), times=depth)


def shuffled(name: str, channels: int, depth: int) -> Iterator[Layer]:
    """Residual blocks of grouped convolutions with a channel shuffle between; ValueError unless 4 divides channels."""
    if channels % GROUPS:
        raise ValueError(f"shuffled: {channels} channels, expected a multiple of {GROUPS}")
    first, second = _body(channels, GROUPS)
    yield from _repeated(name, depth, (first, Operation("shuffle", "shuffle", GROUPS), second))


def squeezed(name: str, channels: int, depth: int) -> Iterator[Layer]:
    """Residual blocks with squeeze-and-excitation (Hu et al. 2018, arXiv 1709.01507)."""
    reduced = max(1, channels // SQUEEZE)
    squeeze = (
        Operation("pool", "global_pool"),
        Conv("reduce", channels, reduced, kernel=1, norm=False),
        Conv("expand", reduced, channels, kernel=1, norm=False, activation="hard_sigmoid"),
    )
    yield from _repeated(name, depth, (*_body(channels), Block("squeeze", "squeeze", squeeze)))


def inverted(name: str, channels: int, depth: int) -> Iterator[Layer]:
    """Inverted residual blocks (Sandler et al. 2018, arXiv 1801.04381)."""
    wide = EXPANSION * channels
    body = (
        Conv("expand", channels, wide, kernel=1),
        Conv("depth", wide, wide, groups=wide),
        Conv("project", wide, channels, kernel=1, activation="none"),
    )
    yield from _repeated(name, depth, body, rectified=False)


def _body(channels: int, groups: int = 1) -> tuple[Conv, Conv]:
    first = Conv("conv1", channels, channels, groups=groups)
    return first, Conv("conv2", channels, channels, groups=groups, activation="none")


def _repeated(name: str, depth: int, layers: tuple[Layer, ...], *, rectified: bool = True) -> Iterator[Layer]:
    for number in range(1, depth + 1):
        yield Block(f"{name}_{number}", "residual", layers, rectified)


def _head(channels: int, classes: int) -> Iterator[Layer]:
    yield Operation("global_pool", "global_pool")
    yield Operation("flatten", "flatten")
    yield Linear("classifier", channels, classes)
