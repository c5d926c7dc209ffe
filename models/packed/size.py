"""How large a packed file will be, before anything is trained (no torch, no numpy)."""

from math import prod
from typing import Any

from models.compress.bit_plan import Bits, gaussian_bits
from models.packed.container import CHECKSUM_BYTES, entry_bytes, header_bytes
from models.packed.header import Header, default_classes
from models.packed.precisions import Codec, codec_of_tensor, encoded_bytes
from models.packed.trained_rate import trained_rates
from models.students.architecture import Architecture, parameter_count, parameter_shapes
from models.students.families import FAMILIES, STUDENTS, TOP_RANGE, WIDTH_RANGE, Network
from models.students.staged import GROUPS

SHORT = "shortresnet"
FAMILY = SHORT  # of students made for a budget: the fewest multiply-adds a byte
# What stands beside the codes of a tensor, about: levels, form, spread and the stream's end; the predictor of kernels;
# scales and biases, each so much and so much a channel.
FRAME_BYTES, PREDICTOR_BYTES = 5, 21
SCALES_BYTES, SCALE_BYTES = 6, 0.8
BIASES_BYTES, BIAS_BYTES = 5, 1.21
AIM = 0.9985  # of the limit
# First widths of students made for a budget. Cores and tensor units work on whole blocks of channels: 16 channels take
# half the time of 13 or 22 in a network of equal size (AMX, bf16), and no file needs the widths between.
WIDTHS = (1, 2, 4, 8, *range(16, WIDTH_RANGE[1] + 1, 16))
SECOND_BLOCK = 32  # from this width on, a second block comes before more width: it takes half the time
TOP = 2  # widths that a top has at least, as the stage below it
# The shortresnet family grows in small steps, and most of its weights lie in the top, where the maps are small.
SHORT_WIDTHS = (1, 2, 4, *range(8, 33, 4), *range(40, WIDTH_RANGE[1] // 4 + 1, 8))
SHORT_TOP = 5


class NoneFitsError(ValueError):
    """No student is small enough for a number of bytes."""


def packed_size_bytes(architecture: Architecture, *, classes: tuple[str, ...], precision: str) -> int:
    """Return the exact size of the packed file: no codec's size depends on the weights.

    Raises ValueError for an unknown precision and for what a header cannot hold.
    """
    shapes = (shape for _, shape in parameter_shapes(architecture))
    tensors = sum(entry_bytes(encoded_bytes(shape, codec_of_tensor(precision, shape))) for shape in shapes)
    return _frame_bytes(architecture, classes) + tensors


def low_bit_size_bytes(
    architecture: Architecture, *, classes: tuple[str, ...], bits: Bits, trained: bool = True
) -> int:
    """Return about how large a low-bit file will be once the network is trained.

    Without `trained`, of normally distributed weights that know nothing of each other. Raises ValueError for a layer in
    `bits` that the network does not have.
    """
    levels, rates = bits.of_layers(architecture), trained_rates(architecture) if trained else {}
    size = _frame_bytes(architecture, classes)
    for name, shape in parameter_shapes(architecture):
        if len(shape) == 1:
            size += entry_bytes(min(encoded_bytes(shape, Codec.FP16), round(BIASES_BYTES + BIAS_BYTES * shape[0])))
            continue
        layer = name.removesuffix(".weight")
        each = gaussian_bits(levels[layer], bits.initial_clip_std) * rates.get(layer, 1.0)
        side = FRAME_BYTES + PREDICTOR_BYTES * (trained and prod(shape[2:]) > 1) + SCALES_BYTES
        size += entry_bytes(round(side + SCALE_BYTES * shape[0] + prod(shape) * each / 8))
    return size


def _frame_bytes(architecture: Architecture, classes: tuple[str, ...]) -> int:
    """Header and check-sum; mean, std and protocol have a fixed width, so any will do."""
    return header_bytes(Header(architecture, classes, mean=(0, 0, 0), std=(1, 1, 1))) + CHECKSUM_BYTES


def propose_network(
    limit_bytes: int,
    *,
    classes: tuple[str, ...],
    image_size: int,
    bits: Bits,
    family: str = FAMILY,
    depth: int | None = None,
) -> Network:
    """Return the largest student whose low-bit file is expected to fit.

    Raises NoneFitsError, with the least size, if none does, and ValueError for a depth that the family cannot have.

    First the widest, or without a `depth` of one's own the largest of a row of widths and depths, with a top of twice
    its width, then with a wider top. For plain, `depth` is the hidden layer.
    """
    step = GROUPS if family == "shuffled" else 1  # what the channels of grouped convolutions are divided by
    has_top = len(FAMILIES[family].integers) == 3

    def network_of(shape: tuple[int, int], top: int) -> Network:
        return Network(family, (*shape, top) if has_top else shape)

    def size_of(shape: tuple[int, int], top: int) -> int:
        architecture = network_of(shape, top).architecture(len(classes), image_size)
        return low_bit_size_bytes(architecture, classes=classes, bits=bits)

    def fits(shape: tuple[int, int], top: int) -> bool:
        try:
            return size_of(shape, top) <= AIM * limit_bytes
        except ValueError:  # more weights than a network may have
            return False

    least, *larger = [shape for shape in _shapes(family, depth) if shape[0] % step == 0]
    widths_of_top = SHORT_TOP if family == SHORT else TOP
    smallest = size_of(least, widths_of_top * least[0])
    if smallest > AIM * limit_bytes:
        raise NoneFitsError(f"the smallest student takes about {smallest} bytes")
    shape = max((shape for shape in larger if fits(shape, widths_of_top * shape[0])), default=least)
    top = widths_of_top * shape[0]
    while has_top and top + step <= TOP_RANGE[1] and fits(shape, top + step):
        top += step
    return network_of(shape, top)


def _shapes(family: str, depth: int | None) -> list[tuple[int, int]]:
    """Width and depth of the students that are considered, from small to large."""
    if family == "plain":  # the reference's family, for comparison: every width
        return [(width, depth or 0) for width in range(1, WIDTH_RANGE[1] + 1)]
    if family == SHORT:
        return [(width, depth or 1) for width in SHORT_WIDTHS]
    if depth is not None:
        return [(width, depth) for width in WIDTHS]
    one = [(width, 1) for width in WIDTHS if width <= SECOND_BLOCK]
    return one + [(width, 2) for width in WIDTHS if width >= SECOND_BLOCK]


def describe_students(*, image_size: int = 64, class_count: int = 11) -> list[dict[str, Any]]:
    """Return name, parameters and file size in bytes at fp32, fp16 and uint8 of every named network.

    By default for the reference's 64 x 64 pixels and 11 classes without stored names.
    """
    classes = default_classes(class_count)
    students = {name: network.architecture(class_count, image_size) for name, network in STUDENTS.items()}
    return [
        {
            "name": name,
            "parameters": parameter_count(student),
            "bytes": {
                precision: packed_size_bytes(student, classes=classes, precision=precision)
                for precision in ("fp32", "fp16", "uint8")
            },
        }
        for name, student in students.items()
    ]
