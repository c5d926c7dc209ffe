"""Ten thousand damaged and hostile files: each decodes to a finite network or is refused, with one kind of error."""

import random
import resource
import sys
import time
import tracemalloc
import zlib
from collections import Counter

import numpy as np
import pytest

from models.compress.low_bit import LowBit
from models.packed.container import MAGIC, Entry, Header, PackedFileError, write_container
from models.packed.header import default_classes
from models.packed.low_bit_codec import encode_low_bit
from models.packed.precisions import Codec
from models.packed.student_file import pack_student, unpack_student
from models.students.architecture import parameter_shapes
from models.students.families import Network
from tests.models.packed.made_low_bit import HEADER, folded_student, low_bit_file

FILES = 10_000
LIMIT_BYTES = 64 * 2**20
HEADER_END = 17  # magic, version and header of the small network


def sealed(body: bytes) -> bytes:
    """The body with a check-sum that is right, as a hostile author would."""
    return body + zlib.crc32(body).to_bytes(4, "little")


def mutated(body: bytes, chance: random.Random) -> bytes:
    """One to three bytes changed, removed or put in, or the end cut off; in one file of four in the header."""
    changed = bytearray(body)
    start, end = (0, HEADER_END) if chance.random() < 0.25 else (HEADER_END, len(body) - 3)
    for _ in range(chance.randint(1, 3)):
        position = min(chance.randrange(start, end), len(changed) - 1)
        match chance.choices(("change", "flip", "insert", "delete", "cut"), (6, 6, 2, 2, 1))[0]:
            case "change":
                changed[position] = chance.randrange(256)
            case "flip":
                changed[position] ^= 1 << chance.randrange(8)
            case "insert":
                changed.insert(position, chance.choice((0, 1, 0x7F, 0x80, 0xFF)))
            case "delete":
                del changed[position]
            case "cut":
                del changed[position + 4 :]  # something to change is left
    return bytes(changed)


def random_file(chance: random.Random) -> bytes:
    start = chance.choice((b"", MAGIC, MAGIC + b"\x01", MAGIC + b"\x01\x01\x01\x00\x10\x02\x00"))
    return start + chance.randbytes(chance.randrange(600))


def hostile_files():
    chance = random.Random(7)
    student = folded_student()
    valid = [low_bit_file(levels)[:-4] for levels in (3, 16, 256)]
    valid += [pack_student(student, HEADER, precision)[:-4] for precision in ("fp16", "uint8")]
    for number in range(FILES):
        body = random_file(chance) if number % 5 == 0 else mutated(chance.choice(valid), chance)
        yield sealed(body) if chance.random() < 0.5 else body + chance.randbytes(4)


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def test_hostile_files_decode_or_are_refused():
    unpack_student(low_bit_file())  # memory that torch and constriction allocate once
    before_bytes, slowest, outcomes, messages = peak_bytes(), 0.0, Counter(), set()
    for data in hostile_files():
        started = time.process_time()
        try:
            packed = unpack_student(data)
        except PackedFileError as error:
            messages.add(str(error))
            outcomes["refused"] += 1
        else:
            assert all(parameter.isfinite().all() for parameter in packed.module.parameters())
            outcomes[packed.precision] += 1
        slowest = max(slowest, time.process_time() - started)
    assert outcomes.total() == FILES
    assert min(outcomes["refused"], outcomes["low-bit"], outcomes["fp16"], outcomes["uint8"]) >= 50
    assert not any("\n" in message for message in messages)
    assert slowest <= 5
    assert peak_bytes() - before_bytes <= LIMIT_BYTES


@pytest.mark.parametrize("levels", [2, 16, 256])
def test_a_few_bytes_that_ask_for_the_largest_network(levels):
    network = Network("plain", (140, 0)).architecture(2, 16)  # 8.3 million parameters
    header = Header(network, default_classes(2), (1, 2, 3), (4, 5, 6))
    entries = [_all_but_constant(shape, levels) for _, shape in parameter_shapes(network)]
    data = write_container(header, entries)
    tracemalloc.start()
    try:
        packed = unpack_student(data)
        allocated_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(data) < 120_000
    assert sum(parameter.numel() for parameter in packed.module.parameters()) > 8_000_000
    assert allocated_bytes <= LIMIT_BYTES


def _all_but_constant(shape: tuple[int, ...], levels: int) -> Entry:
    if len(shape) == 1:
        return Entry(Codec.FP16, bytes(2 * shape[0]))
    codes = np.zeros(shape, np.int8)
    codes.reshape(-1)[:2] = (-(levels // 2), (levels - 1) // 2)
    return Entry(Codec.LOW_BIT, encode_low_bit(LowBit(codes, np.ones(shape[0], np.float16), levels)))
