"""A trained student as the bytes of its packed file, and back."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from models.compress.folding import fold_batchnorm
from models.layers import parameter_shapes
from models.packed.codecs import decode_tensor, encode_tensor
from models.packed.container import Entry, Header, read_container, write_container
from models.packed.precisions import CODEC_NAMES, PRECISIONS, Codec, Shape, codec_of_tensor
from models.students import build_student

__all__ = ["PRECISIONS", "PackedStudent", "pack_student", "unpack_student"]


@dataclass(frozen=True)
class PackedStudent:
    """A network read from a packed file: folded, float32, on the CPU, in eval mode, without gradients.

    `precision` is the name of its weights' codec (several are joined by "+").
    """

    module: nn.Sequential
    header: Header
    precision: str


def pack_student(student: nn.Module, header: Header, precision: str) -> bytes:
    """Return the packed file of a trained student, whose BatchNorm is folded first; the student is left as it was.

    Raises ValueError for an unknown precision, a student that is not the header's network, and weights that the
    precision cannot hold (NaN, infinity, beyond the float16 range), naming the tensor.
    """
    folded = fold_batchnorm(student)
    found = [(name, tuple(parameter.shape)) for name, parameter in folded.named_parameters()]
    expected = _shapes(header)
    if found != expected:
        raise ValueError(f"the student is not the header's network: {_first_difference(found, expected)}")
    entries = [_encode(name, parameter, precision) for name, parameter in folded.named_parameters()]
    return write_container(header, entries)


def unpack_student(data: bytes) -> PackedStudent:
    """Return the student of a packed file; PackedFileError for anything that pack_student could not have written.

    Every payload is checked against its shape before it is decoded, and a network has at most 32 MiB of weights
    (`models.layers.MAX_PARAMETERS`), so that no file makes this allocate more than 64 MiB beyond its own size.
    """
    header, entries = read_container(data)
    shapes = _shapes(header)
    state = {
        name: torch.from_numpy(decode_tensor(entry.payload, Codec(entry.codec), shape))
        for (name, shape), entry in zip(shapes, entries, strict=True)
    }
    with torch.device("meta"):  # shapes without memory: the decoded tensors become the parameters
        module = build_student(header.network, classes=len(header.classes), image_size=header.image_size, folded=True)
    module.load_state_dict(state, assign=True)
    return PackedStudent(module.eval().requires_grad_(False), header, _precision(shapes, entries))


def _shapes(header: Header) -> list[tuple[str, Shape]]:
    return parameter_shapes(header.network, len(header.classes), header.image_size)


def _encode(name: str, parameter: nn.Parameter, precision: str) -> Entry:
    codec = codec_of_tensor(precision, tuple(parameter.shape))
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
