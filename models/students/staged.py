"""Students made for bytes: a stem and three stages of blocks, then global pooling; the head costs next to nothing.

The stages work at a half, a quarter and an eighth of the image's size, with width, twice that and `top` channels; `top`
can grow by single channels, so that a file ends near its limit, and costs little time. Families differ by their block;
`study networks` measures which one has the best accuracy at 100,000 bytes. Integers: width, depth (blocks per stage),
top; for dense: growth (channels that a layer adds), depth (layers per stage).
"""

import itertools
from collections.abc import Callable, Iterator

from models.students.families import Network
from models.students.rows import Block, Conv, Layer, Linear, Operation

GROUPS = 4  # of a grouped convolution
EXPANSION = 4  # of an inverted residual
SQUEEZE = 4  # reduction ratio of squeeze-and-excitation
Blocks = Callable[[str, int], Iterator[Layer]]


def staged_layers(network: Network, classes: int) -> tuple[Layer, ...]:
    """The layer table of a staged network."""
    if network.family == "dense":
        growth, depth = network.integers
        return tuple(_dense(growth, depth, classes))
    width, depth, top = network.integers
    blocks: dict[str, Blocks] = {
        "residual": lambda name, channels: _repeated(name, depth, _residual, channels),
        "straight": lambda name, channels: _repeated(name, depth, _straight, channels),
        "inverted": lambda name, channels: _repeated(name, depth, _inverted, channels),
        "shuffled": lambda name, channels: _repeated(name, depth, _shuffled, channels),
        "squeezed": lambda name, channels: _repeated(name, depth, _squeezed, channels),
        "tied": lambda name, channels: iter((_tied(name, channels, depth),)),
    }
    return tuple(_staged((width, 2 * width, top), classes, blocks[network.family]))


def _staged(widths: tuple[int, ...], classes: int, blocks: Blocks) -> Iterator[Layer]:
    yield Conv("stem", 3, widths[0], pool=True)
    yield from blocks("stage1", widths[0])
    for stage, (before, width) in enumerate(itertools.pairwise(widths), 2):
        yield Conv(f"widen{stage}", before, width, pool=True)
        yield from blocks(f"stage{stage}", width)
    yield from _head(widths[-1], classes)


def _dense(growth: int, depth: int, classes: int) -> Iterator[Layer]:
    """Every layer adds `growth` channels, seen by all later ones of its stage; a stage ends with half its channels."""
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


def _repeated(name: str, depth: int, block: Callable[[str, int], Iterator[Layer]], channels: int) -> Iterator[Layer]:
    for number in range(1, depth + 1):
        yield from block(f"{name}_{number}", channels)


def _straight(name: str, channels: int) -> Iterator[Layer]:
    yield Conv(f"{name}_conv1", channels, channels)
    yield Conv(f"{name}_conv2", channels, channels)


def _body(channels: int, groups: int = 1) -> tuple[Layer, ...]:
    shuffle = (Operation("shuffle", "shuffle", groups),) if groups > 1 else ()
    first = Conv("conv1", channels, channels, groups=groups)
    return (first, *shuffle, Conv("conv2", channels, channels, groups=groups, activation="none"))


def _residual(name: str, channels: int) -> Iterator[Layer]:
    yield Block(name, "residual", _body(channels))


def _tied(name: str, channels: int, times: int) -> Layer:
    return Block(name, "residual", _body(channels), times=times)


def _shuffled(name: str, channels: int) -> Iterator[Layer]:
    if channels % GROUPS:
        raise ValueError(f"shuffled: {channels} channels, expected a multiple of {GROUPS}")
    yield Block(name, "residual", _body(channels, GROUPS))


def _squeezed(name: str, channels: int) -> Iterator[Layer]:
    squeezed = max(1, channels // SQUEEZE)
    squeeze = (
        Operation("pool", "global_pool"),
        Conv("reduce", channels, squeezed, kernel=1, norm=False),
        Conv("expand", squeezed, channels, kernel=1, norm=False, activation="hard_sigmoid"),
    )
    yield Block(name, "residual", (*_body(channels), Block("squeeze", "squeeze", squeeze)))


def _inverted(name: str, channels: int) -> Iterator[Layer]:
    wide = EXPANSION * channels
    body = (
        Conv("expand", channels, wide, kernel=1),
        Conv("depth", wide, wide, groups=wide),
        Conv("project", wide, channels, kernel=1, activation="none"),
    )
    yield Block(name, "residual", body, rectified=False)


def _head(channels: int, classes: int) -> Iterator[Layer]:
    yield Operation("global_pool", "global_pool")
    yield Operation("flatten", "flatten")
    yield Linear("classifier", channels, classes)
