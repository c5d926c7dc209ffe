"""Where the bytes of a packed file go, tensor by tensor (no torch, no numpy)."""

from dataclasses import dataclass
from math import prod

from models.layers import parameter_shapes
from models.packed.container import CHECKSUM_BYTES, entry_bytes, header_bytes, read_container
from models.packed.precisions import CODEC_NAMES, Codec


@dataclass(frozen=True)
class LedgerRow:
    """One line of the ledger; `size_bytes` of a tensor includes its codec byte and its length.

    `header` and `check-sum` are no tensors: their shape is (), their weights 0 and their codec "".
    """

    name: str
    shape: tuple[int, ...]
    weights: int
    codec: str
    size_bytes: int


def ledger(data: bytes) -> list[LedgerRow]:
    """Return the rows of a packed file, in its own order; their sizes add up to exactly `len(data)`.

    Raises PackedFileError for bytes that are no packed file.
    """
    header, entries = read_container(data)
    shapes = parameter_shapes(header.network, len(header.classes), header.image_size)
    rows = [LedgerRow("header", (), 0, "", header_bytes(header))]
    for (name, shape), entry in zip(shapes, entries, strict=True):
        size_bytes = entry_bytes(len(entry.payload))
        rows.append(LedgerRow(name, shape, prod(shape), CODEC_NAMES[Codec(entry.codec)], size_bytes))
    rows.append(LedgerRow("check-sum", (), 0, "", CHECKSUM_BYTES))
    assert sum(row.size_bytes for row in rows) == len(data)
    return rows
