"""A student read from its file: at every precision within its error, and damaged files refused."""

import random
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from models.compress.batchnorm_folding import fold_batchnorm
from models.compress.bit_plan import LEVELS
from models.packed.container import Entry, Header, PackedFileError, read_container, write_container
from models.packed.header import default_classes
from models.packed.precisions import PRECISIONS
from models.packed.student_file import pack_low_bit, pack_student, unpack_student
from models.students.build import build_student
from models.students.families import STUDENTS, Network
from tests.models.packed.made_low_bit import HEADER, folded_student, low_bit_file, made_weights

TINY = Network("plain", (1, 0))


def trained(network: Network, *, classes: int = 11, image_size: int = 64) -> nn.Sequential:
    torch.manual_seed(1)
    student = build_student(network.architecture(classes, image_size))
    for module in student.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2.0)
    return student


def header(network: Network, *, classes: int = 11, image_size: int = 64) -> Header:
    return Header(
        network.architecture(classes, image_size), default_classes(classes), mean=(140, 114, 87), std=(69, 70, 71)
    )


def tiny_file(precision: str) -> bytes:
    return pack_student(trained(TINY, classes=2, image_size=16), header(TINY, classes=2, image_size=16), precision)


def largest_error_bound(weight: torch.Tensor, precision: str) -> torch.Tensor:
    """Return the greatest permitted error of each weight, or of its whole tensor."""
    if precision == "fp32":
        return torch.zeros(())
    if precision == "fp16" or weight.ndim == 1:
        return weight.abs() * 2.0**-11 + 2.0**-25
    if precision == "uint8":
        spread = weight.flatten(1).amax(1) - weight.flatten(1).amin(1)
        return (spread / 509).reshape(-1, *[1] * (weight.ndim - 1))
    return (weight.max() - weight.min()) / 509  # 255 steps, half of one, and a little for rounding


@pytest.mark.parametrize("precision", ["fp32", "fp16", "uint8", "uint8-tensor"])
@pytest.mark.parametrize("name", ["reference-student", "reference-group-large", "studentnet"])
def test_round_trip(name, precision):
    student = trained(STUDENTS[name])
    packed = unpack_student(pack_student(student, header(STUDENTS[name]), precision))
    assert packed.precision == precision
    assert packed.header == header(STUDENTS[name])
    for (key, before), after in zip(
        fold_batchnorm(student).named_parameters(), packed.module.parameters(), strict=True
    ):
        assert ((after - before).abs() <= largest_error_bound(before, precision)).all(), key


@pytest.mark.parametrize(
    ("precision", "tolerance"), [("fp32", 1e-5), ("fp16", 1e-2), ("uint8", 0.05), ("uint8-tensor", 0.2)]
)
def test_the_decoded_network_computes_the_same(precision, tolerance):
    student = trained(STUDENTS["reference-student"]).eval()
    images_N3HW = torch.randn(4, 3, 64, 64)
    packed = unpack_student(pack_student(student, header(STUDENTS["reference-student"]), precision))
    with torch.no_grad():
        difference = (packed.module(images_N3HW) - student(images_N3HW)).abs().max()
    assert difference <= tolerance


def test_the_bare_int8_cast_ignores_the_image():
    student = trained(STUDENTS["reference-student"])
    packed = unpack_student(pack_student(student, header(STUDENTS["reference-student"]), "int8-cast"))
    weights = [(key, after) for key, after in packed.module.named_parameters() if after.ndim > 1]
    before = dict(fold_batchnorm(student).named_parameters())
    assert all(torch.equal(after, before[key].trunc()) for key, after in weights)
    logits_NC = packed.module(torch.randn(3, 3, 64, 64))
    assert torch.equal(logits_NC[0], logits_NC[1])


def test_the_decoded_module_is_ready_to_predict():
    module = unpack_student(tiny_file("fp16")).module
    assert not module.training
    assert {parameter.dtype for parameter in module.parameters()} == {torch.float32}
    assert {parameter.device.type for parameter in module.parameters()} == {"cpu"}
    assert not any(parameter.requires_grad for parameter in module.parameters())


def test_fp16_file_of_the_reference_student_fits():
    data = pack_student(trained(STUDENTS["reference-student"]), header(STUDENTS["reference-student"]), "fp16")
    assert len(data) <= 244_500


def test_packing_is_deterministic_and_repeatable():
    data = tiny_file("uint8")
    assert tiny_file("uint8") == data
    # A decoded fp16 student packs to the very same file: nothing more is lost.
    half = unpack_student(tiny_file("fp16"))
    assert pack_student(half.module, half.header, "fp16") == tiny_file("fp16")


@pytest.mark.parametrize("levels", LEVELS.values())
def test_a_low_bit_file_holds_its_weights_exactly(levels):
    folded, weights = folded_student(), made_weights(levels)
    data = pack_low_bit(folded, HEADER, weights)
    packed = unpack_student(data)
    assert (packed.precision, packed.header) == ("low-bit", HEADER)
    for (key, before), after in zip(folded.named_parameters(), packed.module.parameters(), strict=True):
        stored = weights[key].values() if before.ndim > 1 else before.detach().half().float().numpy()
        assert np.array_equal(after.numpy(), stored), key
    assert pack_low_bit(packed.module, packed.header, weights) == data


def test_a_low_bit_file_decodes_to_a_network_that_predicts():
    packed = unpack_student(low_bit_file())
    with torch.no_grad():
        assert packed.module(torch.ones(2, 3, 16, 16)).isfinite().all()
    assert not packed.module.training


def test_low_bit_weights_that_do_not_match_the_network_are_named():
    folded, weights = folded_student(), made_weights(4)
    with pytest.raises(ValueError, match=r"^conv3.weight: no low-bit weights, expected some for every tensor but"):
        pack_low_bit(folded, HEADER, {name: tensor for name, tensor in weights.items() if name != "conv3.weight"})
    with pytest.raises(ValueError, match=r"^conv3.bias: the network has no such weights, expected conv1.weight, conv2"):
        pack_low_bit(folded, HEADER, weights | {"conv3.bias": weights["conv3.weight"]})
    with pytest.raises(ValueError, match=r"^conv3.weight: codes \(1, 1, 3, 3\), expected \(2, 1, 3, 3\)"):
        pack_low_bit(folded, HEADER, weights | {"conv3.weight": weights["conv2.weight"]})
    with pytest.raises(ValueError, match=r"^conv3.weight: codes -2 to 1, expected within -1 to 1 \(3 levels\)"):
        pack_low_bit(folded, HEADER, weights | {"conv3.weight": replace(weights["conv3.weight"], levels=3)})
    with pytest.raises(ValueError, match=r"classifier.weight \(2, 4\), expected classifier.weight \(7, 4\)"):
        pack_low_bit(folded, header(TINY, classes=7, image_size=16), weights)


def test_a_low_bit_file_is_smaller_than_any_other():
    sizes = [len(low_bit_file(levels)) for levels in (3, 16)] + [len(tiny_file("uint8"))]
    assert sizes == sorted(sizes)


def test_mixed_codecs_are_named():
    found, entries = read_container(tiny_file("fp16"))
    entries[0] = Entry(0, np.frombuffer(entries[0].payload, "<f2").astype("<f4").tobytes())
    assert unpack_student(write_container(found, entries)).precision == "fp32+fp16"


def test_a_student_of_another_network_is_refused():
    student = trained(STUDENTS["reference-student"])
    with pytest.raises(ValueError, match=r"classifier.weight \(11, 1024\), expected classifier.weight \(7, 1024\)"):
        pack_student(student, header(STUDENTS["reference-student"], classes=7), "fp16")
    with pytest.raises(ValueError, match="unknown precision 'fp8'"):
        pack_student(student, header(STUDENTS["reference-student"]), "fp8")


@pytest.mark.parametrize(("value", "message"), [(np.nan, "1 of 18 weights are NaN"), (1e6, "magnitude 1e.06")])
def test_weights_that_cannot_be_stored_are_named(value, message):
    student = build_student(TINY.architecture(2, 16), folded=True)
    student.conv3.weight.data[0, 0, 0, 0] = value
    with pytest.raises(ValueError, match=f"^conv3.weight: (a weight of )?{message}"):
        pack_student(student, header(TINY, classes=2, image_size=16), "fp16")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_payload_of_the_wrong_length_is_refused(precision):
    found, entries = read_container(tiny_file(precision))
    entries[4] = Entry(entries[4].codec, entries[4].payload + b"\x00")
    with pytest.raises(PackedFileError, match=rf"conv3.weight has .* needs {len(entries[4].payload) - 1}"):
        unpack_student(write_container(found, entries))


def test_every_flipped_bit_and_every_truncation_is_refused():
    data = tiny_file("uint8")
    for position in range(len(data)):
        flipped = data[:position] + bytes([data[position] ^ 1 << position % 8]) + data[position + 1 :]
        for damaged in (flipped, data[:position]):
            with pytest.raises(PackedFileError, match=r"not a packed file|cut short|version|check-sum"):
                unpack_student(damaged)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_mutations_with_a_right_check_sum_decode_or_are_refused(precision):
    body, chance, refused = tiny_file(precision)[:-4], random.Random(5), 0
    for _ in range(150):
        mutated = bytearray(body)
        for _ in range(chance.randint(1, 4)):
            position = chance.choice((chance.randrange(5, 20), chance.randrange(5, len(mutated))))
            match chance.randrange(3):
                case 0:
                    mutated[position] = chance.randrange(256)
                case 1:
                    del mutated[position]
                case 2:
                    mutated.insert(position, chance.choice((0, 1, 0x7F, 0x80, 0xFF)))
        try:
            packed = unpack_student(bytes(mutated) + zlib.crc32(mutated).to_bytes(4, "little"))
        except PackedFileError:
            refused += 1
        else:
            assert all(parameter.isfinite().all() for parameter in packed.module.parameters())
    assert 50 < refused < 150  # both ways are taken
