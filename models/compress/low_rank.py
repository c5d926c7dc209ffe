"""Low rank: a layer as two or three thinner ones in a row, found by singular value decomposition.

spatial: k x 1 then 1 x k (Jaderberg et al. 2014, arXiv 1405.3866); channel: k x k to r channels, then 1 x 1 (Zhang et
al. 2015, arXiv 1505.06798); tucker: 1 x 1, k x k, 1 x 1, both bases by SVD (Kim et al. 2016, arXiv 1511.06530). Linear
layers and 1 x 1 convolutions become two of their kind. Grouped convolutions stay, as does every layer that would not
become smaller. Shapes: O outputs, I inputs, k kernel, r rank.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from typing import Literal

import torch
from torch import Tensor

from models.students.architecture import Architecture
from models.students.rows import Conv, Layer, Linear, named_weights, with_replaced

Form = Literal["spatial", "channel", "tucker"]
Ranks = Mapping[str, tuple[int, ...]]  # of every layer that may be factorised, one rank for each decomposition
Spectra = Mapping[str, tuple[Tensor, ...]]  # singular values, descending, in the same places
Weighted = Conv | Linear
STEPS_OF_SEARCH = 20  # halvings of the interval of energies: finer than one rank of any layer


def spectra(architecture: Architecture, tensors: Mapping[str, Tensor], form: Form) -> dict[str, tuple[Tensor, ...]]:
    """Return the singular values of every layer that may be factorised, by the name of its module."""
    found = {}
    for name, row in _factorable(architecture.rows):
        weight = tensors[f"{name}.weight"].double()
        found[name] = tuple(torch.linalg.svdvals(matrix) for matrix in _matrices(weight, _form_of(row, form)))
    return found


def ranks_for(spectra: Spectra, energy: float) -> dict[str, tuple[int, ...]]:
    """The smallest ranks that keep this share, 0 to 1, of the sum of squared singular values of every layer."""
    return {name: tuple(_rank(values, energy) for values in own) for name, own in spectra.items()}


def ranks_within(
    architecture: Architecture, spectra: Spectra, form: Form, size_of: Callable[[Architecture], int], limit: int
) -> dict[str, tuple[int, ...]]:
    """The ranks of the largest common energy with which the network's size, by `size_of`, is within the limit.

    Raises ValueError where it is not with a rank of 1 in every layer.
    """

    def fits(energy: float) -> bool:
        return size_of(low_rank_rows(architecture, form, ranks_for(spectra, energy))) <= limit

    if not fits(0.0):
        least = size_of(low_rank_rows(architecture, form, ranks_for(spectra, 0.0)))
        raise ValueError(f"found {limit:,}, expected at least {least:,}, which rank 1 in every layer leaves")
    low, high = 0.0, 1.0
    for _ in range(STEPS_OF_SEARCH):
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return ranks_for(spectra, low)


def low_rank_rows(architecture: Architecture, form: Form, ranks: Ranks) -> Architecture:
    """Return the network whose layers have these ranks."""
    rows = with_replaced(architecture.rows, lambda name, row: _thin_rows(row, form, ranks.get(name)))
    return Architecture(rows, architecture.image_size)


def low_rank(
    architecture: Architecture, tensors: Mapping[str, Tensor], form: Form, ranks: Ranks
) -> tuple[Architecture, dict[str, Tensor]]:
    """Return the network whose layers have these ranks, and its tensors: a state dict of a student or a folded one.

    At full rank it computes the same as before. The last of the layers in a row keeps the name and the BatchNorm.
    """
    kept = dict(tensors)
    for name, row in _factorable(architecture.rows):
        thin = _thin_rows(row, form, ranks.get(name))
        if len(thin) == 1:
            continue
        prefix, weight = name.removesuffix(row.name), tensors[f"{name}.weight"]
        for made, factor in zip(thin, _factors(weight, _form_of(row, form), ranks[name]), strict=True):
            kept[f"{prefix}{made.name}.weight"] = factor.to(weight.dtype).contiguous()
            kept.setdefault(f"{prefix}{made.name}.bias", torch.zeros(len(factor), dtype=weight.dtype))
    return low_rank_rows(architecture, form, ranks), kept


def _factorable(rows: Sequence[Layer]) -> Iterator[tuple[str, Weighted]]:
    for name, row in named_weights(rows):
        if isinstance(row, Linear) or (row.groups == 1 and row.form == "square"):
            yield name, row


def _form_of(row: Weighted, form: Form) -> Form:
    """A single place has one basis to share: that of its channels."""
    return "channel" if isinstance(row, Linear) or row.kernel == 1 else form


def _thin_rows(row: Weighted, form: Form, ranks: tuple[int, ...] | None) -> tuple[Weighted, ...]:
    """The rows in place of one; the row itself where they would not be smaller, or no rank is given."""
    if ranks is None:
        return (row,)
    thin = tuple(_linear_rows(row, *ranks) if isinstance(row, Linear) else _conv_rows(row, _form_of(row, form), ranks))
    return thin if sum(map(_parameters, thin)) < _parameters(row) else (row,)


def _linear_rows(row: Linear, rank: int) -> Iterator[Linear]:
    yield Linear(f"{row.name}_basis", row.inputs, rank)
    yield dataclasses.replace(row, inputs=rank)


def _conv_rows(row: Conv, form: Form, ranks: tuple[int, ...]) -> Iterator[Conv]:
    plain = dataclasses.replace(row, norm=False, pool=False, activation="none")
    match form:
        case "spatial":
            yield dataclasses.replace(plain, name=f"{row.name}_basis", outputs=ranks[0], form="tall")
            yield dataclasses.replace(row, inputs=ranks[0], form="wide")
        case "channel":
            yield dataclasses.replace(plain, name=f"{row.name}_basis", outputs=ranks[0])
            yield dataclasses.replace(row, inputs=ranks[0], kernel=1)
        case "tucker":
            outputs, inputs = ranks
            yield dataclasses.replace(plain, name=f"{row.name}_basis", outputs=inputs, kernel=1)
            yield dataclasses.replace(plain, name=f"{row.name}_core", inputs=inputs, outputs=outputs)
            yield dataclasses.replace(row, inputs=outputs, kernel=1)


def _parameters(row: Weighted) -> int:
    area = prod(row.kernel_size) if isinstance(row, Conv) else 1
    return row.outputs * (row.inputs * area + 1)


def _matrices(weight: Tensor, form: Form) -> tuple[Tensor, ...]:
    """The matrices whose ranks are those of a layer: one, for tucker that of the outputs and that of the inputs."""
    match form:
        case "spatial":
            return (weight.permute(1, 2, 0, 3).flatten(2).flatten(0, 1),)  # [I k, O k]
        case "channel":
            return (weight.flatten(1),)  # [O, I k k]
        case "tucker":
            return weight.flatten(1), weight.transpose(0, 1).flatten(1)  # [O, I k k], [I, O k k]


def _factors(weight: Tensor, form: Form, ranks: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Weights of the rows in place of a layer, in order."""
    whole = weight.double()
    if form == "tucker":
        (outputs_Or, _), (inputs_Ir, _) = (
            _split(matrix, rank) for matrix, rank in zip(_matrices(whole, form), ranks, strict=True)
        )
        core = torch.einsum("oikl,or,is->rskl", whole, outputs_Or, inputs_Ir)
        return inputs_Ir.T[:, :, None, None], core, outputs_Or[:, :, None, None]
    (matrix,), (rank,) = _matrices(whole, form), ranks
    left, right = _split(matrix, rank, balanced=True)
    if form == "spatial":
        outputs, inputs, rows, columns = weight.shape
        tall = left.reshape(inputs, rows, rank).permute(2, 0, 1)[..., None]
        return tall, right.reshape(rank, outputs, columns).permute(1, 0, 2)[:, :, None]
    ones = (1,) * (weight.dim() - 2)
    return right.reshape(rank, *weight.shape[1:]), left.reshape(len(weight), rank, *ones)


def _split(matrix: Tensor, rank: int, *, balanced: bool = False) -> tuple[Tensor, Tensor]:
    """Orthogonal basis [rows, r] and what it is multiplied with [r, columns]; balanced: both of the same size."""
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    left, values, right = left[:, :rank], values[:rank], right[:rank]
    root = values.sqrt()
    return (left * root, root[:, None] * right) if balanced else (left, values[:, None] * right)


def _rank(values: Tensor, energy: float) -> int:
    squares = values**2
    missing = squares.sum() * (1 - energy) * (1 + 1e-12)
    left_out = squares.flip(0).cumsum(0) <= missing  # the smallest ones that may be left out together
    return max(1, len(values) - int(left_out.sum()))
