"""What each part of the entropy coder brings on the committed low-bit files, in bytes.

    PYTHONPATH=. python measurements/entropy_coding.py

Prints, as JSON, for every file its bytes on disk and those that it would have with order 0 throughout, with taps
predicted but every column alike, and with scales of eight bits and biases of ten. Its figures, and what was measured
besides, stand in entropy-coding.json.
"""

import json
from pathlib import Path
from unittest.mock import patch

import numpy as np

from models.compress.low_bit import LowBit
from models.compress.short_scales import nearest_scales
from models.packed import low_bit_codec
from models.packed.bias_codec import encode_bias
from models.packed.container import Entry, Header, read_container, write_container
from models.packed.entropy import prediction
from models.packed.low_bit_codec import decode_low_bit, encode_low_bit
from models.packed.precisions import Codec
from models.students.architecture import parameter_shapes
from pipeline.runtime.console import say

FILES = ("food11", "food11-100000", "food11-50000")
SUBMISSIONS = Path(__file__).resolve().parent.parent / "submissions"
ALIKE = 2**40  # so many distances of one spread that no column stands out


def read(name: str) -> tuple[Header, list[Entry | LowBit]]:
    """A committed file: its entries, those that are low-bit decoded."""
    header, entries = read_container((SUBMISSIONS / name / "student.bin").read_bytes())
    shapes = [shape for _, shape in parameter_shapes(header.architecture)]
    low_bit = [entry.codec == Codec.LOW_BIT for entry in entries]
    found = zip(entries, shapes, low_bit, strict=True)
    return header, [decode_low_bit(entry.payload, shape) if low else entry for entry, shape, low in found]


def coded_bytes(header: Header, parts: list[Entry | LowBit]) -> int:
    """The bytes of a file as the coder makes it."""
    made = [part if isinstance(part, Entry) else Entry(Codec.LOW_BIT, encode_low_bit(part)) for part in parts]
    return len(write_container(header, made))


def shortened(part: Entry | LowBit) -> Entry | LowBit:
    """Scales of eight bits, and a bias of ten where that is smaller."""
    if isinstance(part, LowBit):
        return LowBit(part.codes, nearest_scales(part.scale), part.levels)
    payload = encode_bias(np.frombuffer(part.payload, "<f2").astype(np.float32))
    return Entry(Codec.BIAS, payload) if len(payload) < len(part.payload) else part


def measure(name: str) -> dict[str, int]:
    """The bytes of one committed file, in every way."""
    header, parts = read(name)
    with patch.object(low_bit_codec, "_possible_taps", lambda _: []):
        order_zero = coded_bytes(header, parts)
    with patch.object(prediction, "_PRIOR", ALIKE):
        alike = coded_bytes(header, parts)
    return {
        "order_zero_bytes": order_zero,
        "columns_alike_bytes": alike,
        "packed_bytes": coded_bytes(header, parts),
        "short_scales_bytes": coded_bytes(header, list(map(shortened, parts))),
    }


if __name__ == "__main__":
    say(json.dumps({name: measure(name) for name in FILES}, indent=1))
