"""A student that is cheap per byte: most of its weights sit where the maps are small (no torch).

After Page 2018, "How to train your ResNet", as the teacher `models.teachers.short_resnet`: squares of 2x2 pixels become
channels, three convolutions halve the maps, and residual blocks follow the first and the last of them. A weight takes
78 multiply-adds at 64x64 pixels, in a `squeezed` student of the same bytes 200. Integers: width, depth (blocks in each
of the two places), top. The convolutions have width, 2 width, 4 width and `top` channels, and SiLU after the pooling
(Elfwing et al. 2017, arXiv 1702.03118).
"""

from collections.abc import Iterator

from models.students.rows import Block, Conv, Layer, Linear, Operation

COLOURS_OF_SQUARE = 12  # three of each of four pixels
SMALLEST_SIDE = 4  # pixels per side that a halving leaves


def short_resnet(integers: tuple[int, ...], classes: int, image_size: int) -> Iterator[Layer]:
    """Rows of the network; maps are halved while they keep 4 pixels per side."""
    width, depth, top = integers
    widths = (width, 2 * width, 4 * width, top)
    side = image_size // 2
    yield Operation("squares", "pixel_unshuffle")
    yield from _conv("stem", COLOURS_OF_SQUARE, width)
    for stage in (1, 2, 3):
        halved = side // 2 >= SMALLEST_SIDE
        side = side // 2 if halved else side
        yield from _conv(f"widen{stage}", widths[stage - 1], widths[stage], pool=halved)
        if stage != 2:
            yield from _blocks(f"stage{stage}", widths[stage], depth)
    yield Operation("pool", "mean_max_pool")
    yield Operation("flatten", "flatten")
    yield Linear("classifier", 2 * top, classes)


def _blocks(name: str, channels: int, depth: int) -> Iterator[Layer]:
    body = (*_conv("conv1", channels, channels), *_conv("conv2", channels, channels))
    for number in range(1, depth + 1):
        yield Block(f"{name}_{number}", "residual", body, rectified=False)


def _conv(name: str, inputs: int, outputs: int, *, pool: bool = False) -> Iterator[Layer]:
    yield Conv(name, inputs, outputs, pool=pool, activation="none")
    yield Operation(f"{name}_silu", "silu")
