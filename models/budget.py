"""How large a packed file will be, before anything is trained (no torch, no numpy)."""

from models.layers import parameter_count, parameter_shapes
from models.networks import STUDENTS, Network
from models.packed.container import CHECKSUM_BYTES, entry_bytes, header_bytes
from models.packed.header import Header, default_classes
from models.packed.precisions import DEMONSTRATION, PRECISIONS, codec_of_tensor, encoded_bytes


def packed_size_bytes(network: Network, *, classes: tuple[str, ...], image_size: int, precision: str) -> int:
    """Return the exact size of the packed file: no codec's size depends on the weights.

    Raises ValueError for an unknown precision and for what a header cannot hold.
    """
    # Mean, std and protocol have a fixed width, so any will do.
    header = Header(network, image_size, classes, mean=(0, 0, 0), std=(1, 1, 1))
    shapes = (shape for _, shape in parameter_shapes(network, len(classes), image_size))
    tensors = sum(entry_bytes(encoded_bytes(shape, codec_of_tensor(precision, shape))) for shape in shapes)
    return header_bytes(header) + tensors + CHECKSUM_BYTES


def smallest_size_bytes(network: Network, *, classes: tuple[str, ...], image_size: int) -> tuple[int, str]:
    """Return the smallest deliverable size and its precision; of equal sizes the one of higher fidelity.

    The bare int8 cast is left out: it is a demonstration of what fails.
    """
    sizes = [
        (packed_size_bytes(network, classes=classes, image_size=image_size, precision=precision), precision)
        for precision in PRECISIONS
        if precision != DEMONSTRATION
    ]
    return min(sizes, key=lambda pair: pair[0])


def describe_students(*, image_size: int = 64, class_count: int = 11) -> list[dict[str, object]]:
    """Return name, parameters and file size in bytes at fp32, fp16 and uint8 of every named network.

    By default for the report's 64 x 64 pixels and 11 classes without stored names.
    """
    classes = default_classes(class_count)
    return [
        {
            "name": name,
            "parameters": parameter_count(network, class_count, image_size),
            "bytes": {
                precision: packed_size_bytes(network, classes=classes, image_size=image_size, precision=precision)
                for precision in ("fp32", "fp16", "uint8")
            },
        }
        for name, network in STUDENTS.items()
    ]
