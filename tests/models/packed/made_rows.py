"""Architectures of no family, for the tests of this folder and of the pipeline."""

from models.students.architecture import Architecture
from models.students.rows import Block, Conv, Layer, Linear, Operation

SMALLEST = Architecture(
    (
        Conv("stem", 3, 5, pool=True),
        Operation("pool", "global_pool"),
        Operation("flatten", "flatten"),
        Linear("head", 5, 2),
    ),
    16,
)


def irregular(classes: int = 3, image_size: int = 16) -> Architecture:
    """A residual network with squeeze-and-excitation, its inner widths pruned and one convolution factorised.

    With every kind of row, and every field of one away from its default somewhere.
    """
    squeeze = Block(
        "squeeze",
        "squeeze",
        (
            Operation("pool", "mean_max_pool"),
            Conv("reduce", 12, 1, kernel=1, norm=False),
            Conv("expand", 1, 6, kernel=1, norm=False, activation="hard_sigmoid"),
        ),
    )
    rows: tuple[Layer, ...] = (
        Operation("squares", "pixel_unshuffle"),
        Conv("stem", 12, 6),
        Operation("smooth", "silu"),
        Block("stage1", "residual", (Conv("conv1", 6, 5), Conv("conv2", 5, 6, activation="none"), squeeze)),
        Conv("widen2", 6, 11, pool=True, activation="relu6"),
        Block("stage2", "residual", (Conv("conv1", 11, 7), Conv("conv2", 7, 11)), rectified=False, times=2),
        Conv("narrow", 11, 4, kernel=1, norm=False, activation="none"),
        Conv("widen3", 4, 13, kernel=5),
        Block("more", "dense", (Conv("conv", 13, 3),)),
        Operation("mix", "shuffle", groups=4),
        Conv("group", 16, 200, groups=4),
        Operation("drop", "dropout2d"),
        Operation("pool", "average_pool", side=2),
        Operation("flatten", "flatten"),
        Linear("hidden", 800, 10, activation="relu"),
        Operation("dropout", "dropout"),
        Linear("last", 10, classes),
    )
    return Architecture(rows, image_size)
