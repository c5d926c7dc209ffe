"""The lower half of the overview: photos, teachers, soft labels, student, bytes, CSV, with the figures of food11."""

import itertools
from collections.abc import Callable

from measurements.doc_records import manifest
from measurements.svg_shapes import (
    ENSEMBLE,
    GRID,
    INK,
    LIGHT,
    MUTED,
    OURS,
    OURS_LIGHT,
    Place,
    arrow,
    circle,
    line,
    rectangle,
    text,
)

HEIGHT = 214
SIDE, GAP, BOX_TOP, BOX_HEIGHT, ICON = 20, 20, 46, 146, 62  # pixels
PHOTO_COLOURS = ("#d9a05b", "#8c5a3c", "#b8c27a", "#e3c9a0", "#a8493a", "#7a8f4e", "#f0dfb8", "#c97b4a")
BARS = (0.08, 0.16, 1.0, 0.3, 0.12)  # of the sketch of a soft label
Icon = Callable[[Place], list[str]]


def stage_shapes(width: int, top: int) -> list[str]:
    """Six boxes from left to right, with arrows between them."""
    boxes = _boxes()
    wide = (width - 2 * SIDE - GAP * (len(boxes) - 1)) / len(boxes)
    shapes = [line((SIDE, top + 6), (width - SIDE, top + 6), GRID)]
    shapes.append(text((SIDE, top + 32), "From photos to the CSV: submissions/food11", 13, INK, weight=600))
    for number, (title, icon, words) in enumerate(boxes):
        left = SIDE + number * (wide + GAP)
        shapes += _box((left, top + BOX_TOP), wide, title, icon, words)
        if number:
            shapes += arrow((left - GAP + 3, top + BOX_TOP + BOX_HEIGHT / 2), GAP - 6, MUTED)
    return shapes


def _boxes() -> list[tuple[str, Icon, tuple[str, str]]]:
    """Title, sketch and two lines of each."""
    food11 = manifest("food11")
    teacher, settings = food11.teacher, food11.settings
    assert teacher is not None
    assert teacher.ensemble is not None
    assert settings is not None
    labelled, testing = (food11.fidelity[split].images for split in ("training", "testing"))
    views, bits = settings["views"]["student_views"], settings["quantise"]["bits"]
    used = food11.packed_bytes / food11.budget_bytes
    return [
        ("photos", _photos, (f"{labelled:,} to train", f"{testing:,} to test")),
        ("teachers", _teachers, (f"{len(teacher.members)} networks", f"together {teacher.ensemble:.2%}")),
        ("soft labels", _soft_labels, ("class probabilities", f"for {views} views")),
        ("student", _student, (f"{food11.parameters:,} weights", f"{bits} bits, then coded")),
        (
            f"{food11.packed_bytes:,} bytes",
            lambda at: _bytes(at, used),
            ("in student.bin", f"limit {food11.budget_bytes:,}"),
        ),
        ("CSV", _csv, ("predictions.csv", f"{food11.agreement.value:.2%} agreement")),
    ]


def _box(at: Place, wide: float, title: str, icon: Icon, words: tuple[str, str]) -> list[str]:
    x, y = at
    middle = x + wide / 2
    shapes = [rectangle(at, wide, BOX_HEIGHT, LIGHT, GRID, 8), *icon((middle - ICON / 2, y + 14))]
    shapes.append(text((middle, y + ICON + 36), title, 13, INK, "middle", 600))
    return shapes + [text((middle, y + ICON + 56 + 17 * i), word, 11, MUTED, "middle") for i, word in enumerate(words)]


def _photos(at: Place) -> list[str]:
    x, y = at
    tiles = [(column, row) for row in range(3) for column in range(3)]
    return [
        rectangle((x + 4 + 19 * column, y + 4 + 19 * row), 16, 16, PHOTO_COLOURS[(column + 3 * row) % 8], radius=2)
        for column, row in tiles
    ]


def _teachers(at: Place) -> list[str]:
    x, y = at
    layers = [(4 + 9 * i, 16 - 6 * i) for i in range(3)]
    return [rectangle((x + right, y + down), 36, 42, "#fbe9dc", ENSEMBLE, 4) for right, down in reversed(layers)]


def _soft_labels(at: Place) -> list[str]:
    x, y = at
    foot, bars = y + 58, []
    for i, share in enumerate(BARS):
        bars.append(rectangle((x + 3 + 12 * i, foot - 50 * share), 8, 50 * share, ENSEMBLE))
    return [*bars, line((x, foot), (x + ICON, foot), MUTED)]


def _student(at: Place) -> list[str]:
    x, y = at
    columns = [
        [(x + 6, y + down) for down in (14, 31, 48)],
        [(x + 31, y + down) for down in (22, 40)],
        [(x + 56, y + 31)],
    ]
    joined = itertools.pairwise(columns)
    lines = [line(start, end, OURS, 1) for left, right in joined for start in left for end in right]
    return lines + [circle(place, 5.5, OURS) for column in columns for place in column]


def _bytes(at: Place, used: float) -> list[str]:
    """A bar that is as full as the limit is used."""
    x, y = at
    return [
        rectangle((x - 6, y + 22), ICON + 12, 20, OURS_LIGHT),
        rectangle((x - 6, y + 22), (ICON + 12) * used, 20, OURS),
    ]


def _csv(at: Place) -> list[str]:
    x, y = at
    sheet = [
        rectangle((x + 8, y + 4), 46, 54, "#ffffff", MUTED, 3),
        rectangle((x + 8, y + 4), 46, 12, OURS_LIGHT, MUTED),
    ]
    rows = [line((x + 8, y + down), (x + 54, y + down), GRID, 1.5) for down in (26, 36, 46)]
    return [*sheet, *rows, line((x + 27, y + 4), (x + 27, y + 58), MUTED)]
