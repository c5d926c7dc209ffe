"""The reference's architectures near 1 MB, trained as there: on labels alone, with dropout 0.5."""

from models.students.families import STUDENTS
from pipeline.studies.engine.findings import Claim, findings
from pipeline.studies.engine.step_rows import training_rows
from pipeline.studies.engine.study import Cell, Options, Study

HARD_LABELS = {"distill.alpha": 0.0, "distill.temperature": 1.0, "distill.init_from": ""}
RECIPE = HARD_LABELS | {"pack.precision": "low-bit", "distill.validate_every": 1}
PLAIN, DEPTHWISE, EIGHTH = "reference-plain-cnn", "reference-depthwise", "reference-group-eighth"
CLAIMS = (
    Claim("groups of in/8 about equal the plain CNN", "71.9 % against 72.05 %", EIGHTH, PLAIN, "equal", 2.0),
    Claim("no groups beat depthwise", "72.4 % against 70.55 %", "reference-group-one", DEPTHWISE),
    Claim("depthwise everywhere loses", "65 % against 70.55 %", "reference-all-depthwise", DEPTHWISE, "less"),
)


def cells(options: Options) -> list[Cell]:
    """Every named network, inductive and without soft labels."""
    names = [(name, seed) for seed in range(options.seeds) for name in STUDENTS]
    changes = {name: RECIPE | {"distill.network": name} for name in STUDENTS}
    return [Cell(name, changes[name] | {"distill.seed": seed}, seed, inductive=True) for name, seed in names]


READING = "Up and left is better: more accuracy for fewer bytes. " + (
    "The reference reports the mean of the best five epochs; the last epoch's EMA is what our files hold."
)
STUDY = Study(cells, "packed_bytes", "validation_accuracy", READING, training_rows, (), summary=findings(*CLAIMS))
