"""The upper half of the overview: validation accuracy of packed files against their bytes on disk."""

import math
from dataclasses import dataclass

from measurements.doc_records import FRONTIER, REFERENCE, REFERENCE_CELL, RESULTS, claimed, groups, manifest
from measurements.svg_shapes import ENSEMBLE, GRID, INK, MUTED, OTHER, OURS, Place, circle, curve, line, text
from pipeline.studies.engine.rows import StudentRow
from pipeline.studies.engine.tables import mean_and_error

LEFT, RIGHT, TOP, BOTTOM = 62, 24, 82, 46  # margins of the axes, pixels
BYTE_TICKS = (10_000, 20_000, 50_000, 100_000, 200_000, 300_000, 1_000_000)
SIZED = ("food11-50000", "food11-100000", "food11")  # for their limits: a line
LABELS = {  # where the name of a point stands, so that none covers another: right, down, anchor
    "food11": (-2, -12, "end"),
    "food11-100000": (-8, -10, "end"),
    "food11-50000": (-2, 21, "start"),
    "food11-evening": (10, 6, "start"),
    "food11-quick": (-10, 4, "end"),
    REFERENCE: (-10, -1, "end"),
    "fp16": (-10, 13, "end"),
    "uint8": (10, 5, "start"),
    "low-bit": (10, 0, "start"),
}
ANYWHERE = (10, 4, "start")
REFERENCE_NAMES = {"fp16": "fp16", "uint8": "uint8", "low-bit": "4 bits"}
REFERENCE_CELLS = {(REFERENCE_CELL, precision) for precision in REFERENCE_NAMES}


@dataclass(frozen=True)
class _Axes:
    """Size in pixels, and the range of each axis."""

    width: int
    height: int
    sizes: tuple[float, float]
    percents: tuple[float, float]

    def place(self, size: float, percent: float) -> Place:
        """Pixels of a number of bytes and an accuracy."""
        (smallest, largest), (lowest, highest) = self.sizes, self.percents
        share = math.log(size / smallest) / math.log(largest / smallest)
        rise = (percent - lowest) / (highest - lowest)
        x = LEFT + share * (self.width - LEFT - RIGHT)
        return x, self.height - BOTTOM - rise * (self.height - TOP - BOTTOM)


def frontier_shapes(width: int, height: int) -> list[str]:
    """Axes, the ensemble's line, the points of the reference's network and ours."""
    axes = _axes(width, height)
    return [*_heading(), *_grid(axes), *_ensemble(axes), *_references(axes), *_ours(axes)]


def _axes(width: int, height: int) -> _Axes:
    """Axes on which every point and the ensemble have their place."""
    shown = [(row.packed_bytes, row.validation_accuracy) for group in _reference_groups() for row in group]
    shown += list(_files().values())
    sizes, shares = [size for size, _ in shown], [share for _, share in shown]
    percents = (math.floor(100 * min(shares) - 0.5), 100 * max(_ensemble_share(), *shares) + 0.8)
    return _Axes(width, height, (0.85 * min(sizes), 1.15 * max(sizes)), percents)


def _files() -> dict[str, tuple[int, float]]:
    """Bytes and claimed accuracy of every committed file."""
    found = {name: (manifest(name).packed_bytes, claimed(manifest(name))) for name in RESULTS}
    return {name: (size, share) for name, (size, share) in found.items() if share is not None}


def _reference_groups() -> list[tuple[StudentRow, ...]]:
    return [group for group in groups(FRONTIER) if (group[0].cell, group[0].precision) in REFERENCE_CELLS]


def _ensemble_share() -> float:
    teacher = manifest("food11").teacher
    assert teacher is not None
    assert teacher.ensemble is not None
    return teacher.ensemble


def _heading() -> list[str]:
    images = manifest("food11").fidelity["validation"].images
    below = f"Validation accuracy on {images:,} photos of food11, transductive, against bytes of the file on disk"
    seeds = max(map(len, groups(FRONTIER)))
    reference = f"the reference's network trained here, mean of {seeds} seeds; hollow: seed 0, the committed file"
    return [
        text((LEFT, 26), "The most accurate model file that fits in N bytes", 17, INK, weight=600),
        text((LEFT, 46), below, 12, MUTED),
        circle((LEFT + 6, 66), 5, OURS),
        text((LEFT + 17, 70), "committed files", 12, INK),
        circle((LEFT + 126, 66), 5, OTHER),
        text((LEFT + 137, 70), reference, 12, MUTED),
    ]


def _grid(axes: _Axes) -> list[str]:
    shapes = []
    (smallest, largest), (lowest, highest) = axes.sizes, axes.percents
    for percent in range(math.ceil(lowest / 2) * 2, math.floor(highest) + 1, 2):
        x, y = axes.place(smallest, percent)
        shapes += [line((x, y), (axes.width - RIGHT, y), GRID), text((x - 8, y + 4), f"{percent}%", 11, MUTED, "end")]
    foot = axes.height - BOTTOM
    for size in (tick for tick in BYTE_TICKS if smallest <= tick <= largest):
        x, _ = axes.place(size, lowest)
        shapes += [line((x, foot), (x, foot + 5), MUTED), text((x, foot + 19), f"{size:,}", 11, MUTED, "middle")]
    shapes.append(line((LEFT, foot), (axes.width - RIGHT, foot), MUTED))
    return [*shapes, text((axes.width - RIGHT, foot + 35), "bytes on disk, logarithmic", 11, MUTED, "end")]


def _ensemble(axes: _Axes) -> list[str]:
    percent = 100 * _ensemble_share()
    (left, y), (right, _) = (axes.place(size, percent) for size in axes.sizes)
    teacher = manifest("food11").teacher
    words = f"ensemble of {len(teacher.members) if teacher else 0} networks that teaches food11: {percent:.2f}%"
    return [line((left, y), (right, y), ENSEMBLE, 1.5, "6 4"), text((left + 4, y + 17), words, 12, ENSEMBLE)]


def _references(axes: _Axes) -> list[str]:
    """The reference's network: means over seeds with their standard errors, and the committed file."""
    shapes = []
    for group in _reference_groups():
        shapes += _reference(axes, group)
    size, share = _files()[REFERENCE]
    at = axes.place(size, 100 * share)
    label = _label(at, REFERENCE, f"{REFERENCE} {share:.2%}", MUTED)
    return [*shapes, circle(at, 4.5, "#ffffff", OTHER, 2), label]


def _reference(axes: _Axes, group: tuple[StudentRow, ...]) -> list[str]:
    precision, size = group[0].precision, max(row.packed_bytes for row in group)
    mean, error = mean_and_error([100 * row.validation_accuracy for row in group])
    at, (_, low), (_, high) = (axes.place(size, percent) for percent in (mean, mean - error, mean + error))
    words = f"{REFERENCE_NAMES[precision]} {mean:.2f}%"
    bar = line((at[0], low), (at[0], high), OTHER, 2)
    return [bar, circle(at, 5, OTHER), _label(at, precision, words, MUTED)]


def _ours(axes: _Axes) -> list[str]:
    files = {name: found for name, found in _files().items() if name != REFERENCE}
    places = {name: axes.place(size, 100 * share) for name, (size, share) in files.items()}
    shapes = [curve([places[name] for name in SIZED if name in places], OURS, 1.5)]
    for name, at in places.items():
        shapes += [circle(at, 6, OURS), _label(at, name, f"{name} {files[name][1]:.2%}", INK, 600)]
    return shapes


def _label(at: Place, name: str, words: str, colour: str, weight: int = 400) -> str:
    right, down, anchor = LABELS.get(name, ANYWHERE)
    return text((at[0] + right, at[1] + down), words, 12, colour, anchor, weight)
