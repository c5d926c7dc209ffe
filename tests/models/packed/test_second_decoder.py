"""Two decoders, written apart, give the same tensors bit for bit and the same answers for every committed file."""

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.compress.low_bit import LowBit
from models.compress.short_scales import nearest_scales
from models.packed.codecs import encode_tensor
from models.packed.container import Entry, read_container, write_container
from models.packed.low_bit_codec import decode_low_bit, encode_low_bit
from models.packed.precisions import Codec
from models.packed.student_file import unpack_student
from models.students.architecture import parameter_shapes
from pipeline.training.inference import predict_with_packed
from tests import second_decoder, second_network

ROOT = Path(__file__).parents[3]
COMMITTED = sorted((ROOT / "submissions").glob("food11*/student.bin"))


def assert_same(data: bytes) -> None:
    packed, second = unpack_student(data), second_decoder.decode(data)
    facts, _, tensors = second
    for ours, theirs in zip(packed.module.parameters(), tensors, strict=True):
        assert ours.numpy().dtype == theirs.dtype
        assert ours.numpy().tobytes() == theirs.tobytes()
    header = packed.header
    assert (tuple(facts["names"]), facts["tta_flip"], facts["temperature"]) == (
        header.classes,
        header.tta_flip,
        header.temperature,
    )
    images = np.random.default_rng(0).integers(0, 256, (4, header.image_size, header.image_size, 3), np.uint8)
    ours = predict_with_packed(packed, images)
    assert np.abs(second_network.log_probs(second, images) - ours).max() <= 1e-4
    assert len({tuple(row) for row in ours.tolist()}) == 4


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.parent.name)
def test_both_decode_the_committed_files(path: Path) -> None:
    assert_same(path.read_bytes())


def with_short_scales(data: bytes) -> bytes:
    """A file as a run writes it today: scales of eight bits and biases of ten, and a temperature."""
    header, entries = read_container(data)
    for place, (_, shape) in enumerate(parameter_shapes(header.architecture)):
        if entries[place].codec == Codec.LOW_BIT:
            tensor = decode_low_bit(entries[place].payload, shape)
            signs = np.where(np.arange(shape[0]) % 3, 1, -1)
            short = LowBit(tensor.codes, nearest_scales(tensor.scale * signs), tensor.levels)
            entries[place] = Entry(Codec.LOW_BIT, encode_low_bit(short))
        else:
            bias = np.frombuffer(entries[place].payload, "<f2").astype(np.float32)
            entries[place] = Entry(Codec.BIAS, encode_tensor(bias, Codec.BIAS))
    return write_container(replace(header, temperature=0.75), entries)


@pytest.mark.parametrize("name", ["food11-50000", "food11-100000"])
def test_both_decode_scales_and_biases_from_streams(name: str) -> None:
    assert_same(with_short_scales((ROOT / "submissions" / name / "student.bin").read_bytes()))


def test_there_are_committed_files_of_every_kind() -> None:
    assert len(COMMITTED) >= 6
    codecs = {entry.codec for path in COMMITTED for entry in read_container(path.read_bytes())[1]}
    assert codecs == {Codec.FP16, Codec.UINT8_CHANNEL, Codec.LOW_BIT, Codec.BIAS}


def test_the_second_decoder_stands_alone() -> None:
    allowed = {"second_decoder": {"functools", "itertools", "zlib", "bisect", "math", "numpy", "tests.second_network"}}
    allowed["second_network"] = {"itertools", "numpy"}
    for name, expected in allowed.items():
        source = (ROOT / "tests" / f"{name}.py").read_text()
        assert len(source.splitlines()) <= 200
        imported = [node for node in ast.walk(ast.parse(source)) if isinstance(node, (ast.Import, ast.ImportFrom))]
        names = {alias.name for node in imported if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module for node in imported if isinstance(node, ast.ImportFrom)}
        assert names == expected
