"""The upper half of the overview: validation accuracy of packed files against their bytes on disk."""

import math
from dataclasses import dataclass

from measurements.doc_records import FRONTIER, REFERENCE, REFERENCE_CELL, RESULTS, groups, manifest
from measurements.svg_shapes import ENSEMBLE, GRID, INK, MUTED, OTHER, OURS, Place, circle, curve, line, text
from pipeline.studies.engine.rows import StudentRow
from pipeline.studies.engine.tables import mean_and_error

LEFT, RIGHT, TOP, BOTTOM = 62, 24, 82, 46  # margins of the axes, pixels
BYTE_TICKS = (50_000, 100_000, 200_000, 300_000)
BYTES = (42_000, 345_000)
PERCENTS = (72.0, 82.4)
SIZED = ("food11-50000", "food11-100000", "food11")  # for their limits: a line
LABELS = {  # where the name of a point stands, so that none covers another: right, down, anchor
    "food11": (-2, -12, "end"),
    "food11-100000": (-8, -10, "end"),
    "food11-50000": (-2, 21, "start"),
    "food11-evening": (10, 6, "start"),
    "food11-quick": (10, 12, "start"),
    REFERENCE: (-10, -1, "end"),
    "fp16": (-10, 13, "end"),
    "uint8": (10, 5, "start"),
    "low-bit": (10, 0, "start"),
}
REFERENCE_NAMES = {"fp16": "fp16", "uint8": "uint8", "low-bit": "4 bits"}


@dataclass(frozen=True)
class _Axes:
    width: int
    height: int

    def place(self, size: float, percent: float) -> Place:
        """Pixels of a number of bytes and an accuracy."""
        share = math.log(size / BYTES[0]) / math.log(BYTES[1] / BYTES[0])
        rise = (percent - PERCENTS[0]) / (PERCENTS[1] - PERCENTS[0])
        x = LEFT + share * (self.width - LEFT - RIGHT)
        return x, self.height - BOTTOM - rise * (self.height - TOP - BOTTOM)


def frontier_shapes(width: int, height: int) -> list[str]:
    """Axes, the ensemble's line, the points of the reference's network and ours."""
    axes = _Axes(width, height)
    return [*_heading(), *_grid(axes), *_ensemble(axes), *_references(axes), *_ours(axes)]


def _heading() -> list[str]:
    images = manifest("food11").fidelity["validation"].images
    below = f"Validation accuracy on {images:,} photos of food11, transductive, against bytes of the file on disk"
    seeds = max(map(len, groups(FRONTIER)))
    reference = f"the reference's network trained here, mean of {seeds} seeds, bars are standard errors"
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
    for percent in range(math.ceil(PERCENTS[0]), math.floor(PERCENTS[1]) + 1, 2):
        x, y = axes.place(BYTES[0], percent)
        shapes += [line((x, y), (axes.width - RIGHT, y), GRID), text((x - 8, y + 4), f"{percent}%", 11, MUTED, "end")]
    foot = axes.height - BOTTOM
    for size in BYTE_TICKS:
        x, _ = axes.place(size, PERCENTS[0])
        shapes += [line((x, foot), (x, foot + 5), MUTED), text((x, foot + 19), f"{size:,}", 11, MUTED, "middle")]
    shapes.append(line((LEFT, foot), (axes.width - RIGHT, foot), MUTED))
    return [*shapes, text((axes.width - RIGHT, foot + 35), "bytes on disk, logarithmic", 11, MUTED, "end")]


def _ensemble(axes: _Axes) -> list[str]:
    teacher = manifest("food11").teacher
    assert teacher is not None
    assert teacher.ensemble is not None
    percent = 100 * teacher.ensemble
    (left, y), (right, _) = axes.place(BYTES[0], percent), axes.place(BYTES[1], percent)
    words = f"ensemble of {len(teacher.members)} networks that teaches food11: {percent:.2f}%"
    return [line((left, y), (right, y), ENSEMBLE, 1.5, "6 4"), text((left + 4, y + 17), words, 12, ENSEMBLE)]


def _references(axes: _Axes) -> list[str]:
    """The reference's network: means over seeds with their standard errors, and the committed file."""
    shapes = []
    for group in groups(FRONTIER):
        if group[0].cell == REFERENCE_CELL and group[0].precision in REFERENCE_NAMES:
            shapes += _reference(axes, group)
    found = manifest(REFERENCE)
    percent = 100 * found.accuracy[0].value
    at = axes.place(found.packed_bytes, percent)
    label = _label(at, REFERENCE, f"{REFERENCE} {percent:.2f}%", MUTED)
    return [*shapes, circle(at, 4.5, "#ffffff", OTHER, 2), label]


def _reference(axes: _Axes, group: tuple[StudentRow, ...]) -> list[str]:
    precision, size = group[0].precision, max(row.packed_bytes for row in group)
    mean, error = mean_and_error([100 * row.validation_accuracy for row in group])
    at, (_, low), (_, high) = (axes.place(size, percent) for percent in (mean, mean - error, mean + error))
    words = f"{REFERENCE_NAMES[precision]} {mean:.2f}%"
    bar = line((at[0], low), (at[0], high), OTHER, 2)
    return [bar, circle(at, 5, OTHER), _label(at, precision, words, MUTED)]


def _ours(axes: _Axes) -> list[str]:
    places = {}
    for name in (name for name in RESULTS if name != REFERENCE):
        found = manifest(name)
        places[name] = axes.place(found.packed_bytes, 100 * found.accuracy[0].value)
    shapes = [curve([places[name] for name in SIZED], OURS, 1.5)]
    for name, at in places.items():
        words = f"{name} {100 * manifest(name).accuracy[0].value:.2f}%"
        shapes += [circle(at, 6, OURS), _label(at, name, words, INK, 600)]
    return shapes


def _label(at: Place, name: str, words: str, colour: str, weight: int = 400) -> str:
    right, down, anchor = LABELS[name]
    return text((at[0] + right, at[1] + down), words, 12, colour, anchor, weight)
