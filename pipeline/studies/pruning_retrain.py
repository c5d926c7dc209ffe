"""What to do with a pruned network: fine-tune it, train it anew, rewind its weights, or rewind its learning rate."""

import itertools

from pipeline.studies.engine.findings import Claim, findings
from pipeline.studies.engine.step_rows import prune_rows
from pipeline.studies.engine.study import Cell, Options, Study

KEEPS = (0.9, 0.8, 0.7, 0.6, 0.5)
METHODS = ("fine-tune", "reinitialise", "rewind-weights", "rewind-rate")
QUARTER = 0.5  # of the filters: about a quarter of the weights
NEVER, ONCE, EVERY = "quarter, never", "quarter, once", "quarter, every step"
CLAIMS = (
    Claim("training anew beats fine-tuning", "clearly better, noisier", "reinitialise 0.5", "fine-tune 0.5"),
    Claim("trained again at every step beats trained again once", "71 % against 68 %", EVERY, ONCE),
    Claim("trained again once beats never", "68 % against 64 %", ONCE, NEVER),
)


def cells(options: Options) -> list[Cell]:
    """Every size with every method in one shot; then a quarter: never trained again, once, and after every step."""
    changes = {
        f"{method} {keep}": {"prune.keep": keep, "prune.rate": keep, "prune.retraining": method}
        for keep, method in itertools.product(KEEPS, METHODS)
    }
    quarter = {"prune.keep": QUARTER, "prune.rate": 0.8, "prune.retraining": "reinitialise"}
    changes |= {NEVER: quarter | {"prune.epochs": 0}, ONCE: quarter, EVERY: quarter | {"prune.after": "each"}}
    common = {"distill.network": "studentnet", "distill.init_from": ""}
    seeds = range(options.seeds)
    return [Cell(name, common | own | {"distill.seed": s}, s) for s in seeds for name, own in changes.items()]


READING = (
    "At one size the higher method is the better one. Rewinding has the learning rate of the training's last epochs."
)
AXES = ("parameters", "validation_accuracy")
STUDY = Study(cells, *AXES, READING, prune_rows, (), "prune", lambda row: row.cell.split()[0], findings(*CLAIMS))
