"""What a recipe is worth: one network, the same soft labels, epochs and seeds, and different recipes.

Writes submissions/<name>/recipes.csv.
"""

import itertools
from collections.abc import Sequence
from typing import Any

from pipeline.runtime.errors import RequestError
from pipeline.runtime.request import Job
from pipeline.runtime.settings import BUDGET_BYTES
from pipeline.runtime.steps import read_notes
from pipeline.stages.delivery.predict import predict
from pipeline.studies.cells import Cell, cell_run
from pipeline.studies.tables import mean_and_error, write_table

BUDGETS = (BUDGET_BYTES,)
FEWEST_SEEDS = 3
PRECISION = "fp16"
INDUCTIVE = "inductive"
# The reference solution's, as far as it is known: one soft label per image, 80 % of the loss, Adam, no EMA. Its
# learning rate and weight decay are not known; these are what preset `study` had before Muon.
REFERENCE = {
    "views": {"student_views": 1},
    "distill": {
        "init_from": "",
        "final_phase": {"images": "none"},
        "alpha": 0.8,
        "temperature": 1.0,
        "optimizer": "adamw",
        "learning_rate": 2e-3,
        "weight_decay": 0.01,
        "ema_decay": 0.0,
        "augment": {"mixup_alpha": 0.0, "cutmix_alpha": 0.0},
        "label_smoothing": 0.0,
    },
}
RECIPES = {
    "reference": REFERENCE,
    "preset": {"distill": {"init_from": "", "final_phase": {"images": "none"}}},
    "final-phase": {"distill": {"init_from": "", "final_phase": {"images": "testing"}}},
    INDUCTIVE: {"distill": {"init_from": "", "final_phase": {"images": "none"}}},
}


def recipe_cells(budgets: Sequence[int], seeds: int) -> list[Cell]:
    """Every recipe with every seed: the reference's, the preset's, that with a final phase, that without test images.

    All of them from random weights. The first two come first, with all their seeds: half of the study answers the first
    question. Raises RequestError for several budgets: the network is the same whatever the budget.
    """
    if len(budgets) > 1:
        raise RequestError(f"--budgets: study recipes has one budget, found {len(budgets)}")
    cells = []
    numbers, names = range(max(seeds, FEWEST_SEEDS)), list(RECIPES)
    for seed, name in (*itertools.product(numbers, names[:2]), *itertools.product(numbers, names[2:])):
        changes = RECIPES[name] | {"pack": {"precision": PRECISION}, "quantise": {"epochs": 0}}
        cells.append(Cell(name, budgets[0], seed, (PRECISION,), changes, inductive=name == INDUCTIVE))
    return cells


def write_recipes(study: Job, cell: Cell, rows: Sequence[dict[str, Any]]) -> None:
    """Measure a cell that was just trained on every split, and bring the table up to it."""
    predict(cell.job(study), None)
    write_table(study.run.submission / "recipes.csv", with_fidelity(study, rows))


def with_fidelity(study: Job, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with each cell's fidelity to the ensemble on every split: agreement and KL."""
    return [row | _fidelity(study, row) for row in rows]


def gains(rows: Sequence[dict[str, Any]], column: str, one: str, other: str) -> list[float]:
    """How much more of a column recipe `one` has than `other`, for every seed that both have."""
    by_seed = {(row["cell"], row["seed"]): float(row[column]) for row in rows}
    seeds = [seed for cell, seed in by_seed if cell == one and (other, seed) in by_seed]
    return [by_seed[one, seed] - by_seed[other, seed] for seed in seeds]


def gain_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """How far each recipe is from the first one, seed by seed and measured on the same images; standard errors."""
    lines, (first, *others) = [], dict.fromkeys(row["cell"] for row in rows)
    for name in others:
        for column in ("validation_accuracy", "testing_agreement"):
            found = gains(rows, column, name, first)
            mean, error = mean_and_error([100 * gain for gain in found])
            gain = f"{mean:+.2f} points, one seed" if len(found) == 1 else f"{mean:+.2f} ± {error:.2f} points"
            lines.append(f"{name} against {first}, {column.replace('_', ' ')}: {gain}")
    return lines


def _fidelity(study: Job, row: dict[str, Any]) -> dict[str, float]:
    """The fidelity of a row's cell on every split."""
    run = cell_run(study.run, row["cell"], row["seed"])
    measured = read_notes(run, "predict")["fidelity"]
    names = itertools.product(measured, ("agreement", "kl"))
    return {f"{split}_{name}": round(measured[split][name], 6) for split, name in names}
