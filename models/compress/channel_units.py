"""Which channels of a network can only leave it together: the units of filter pruning (no torch).

A channel that leaves is a row of the layer that makes it and a column of every layer that reads it. Sums, products and
grouped convolutions tie channels of several layers to each other; what is tied is one unit. Source of the idea: the
dependency graph of Fang et al. 2023 (arXiv 2301.12900), read here from the rows of the layer table alone.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from models.students.architecture import COLOURS, Architecture
from models.students.row_shapes import Output, output_of
from models.students.rows import Block, Conv, Layer, Linear, Operation

STAYS = -1  # in place of a unit: a colour of the image, or a class


@dataclass(frozen=True)
class ChannelUnits:
    """The unit of every input and of every output channel of one layer, `STAYS` where a channel cannot leave."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def channel_units(architecture: Architecture) -> dict[str, ChannelUnits]:
    """Return the units of every layer with weights, by the name of its module, in order.

    Units are numbered from 0 in the order in which they are made.
    """
    ties = _Ties()
    found: dict[str, ChannelUnits] = {}
    entering = [ties.stays] * COLOURS
    leaving = _Walk(ties, found).rows(architecture.rows, entering, architecture.image_size, "")
    ties.tie(leaving, itertools.repeat(ties.stays))
    number = ties.numbers()
    return {
        name: ChannelUnits(tuple(number(one) for one in units.inputs), tuple(number(one) for one in units.outputs))
        for name, units in found.items()
    }


def spaces(units: Mapping[str, ChannelUnits]) -> dict[tuple[str, ...], list[int]]:
    """Return the units that compete with one another: those that are outputs of the same layers, by these layers.

    Each layer of a space has as many channels of each of its units, so that a space of one unit empties no layer.
    """
    made_by: dict[int, list[str]] = {}
    for name, own in units.items():
        for unit in Counter(own.outputs):
            if unit != STAYS:
                made_by.setdefault(unit, []).append(name)
    found: dict[tuple[str, ...], list[int]] = {}
    for unit, names in sorted(made_by.items()):
        found.setdefault(tuple(names), []).append(unit)
    return found


class _Ties:
    """Labels of channels, some of which are one unit (union-find); the smallest label of a unit stands for it."""

    def __init__(self) -> None:
        self._parents = [0]
        self.stays = 0

    def new(self, count: int) -> list[int]:
        first = len(self._parents)
        self._parents.extend(range(first, first + count))
        return list(range(first, first + count))

    def tie(self, ones: Iterable[int], others: Iterable[int]) -> None:
        """Make each of the ones and the other beside it one unit."""
        for one, other in zip(ones, others, strict=False):  # others may be without end
            smaller, larger = sorted((self._root(one), self._root(other)))
            self._parents[larger] = smaller

    def numbers(self) -> "_Numbers":
        return _Numbers([self._root(label) for label in range(len(self._parents))])

    def _root(self, label: int) -> int:
        while self._parents[label] != label:
            self._parents[label] = self._parents[self._parents[label]]
            label = self._parents[label]
        return label


class _Numbers:
    """The number of a label's unit: the first unit is 0, what stays is -1."""

    def __init__(self, roots: Sequence[int]) -> None:
        order = {root: place - 1 for place, root in enumerate(sorted(set(roots)))}
        self._numbers = [order[root] for root in roots]

    def __call__(self, label: int) -> int:
        return self._numbers[label]


class _Walk:
    """Follows the labels of the channels from row to row, and ties what must leave together."""

    def __init__(self, ties: _Ties, found: dict[str, ChannelUnits]) -> None:
        self._ties, self._found = ties, found

    def rows(self, rows: Sequence[Layer], entering: list[int], side: int, prefix: str) -> list[int]:
        """Labels of what the last row gives; side: pixels of the maps that enter, 0 for a vector."""
        for row in rows:
            leaving = output_of(row, Output(len(entering), side))
            entering, side = self._row(row, entering, side, prefix), leaving.side
            assert len(entering) == leaving.channels
        return entering

    def _row(self, row: Layer, entering: list[int], side: int, prefix: str) -> list[int]:
        match row:
            case Conv() | Linear():
                outputs = self._ties.new(row.outputs)
                if isinstance(row, Conv) and row.groups > 1:
                    self._tie_groups(row, entering, outputs)
                self._found[prefix + row.name] = ChannelUnits(tuple(entering), tuple(outputs))
                return outputs
            case Operation():
                if row.kind == "shuffle":
                    self._tie_alike(entering, row.groups)
                return list(_moved(row, entering, side))
            case Block():
                inside = self.rows(row.layers, entering, side, f"{prefix}{row.name}.")
                if row.kind == "dense":
                    return entering + inside
                self._ties.tie(entering, inside)
                return entering

    def _tie_groups(self, row: Conv, entering: list[int], outputs: list[int]) -> None:
        """Groups of one input leave whole; larger ones stay as many."""
        if row.inputs == row.groups:
            made = row.outputs // row.groups
            self._ties.tie([label for label in entering for _ in range(made)], outputs)
            return
        self._tie_alike(entering, row.groups)
        self._tie_alike(outputs, row.groups)

    def _tie_alike(self, labels: list[int], groups: int) -> None:
        """Every group loses the same of its channels: each one is tied to that of the group before."""
        self._ties.tie(labels[len(labels) // groups :], labels)


def _moved(row: Operation, entering: list[int], side: int) -> Iterator[int]:
    """Labels of what an operation gives, as torch orders the channels."""
    match row.kind:
        case "flatten":
            return (label for label in entering for _ in range(side**2))
        case "pixel_unshuffle":
            return (label for label in entering for _ in range(4))
        case "mean_max_pool":
            return iter(entering * 2)
        case "shuffle":
            each = len(entering) // row.groups
            return (entering[group * each + place] for place in range(each) for group in range(row.groups))
        case _:
            return iter(entering)
