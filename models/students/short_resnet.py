"""A student whose weights sit where the maps are small: few multiply-adds a byte (no torch)."""

from collections.abc import Iterator

from models.students.rows import Block, Conv, Layer, Linear, Operation


def short_resnet(integers: tuple[int, ...], classes: int, image_size: int) -> Iterator[Layer]:
    first, second, third, top, silu, squeeze, head = integers
    act = "none" if silu else "relu"

    def conv(name: str, inputs: int, outputs: int, pool: bool = False) -> Iterator[Layer]:
        yield Conv(name, inputs, outputs, pool=pool, activation=act)
        if silu:
            yield Operation(name + "_silu", "silu")

    def body(channels: int) -> Iterator[Layer]:
        yield from conv("conv1", channels, channels)
        yield from conv("conv2", channels, channels)
        if squeeze:
            reduced = max(1, channels // 8)
            yield Block("squeeze", "squeeze", (
                Operation("pool", "global_pool"),
                Conv("reduce", channels, reduced, kernel=1, norm=False),
                Conv("expand", reduced, channels, kernel=1, norm=False, activation="hard_sigmoid"),
            ))

    yield Operation("unshuffle", "unshuffle")
    yield from conv("stem", 12, first)
    yield from conv("widen1", first, second, True)
    yield Block("block1", "residual", tuple(body(second)), rectified=False)
    yield from conv("widen2", second, third, True)
    yield from conv("widen3", third, top, True)
    yield Block("block2", "residual", tuple(body(top)), rectified=False)
    yield Operation("pool", ("global_pool", "max_pool", "mean_max_pool")[head])
    yield Operation("flatten", "flatten")
    yield Linear("classifier", top * (2 if head == 2 else 1), classes)
