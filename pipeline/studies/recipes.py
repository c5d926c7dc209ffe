"""What a recipe is worth: one network, the same soft labels, epochs and seeds, and different recipes."""

import itertools

from pipeline.studies.engine.gains import gains_over_the_first
from pipeline.studies.engine.rows import student_rows
from pipeline.studies.engine.study import Cell, Options, Study

# The reference solution's, as far as it is known: one soft label per image, 80 % of the loss, Adam, no EMA. Its
# learning rate and weight decay are not known; these are what preset `study` had before Muon.
OPTIMIZER = {"optimizer": "adamw", "learning_rate": 2e-3, "weight_decay": 0.01, "ema_decay": 0.0}
LOSS = {"alpha": 0.8, "temperature": 1.0, "label_smoothing": 0.0}
MIXING = {"augment.mixup_alpha": 0.0, "augment.cutmix_alpha": 0.0}
REFERENCE = {f"distill.{name}": value for name, value in (OPTIMIZER | LOSS | MIXING).items()}
RECIPES = {
    "reference": REFERENCE | {"views.student_views": 1},
    "preset": {},
    "final-phase": {"distill.final_phase.images": "testing"},
    "inductive": {},
}
FEWEST_SEEDS = 3


def cells(options: Options) -> list[Cell]:
    """Every recipe with every seed, from random weights; the first two first: half of it answers the first question."""
    common = {"distill.network": "reference-student", "distill.init_from": "", "pack.precision": "fp16"}
    common |= {"distill.final_phase.images": "none"}
    seeds, names = range(max(options.seeds, FEWEST_SEEDS)), tuple(RECIPES)
    order = (*itertools.product(seeds, names[:2]), *itertools.product(seeds, names[2:]))
    changes = {name: common | {"quantise.epochs": 0} | RECIPES[name] for name in names}
    return [Cell(name, changes[name] | {"distill.seed": s}, s, inductive=name == "inductive") for s, name in order]


READING = "A recipe up and right of another one is better for unseen and for test images. " + (
    "Differences are paired by seed; within one standard error there is none."
)
AXES = ("testing_agreement", "validation_accuracy")
STUDY = Study(cells, *AXES, READING, student_rows, budgets=(), summary=gains_over_the_first)
