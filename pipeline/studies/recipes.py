"""What a recipe is worth: one network, the same soft labels, epochs and seeds, and different ways to learn from them.

Writes submissions/<name>/recipes.csv.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

from pipeline.runtime.errors import RequestError
from pipeline.runtime.request import Job
from pipeline.runtime.settings import BUDGET_BYTES
from pipeline.runtime.steps import read_notes
from pipeline.studies.points import Point, point_folder
from pipeline.studies.tables import mean_and_error, write_table

BUDGETS = (BUDGET_BYTES,)
FEWEST_SEEDS = 3
PRECISION = "fp16"
INDUCTIVE = "inductive"
# The reference solution's, as far as it is told: one soft label per picture, 80 % of the loss, Adam, no averaging. Its
# learning rate and weight decay are not told; these are what preset `study` had before Muon.
REPORT = {
    "views": {"student_views": 1},
    "distill": {
        "start": "",
        "focus": "unseen",
        "alpha": 0.8,
        "temperature": 1.0,
        "optimizer": "adamw",
        "learning_rate": 2e-3,
        "weight_decay": 0.01,
        "ema_decay": 0.0,
        "mixup_alpha": 0.0,
        "cutmix_alpha": 0.0,
        "label_smoothing": 0.0,
    },
}
RECIPES = {
    "report": REPORT,
    "unseen": {"distill": {"start": "", "focus": "unseen"}},
    "testing": {"distill": {"start": "", "focus": "testing"}},
    INDUCTIVE: {"distill": {"start": "", "focus": "unseen"}},
}


def recipe_points(budgets: Sequence[int], seeds: int) -> list[Point]:
    """Every recipe with every seed: the report's, the preset's with either focus, and that without test images.

    All of them from random weights. The first two come first, with all their seeds: half of the study answers the first
    question. Raises RequestError for several limits: the network is the same whatever the limit.
    """
    if len(budgets) > 1:
        raise RequestError(f"--budgets: study recipes has one limit, found {len(budgets)}")
    points = []
    numbers, names = range(max(seeds, FEWEST_SEEDS)), list(RECIPES)
    for seed, name in (*itertools.product(numbers, names[:2]), *itertools.product(numbers, names[2:])):
        changes = RECIPES[name] | {"pack": {"precision": PRECISION}, "quantise": {"epochs": 0}}
        points.append(Point(name, budgets[0], seed, (PRECISION,), changes, inductive=name == INDUCTIVE))
    return points


def write_recipes(study: Job, point: Point, rows: Sequence[dict[str, Any]]) -> None:
    """Answer every split with a point that was just trained, and bring the table up to it."""
    from pipeline.stages.delivery.predict import predict_testing

    predict_testing(point.job(study), PRECISION)
    write_table(study.run.submission / "recipes.csv", with_fidelity(study, rows))


def with_fidelity(study: Job, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with what was measured of them on every split: agreement with the ensemble, divergence from it."""
    return [row | _fidelity(study, row) for row in rows]


def gains(rows: Sequence[dict[str, Any]], column: str, one: str, other: str) -> list[float]:
    """How much more of a column recipe `one` has than `other`, for every seed that both have."""
    by_seed = {(row["point"], row["seed"]): float(row[column]) for row in rows}
    seeds = [seed for point, seed in by_seed if point == one and (other, seed) in by_seed]
    return [by_seed[one, seed] - by_seed[other, seed] for seed in seeds]


def gain_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """How far each recipe is from the first one, seed by seed and measured on the same images; standard errors."""
    lines, (first, *others) = [], dict.fromkeys(row["point"] for row in rows)
    for name in others:
        for column in ("validation_accuracy", "testing_agreement"):
            found = gains(rows, column, name, first)
            mean, error = mean_and_error([100 * gain for gain in found])
            points = f"{mean:+.2f} points, one seed" if len(found) == 1 else f"{mean:+.2f} ± {error:.2f} points"
            lines.append(f"{name} against {first}, {column.replace('_', ' ')}: {points}")
    return lines


def _fidelity(study: Job, row: dict[str, Any]) -> dict[str, float]:
    """What was measured of a row's point: agreement with the ensemble and divergence from it, on every split."""
    run = dataclasses.replace(study.run, point=point_folder(row["point"], row["seed"]))
    measured = read_notes(run, "predict")["fidelity"]
    names = itertools.product(measured, ("agreement", "divergence"))
    return {f"{split}_{name}": round(measured[split][name], 6) for split, name in names}
