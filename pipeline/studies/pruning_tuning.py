"""How long to fine-tune after every step of pruning."""

from pipeline.studies.engine.findings import Claim, findings
from pipeline.studies.engine.step_rows import prune_rows
from pipeline.studies.engine.study import Cell, Options, Study

EPOCHS = (0, 1, 3)
RATE, KEEP = 0.9, 0.5
MOST, ONE, NONE = (f"{epochs} epochs" for epochs in reversed(EPOCHS))
CLAIMS = (
    Claim("the length of fine-tuning matters little", "nearly no difference", MOST, ONE, "equal", 2.0),
    Claim("fine-tuning beats none", "about 5 points at 30 % pruned", ONE, NONE),
)


def cells(options: Options) -> list[Cell]:
    """The course's StudentNet down to half of its filters, once for each number of epochs."""
    common = {"distill.network": "studentnet", "distill.init_from": ""}
    common |= {"prune.keep": KEEP, "prune.rate": RATE, "prune.after": "each"}
    return [
        Cell(f"{epochs} epochs", common | {"prune.epochs": epochs, "distill.seed": seed}, seed)
        for seed in range(options.seeds)
        for epochs in EPOCHS
    ]


READING = "Every line starts at the whole network, on the right, and loses filters to the left. " + (
    "Lines that lie close say that the length of fine-tuning matters little."
)
STUDY = Study(cells, "parameters", "validation_accuracy", READING, prune_rows, (), "prune", summary=findings(*CLAIMS))
