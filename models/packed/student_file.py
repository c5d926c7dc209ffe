"""A trained student as the bytes of its packed file, and back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from models.compress.batchnorm_folding import fold_batchnorm
from models.compress.low_bit import LowBit
from models.packed.codecs import decode_tensor, encode_tensor
from models.packed.container import Entry, Header, check_payloads, read_container, write_container
from models.packed.low_bit_codec import encode_low_bit
from models.packed.precisions import BIAS_CODECS, CODEC_NAMES, Codec, Shape, codec_of_tensor
from models.students.architecture import parameter_shapes
from models.students.build import build_student


@dataclass(frozen=True)
class PackedStudent:
    """A network read from a packed file: folded, float32, on the CPU, in eval mode, without gradients.

    `precision` is the name of its weights' codec (several are joined by "+").
    """

    module: nn.Sequential
    header: Header
    precision: str


def pack_student(student: nn.Module, header: Header, precision: str) -> bytes:
    """Return the packed file of a trained student, whose BatchNorm is folded first; the student is not changed.

    Raises ValueError for an unknown precision, a student that is not the header's network, and weights that the
    precision cannot hold (NaN, infinity, beyond the float16 range), naming the tensor.
    """
    folded = fold_batchnorm(student)
    _check_network(folded, header)
    codecs = {name: codec_of_tensor(precision, tuple(parameter.shape)) for name, parameter in folded.named_parameters()}
    entries = [_encode(name, parameter, codecs[name]) for name, parameter in folded.named_parameters()]
    return write_container(header, entries)


def pack_low_bit(folded: nn.Module, header: Header, weights: Mapping[str, LowBit]) -> bytes:
    """Return the packed file of a folded student whose weights were made low-bit.

    Its biases are stored with ten bits and one step each, or as fp16 where that is no larger. `weights` has every
    parameter with more than one axis, by its name; of `folded` only the biases are read. Raises ValueError for a
    network that is not the header's, and naming the tensor for one that is missing, unknown or of another shape, and
    for what LowBit and float16 cannot hold.
    """
    _check_network(folded, header)
    wanted = {name: shape for name, shape in parameter_shapes(header.architecture) if len(shape) > 1}
    for name in (*wanted, *weights):
        if name not in weights:
            raise ValueError(f"{name}: no low-bit weights, expected some for every tensor but the biases")
        if name not in wanted:
            raise ValueError(f"{name}: the network has no such weights, expected {', '.join(wanted)}")
        if weights[name].codes.shape != wanted[name]:
            raise ValueError(f"{name}: codes {weights[name].codes.shape}, expected {wanted[name]}")
    entries = [
        _encode_low_bit(name, weights[name]) if name in weights else _encode_bias(name, parameter)
        for name, parameter in folded.named_parameters()
    ]
    return write_container(header, entries)


def unpack_student(data: bytes) -> PackedStudent:
    """Return the student of a packed file; PackedFileError for anything that could not have been packed.

    Every payload is checked against its shape before the first is decoded, and a network has at most
    `models.students.limits.MAX_PARAMETERS`, so that no file makes this allocate more than 64 MiB and 8 bytes for each
    of its parameters.
    """
    header, entries = read_container(data)
    check_payloads(header, entries)
    shapes = parameter_shapes(header.architecture)
    state = {
        name: torch.from_numpy(decode_tensor(entry.payload, Codec(entry.codec), shape))
        for (name, shape), entry in zip(shapes, entries, strict=True)
    }
    with torch.device("meta"):  # shapes without memory: the decoded tensors become the parameters
        module = build_student(header.architecture, folded=True)
    module.load_state_dict(state, assign=True)
    return PackedStudent(module.eval().requires_grad_(False), header, _precision(shapes, entries))


def _check_network(folded: nn.Module, header: Header) -> None:
    found = [(name, tuple(parameter.shape)) for name, parameter in folded.named_parameters()]
    expected = parameter_shapes(header.architecture)
    if found != expected:
        raise ValueError(f"the student is not the header's network: {_first_difference(found, expected)}")


def _encode_low_bit(name: str, tensor: LowBit) -> Entry:
    try:
        return Entry(Codec.LOW_BIT, encode_low_bit(tensor))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _encode_bias(name: str, parameter: nn.Parameter) -> Entry:
    return min((_encode(name, parameter, codec) for codec in BIAS_CODECS), key=lambda entry: len(entry.payload))


def _encode(name: str, parameter: nn.Parameter, codec: Codec) -> Entry:
    try:
        return Entry(codec, encode_tensor(parameter.detach().numpy(), codec))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _precision(shapes: Sequence[tuple[str, Shape]], entries: Sequence[Entry]) -> str:
    """Name the codecs of the weights; biases (one axis) do not count."""
    used = {entry.codec for (_, shape), entry in zip(shapes, entries, strict=True) if len(shape) > 1}
    return "+".join(CODEC_NAMES[Codec(codec)] for codec in sorted(used))


def _first_difference(found: list[tuple[str, Shape]], expected: list[tuple[str, Shape]]) -> str:
    for ours, theirs in zip(found, expected, strict=False):
        if ours != theirs:
            return f"{ours[0]} {ours[1]}, expected {theirs[0]} {theirs[1]}"
    return f"{len(found)} tensors, expected {len(expected)}"
