"""Where the bytes of a packed file go, tensor by tensor (no torch; numpy only for a file with low-bit tensors)."""

from dataclasses import dataclass
from math import prod

from models.packed.container import CHECKSUM_BYTES, Entry, check_payloads, entry_bytes, header_bytes, read_container
from models.packed.low_bit_codec import LowBitBytes, measure_low_bit
from models.packed.precisions import CODEC_NAMES, Codec, Shape, coded_bytes
from models.students.architecture import parameter_shapes


@dataclass(frozen=True)
class LedgerRow:
    """One line of the ledger; `size_bytes` is the sum of coded, prediction, scale and side bytes.

    `coded_bytes` hold the weights themselves; `prediction_bytes` the predictor or the frequency table; `scale_bytes`
    scales and minima; `side_bytes` all else: codec, length, levels. `bits_per_weight` is what the coded bytes come to.
    `share` is of the file, 0..1. `levels` is 0 and `entropy_bits`, what the codes would need for all of the tensor if
    they were independent and their counts known, None where not low-bit.
    `header` and `check-sum` are no tensors: their shape is (), their weights 0, their codec "", their bytes all side.
    """

    name: str
    shape: tuple[int, ...]
    weights: int
    codec: str
    size_bytes: int
    levels: int
    bits_per_weight: float
    entropy_bits: float | None
    coded_bytes: int
    prediction_bytes: int
    scale_bytes: int
    side_bytes: int
    share: float


def ledger(data: bytes) -> list[LedgerRow]:
    """Return the rows of a packed file, in its own order; their sizes add up to exactly `len(data)`.

    Raises PackedFileError for bytes that are no packed file, or a damaged one.
    """
    header, entries = read_container(data)
    check_payloads(header, entries)
    shapes = parameter_shapes(header.architecture)
    rows = [_frame_row("header", header_bytes(header), len(data))]
    for (name, shape), entry in zip(shapes, entries, strict=True):
        rows.append(_tensor_row(name, shape, entry, len(data)))
    rows.append(_frame_row("check-sum", CHECKSUM_BYTES, len(data)))
    assert sum(row.size_bytes for row in rows) == len(data)
    return rows


def _frame_row(name: str, size_bytes: int, file_bytes: int) -> LedgerRow:
    return LedgerRow(name, (), 0, "", size_bytes, 0, 0.0, None, 0, 0, 0, size_bytes, size_bytes / file_bytes)


def _tensor_row(name: str, shape: Shape, entry: Entry, file_bytes: int) -> LedgerRow:
    size_bytes = entry_bytes(len(entry.payload))
    found = _measure(entry, shape)
    return LedgerRow(
        name=name,
        shape=shape,
        weights=prod(shape),
        codec=CODEC_NAMES[Codec(entry.codec)],
        size_bytes=size_bytes,
        levels=found.levels,
        bits_per_weight=8 * found.stream_bytes / prod(shape),
        entropy_bits=found.entropy_bits if found.levels else None,
        coded_bytes=found.stream_bytes,
        prediction_bytes=found.prediction_bytes,
        scale_bytes=found.scale_bytes,
        side_bytes=size_bytes - len(entry.payload) + found.frame_bytes,
        share=size_bytes / file_bytes,
    )


def _measure(entry: Entry, shape: Shape) -> LowBitBytes:
    """For the codecs other than low-bit their bytes are a matter of arithmetic, and the levels 0."""
    if entry.codec == Codec.LOW_BIT:
        return measure_low_bit(entry.payload, shape)
    if entry.codec == Codec.BIAS:
        return LowBitBytes(0, 0, 0, 1, len(entry.payload) - 3, 2, 0.0)
    coded = coded_bytes(shape, Codec(entry.codec))
    return LowBitBytes(0, 0, 0, 0, coded, len(entry.payload) - coded, 0.0)
