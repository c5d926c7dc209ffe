"""The short form of an architecture: family and integers, where it is one of a family; and its name (no torch)."""

from collections.abc import Iterator

from models.students.architecture import Architecture
from models.students.families import STUDENTS, Network
from models.students.rows import Block, Conv, Layer, Linear, numbered, with_weights


def short_form(architecture: Architecture) -> Network | None:
    """Return the network whose layer table this is, names included; else the first that differs in names alone."""
    found = list(_of_same_length(architecture))
    rows = architecture.rows
    same = (network for network, theirs in found if theirs == rows)
    alike = (network for network, theirs in found if numbered(theirs) == numbered(rows))
    return next(same, None) or next(alike, None)


def same_but_for_names(one: Architecture, other: Architecture) -> bool:
    """Whether two architectures describe the same function of the same weights."""
    return one.image_size == other.image_size and numbered(one.rows) == numbered(other.rows)


def name_of(architecture: Architecture) -> str:
    """Return the name in STUDENTS, else such as "residual-20-2-80", else such as "rows (17 layers)"."""
    network = short_form(architecture)
    if network is None:
        return rows_name(architecture)
    own = [name for name, student in STUDENTS.items() if student == network]
    return own[0] if own else "-".join((network.family, *map(str, network.integers)))


def rows_name(architecture: Architecture) -> str:
    """Return what an architecture of no family is called: "rows (17 layers)", those with weights counted."""
    return f"rows ({len(list(with_weights(architecture.rows)))} layers)"


def _of_same_length(architecture: Architecture) -> Iterator[tuple[Network, tuple[Layer, ...]]]:
    """The networks that it might be, in the order of their numbers, with their rows."""
    for family, integers in _candidates(architecture.rows):
        try:
            network = Network(family, integers)
            rows = network.rows(architecture.classes, architecture.image_size)
        except ValueError:  # integers out of range, or groups that do not divide
            continue
        if len(rows) == len(architecture.rows):
            yield network, rows


def _candidates(rows: tuple[Layer, ...]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """For every family the integers that a table would have been made of, were it of that family."""
    convs = [row for row in rows if isinstance(row, Conv)]
    blocks = [row for row in rows if isinstance(row, Block)]
    linears = [row for row in rows if isinstance(row, Linear)]
    if not convs:
        return
    width, top = convs[0].outputs, linears[-1].inputs
    hidden = linears[0].outputs if len(linears) == 2 else 0
    if not blocks:
        yield "plain", (width, hidden)
        yield from _grouped(convs, hidden)
        yield "studentnet", (width,)
        yield "straight", (width, (len(convs) - 3) // 6, top)
        if len(convs) > 1:
            yield "separable", (convs[1].outputs, hidden)
        return
    for family in ("residual", "inverted", "shuffled", "squeezed"):
        yield family, (width, len(blocks) // 3, top)
    yield "dense", (width // 2, len(blocks) // 3)
    yield "tied", (width, blocks[0].times, top)
    yield "shortresnet", (width, len(blocks) // 2, top // 2)


def _grouped(convs: list[Conv], hidden: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Four convolutions, then pairs of a grouped one and a point-wise one, two of them before the last pooling."""
    if len(convs) < 8:
        return
    first = convs[4]
    for channels_per_group in (0, first.inputs // first.groups):
        yield "grouped", (convs[-1].outputs, len(convs) // 2 - 4, channels_per_group, hidden)
