"""Ten thousand damaged and hostile files: each decodes to a finite network or is refused, with one kind of error."""

import os
import random
import resource
import subprocess
import sys
import time
import tracemalloc
import zlib
from collections import Counter
from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np
import pytest
import torch

from models.compress.bit_plan import Bits
from models.compress.low_bit import LowBit
from models.compress.lsq import low_bit_weights, prepare_lsq
from models.compress.short_scales import nearest_scales
from models.packed.bias_codec import encode_bias
from models.packed.container import MAGIC, Entry, Header, PackedFileError, read_container, write_container
from models.packed.header import default_classes
from models.packed.low_bit_codec import encode_low_bit
from models.packed.precisions import Codec, encoded_bytes
from models.packed.student_file import PackedStudent, pack_low_bit, pack_student, unpack_student
from models.students.architecture import Architecture, parameter_shapes
from models.students.build import build_student
from models.students.families import Network
from models.students.limits import MAX_PARAMETERS
from models.teachers.reference_cnn import reference_architecture
from tests.models.packed.made_low_bit import HEADER, folded_student, low_bit_file
from tests.models.packed.made_rows import irregular

FILES = 10_000
SMOOTH = Header(Network("plain", (4, 0)).architecture(2, 16), default_classes(2), (1, 2, 3), (4, 5, 6))
LIMIT_BYTES = 64 * 2**20
BYTES_PER_PARAMETER = 8
HEADER_END = 17  # magic, version and header of the small network
ROWS = Header(irregular(), ("bread", "rice", "soup"), (1, 2, 3), (4, 5, 6))
ROWS_HEADER_END = 5 + 3 + 50 + 1 + 6 + 5 + 5 + 6  # magic and version, 0 and sizes, rows, flags, names, mean and std


def sealed(body: bytes) -> bytes:
    """The body with a check-sum that is right, as a hostile author would."""
    return body + zlib.crc32(body).to_bytes(4, "little")


def mutated(body: bytes, header_end: int, chance: random.Random) -> bytes:
    """One to three bytes changed, removed or put in, or the end cut off; in one file of four in the header."""
    changed = bytearray(body)
    start, end = (0, header_end) if chance.random() < 0.25 else (header_end, len(body) - 3)
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
    rows = MAGIC + b"\x02\x00\x10\x02"
    start = chance.choice((b"", MAGIC, MAGIC + b"\x02", MAGIC + b"\x02\x01\x01\x00\x10\x02\x00", rows))
    return start + chance.randbytes(chance.randrange(600))


def hostile_files():
    chance = random.Random(7)
    valid = [(low_bit_file(levels)[:-4], HEADER_END) for levels in (3, 16, 256)]
    valid += [(with_a_temperature(low_bit_file())[:-4], HEADER_END + 5), (predicted_file()[:-4], HEADER_END)]
    precisions = ("fp16", "uint8")
    valid += [(pack_student(folded_student(), HEADER, precision)[:-4], HEADER_END) for precision in precisions]
    valid += [(rows_file(precision)[:-4], ROWS_HEADER_END) for precision in ("fp16", "uint8", "low-bit")]
    for number in range(FILES):
        body = random_file(chance) if number % 5 == 0 else mutated(*chance.choice(valid), chance)
        yield sealed(body) if chance.random() < 0.5 else body + chance.randbytes(4)


def with_a_temperature(data: bytes) -> bytes:
    header, entries = read_container(data)
    return write_container(replace(header, temperature=0.75), entries)


def predicted_file() -> bytes:
    """A file whose kernels are predicted, whose scales and biases are in streams."""
    tensors = []
    for number, (_, shape) in enumerate(parameter_shapes(SMOOTH.architecture)):
        random = np.random.default_rng(number)
        if len(shape) == 1:
            tensors.append(Entry(Codec.BIAS, encode_bias(random.normal(0, 1, shape).astype(np.float32))))
            continue
        rows = random.normal(0, 2, (*shape[:2], *(1 for _ in shape[2:])))
        codes = np.clip(np.rint(np.broadcast_to(rows, shape)), -8, 7).astype(np.int8)
        scale = nearest_scales(random.normal(0, 0.1, shape[0]))
        tensors.append(Entry(Codec.LOW_BIT, encode_low_bit(LowBit(codes, scale, 16))))
    return write_container(SMOOTH, tensors)


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def test_hostile_files_decode_or_are_refused():
    unpack_student(low_bit_file())  # memory that torch allocates once
    before_bytes, slowest, outcomes, messages = peak_bytes(), 0.0, Counter(), set()
    for data in hostile_files():
        started = time.process_time()
        try:
            packed = unpack_student(data)
        except PackedFileError as error:
            messages.add(str(error))
            outcomes["refused"] += 1
        else:
            assert write_container(packed.header, read_container(data)[1]) == data  # one spelling
            assert all(parameter.isfinite().all() for parameter in packed.module.parameters())
            outcomes[packed.precision + (", rows" if is_of_rows(data) else "")] += 1
        slowest = max(slowest, time.process_time() - started)
    assert outcomes.total() == FILES
    assert set(outcomes) >= {"refused", *(name + of for name in ("low-bit", "fp16", "uint8") for of in ("", ", rows"))}
    assert min(count for outcome, count in outcomes.items() if "+" not in outcome) >= 20
    assert not any("\n" in message for message in messages)
    assert sum(message.startswith("header: ") for message in messages) >= 100  # of rows above all
    assert slowest <= 5
    assert peak_bytes() - before_bytes <= LIMIT_BYTES


# In a process of its own, without tracing: there are 16 million Python numbers to make.
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"}
PEAK = """
import resource, sys
from pathlib import Path
from models.packed.student_file import unpack_student
status, unit = Path("/proc/self/status"), 1 if sys.platform == "darwin" else 1024

def held(name):  # in bytes; where there is no /proc, the most that was ever held
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if line.startswith(name))

unpack_student(Path("small.bin").read_bytes())  # memory that torch allocates once
before = held("VmRSS")
module = unpack_student(Path("largest.bin").read_bytes()).module
print(sum(parameter.numel() for parameter in module.parameters()), held("VmHWM") - before)
"""
LARGEST = (
    pytest.param(Network("plain", (199, 0)).architecture(2, 16), id="family"),
    pytest.param(reference_architecture(11, 64, 88), id="rows"),
)


@pytest.mark.parametrize("architecture", LARGEST)
@pytest.mark.parametrize(
    ("levels", "taps"),
    [(16, 9), pytest.param(2, 0, marks=pytest.mark.long), pytest.param(256, 1, marks=pytest.mark.long)],
)
def test_a_few_bytes_that_ask_for_the_largest_network(architecture, levels, taps, tmp_path):
    parameters = sum(prod(shape) for _, shape in parameter_shapes(architecture))
    assert 0.9 * MAX_PARAMETERS < parameters <= MAX_PARAMETERS
    entries = [_hollow(shape, levels, taps) for _, shape in parameter_shapes(architecture)]
    data = write_container(_header(architecture), entries)
    assert len(data) < 230_000
    (tmp_path / "small.bin").write_bytes(low_bit_file())
    (tmp_path / "largest.bin").write_bytes(data)
    found = subprocess.run([sys.executable, "-c", PEAK], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert (found.returncode, found.stderr) == (0, "")
    decoded_parameters, allocated_bytes = map(int, found.stdout.split())
    assert decoded_parameters == parameters
    assert 4 * parameters <= allocated_bytes <= LIMIT_BYTES + BYTES_PER_PARAMETER * parameters


@pytest.mark.parametrize("codec", [Codec.FP32, Codec.UINT8_CHANNEL])
def test_the_reference_cnn_decodes_within_the_same_memory(codec):
    architecture = reference_architecture(11, 64)
    shapes = [shape for _, shape in parameter_shapes(architecture)]
    entries = [Entry(codec, bytes(encoded_bytes(shape, codec))) for shape in shapes]
    data = write_container(_header(architecture), entries)
    del entries
    _, allocated_bytes = decoded(data)
    assert allocated_bytes <= LIMIT_BYTES + BYTES_PER_PARAMETER * sum(map(prod, shapes))


@pytest.mark.parametrize("missing", [0, -1])
def test_nothing_is_allocated_where_any_payload_is_too_short_for_its_shape(missing):
    architecture = reference_architecture(11, 64)
    entries = [_hollow(shape, 2, 0) for _, shape in parameter_shapes(architecture)]
    entries[missing] = Entry(Codec.FP16, b"\0\0")
    data = write_container(_header(architecture), entries)
    tracemalloc.start()
    try:
        with pytest.raises(PackedFileError, match=r"has 2 bytes, its shape \(.*\) needs \d+"):
            unpack_student(data)
        assert tracemalloc.get_traced_memory()[1] <= 2 * len(data) + 200_000
    finally:
        tracemalloc.stop()


def decoded(data: bytes) -> tuple[PackedStudent, int]:
    """The student, and the most memory that was held meanwhile, in bytes."""
    tracemalloc.start()
    try:
        return unpack_student(data), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def is_of_rows(data: bytes) -> bool:
    return data[5] == 0


def rows_file(precision: str) -> bytes:
    torch.manual_seed(2)
    student = build_student(ROWS.architecture)
    if precision != "low-bit":
        return pack_student(student, ROWS, precision)
    levels = Bits("4", "4", {}, 3.0).of_layers(ROWS.architecture)
    folded, weights = low_bit_weights(prepare_lsq(student, levels, 3.0))
    return pack_low_bit(folded, ROWS, weights)


def _header(architecture: Architecture) -> Header:
    return Header(architecture, default_classes(architecture.classes), (1, 2, 3), (4, 5, 6))


def _hollow(shape: tuple[int, ...], levels: int, taps: int) -> Entry:
    """A tensor whose stream is empty: every code is the lowest that there is."""
    if len(shape) == 1:
        return Entry(Codec.FP16, bytes(2 * shape[0]))
    if prod(shape[1:]) % max(taps, 1):
        taps = 1
    models = {0: bytes([0, levels - 1]), 1: bytes([0xFF]), 9: bytes([0xFF, 0xFF])}  # one code; spreads, the widest
    scales = np.ones(shape[0], "<f2").tobytes()
    return Entry(Codec.LOW_BIT, bytes([levels - 1, taps << 1]) + models[taps] + scales)
