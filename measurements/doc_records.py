"""Where the figures of the documents come from: manifests, tables of studies, and the JSON files beside this one."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from measurements.doc_markers import link, markdown
from pipeline.runtime.records import Manifest, read_manifest
from pipeline.studies.engine.rows import StudentRow
from pipeline.studies.engine.tables import mean_and_error, read_table

ROOT = Path(__file__).resolve().parent.parent
MEASUREMENTS = ROOT / "measurements"
SUBMISSIONS = ROOT / "submissions"
FRONTIER, NETWORKS = SUBMISSIONS / "food11-frontier/frontier.csv", SUBMISSIONS / "food11-networks/networks.csv"
RECIPES, FINAL_PHASE = (SUBMISSIONS / "food11-recipes" / f"{name}.csv" for name in ("recipes", "final_phase"))
FAMILIES = SUBMISSIONS / "food11-families"
REFERENCE_CELL = "reference"  # of the frontier: the reference's network
REFERENCE = "food11-reference"  # a file of that cell
# The order of the results: the reference's network first. What users run themselves is not among them.
RESULTS = (REFERENCE, "food11", "food11-100000", "food11-50000", "food11-evening", "food11-quick")


@cache
def manifest(name: str) -> Manifest:
    """The manifest of a submission."""
    return read_manifest(SUBMISSIONS / name / "manifest.json")


def claimed(found: Manifest) -> float | None:
    """The validation accuracy that a submission claims; None under --final."""
    return found.accuracy[0].value if found.accuracy else None


@cache
def measurement(name: str) -> dict[str, Any]:
    """One JSON file of measurements/."""
    return json.loads((MEASUREMENTS / f"{name}.json").read_text())


@cache
def groups(table: Path) -> tuple[tuple[StudentRow, ...], ...]:
    """The rows of a study's table, those that differ by the seed alone together."""
    found: dict[tuple[str, str], list[StudentRow]] = {}
    for row in read_table(table, StudentRow):
        found.setdefault((row.cell, row.precision), []).append(row)
    return tuple(map(tuple, found.values()))


def percent(value: float | None) -> str:
    """A fraction in percent, to two places; nothing where it is not known."""
    return "" if value is None else f"{value:.2%}"


def percent_with_error(values: Sequence[float]) -> str:
    """The mean of several fractions in percent, with its standard error where there are several."""
    mean, error = mean_and_error([100 * value for value in values])
    return f"{mean:.2f}%" + (f" ± {error:.2f}" if len(values) > 1 else "")


def points_with_error(gains: Sequence[float]) -> str:
    """The mean of several differences of fractions in points, with its standard error."""
    mean, error = mean_and_error([100 * gain for gain in gains])
    return f"{mean:.2f} ± {error:.2f}"


def recorded_table(document: Path, name: str) -> str:
    """The table of a JSON file of measurements/, and a link to it."""
    found = measurement(name)
    columns = [(key, form) for key, _, form in found["columns"]]
    rows = [["" if row[key] is None else format(row[key], form) for key, form in columns] for row in found["rows"]]
    source = link(document, MEASUREMENTS / f"{name}.json", f"{name}.json")
    return f"{markdown([title for _, title, _ in found['columns']], rows)}\n\nData and conditions: {source}"
