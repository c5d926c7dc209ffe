"""How many filters to prune at a time: rates per step, nothing trained between."""

from pipeline.studies.engine.findings import Claim, findings
from pipeline.studies.engine.step_rows import prune_rows
from pipeline.studies.engine.study import Cell, Options, Study

RATES = (0.5, 0.8, 0.9, 0.95, 0.99)
KEEP = 0.5
CLAIMS = (
    Claim(
        f"a rate of {RATES[-1]} beats one of {RATES[0]} at the same size",
        "the closer the rate to 1, the better at equal size",
        f"rate {RATES[-1]}",
        f"rate {RATES[0]}",
    ),
)


def cells(options: Options) -> list[Cell]:
    """The course's StudentNet down to half of its filters, once for each rate."""
    common = {"distill.network": "studentnet", "prune.keep": KEEP, "prune.epochs": 0, "distill.init_from": ""}
    return [
        Cell(f"rate {rate}", common | {"prune.rate": rate, "distill.seed": seed}, seed)
        for seed in range(options.seeds)
        for rate in RATES
    ]


STUDY = Study(
    cells=cells,
    x="parameters",
    y="validation_accuracy",
    reading="Every line starts at the whole network, on the right, and loses filters to the left. "
    "The higher line keeps more accuracy at the same number of parameters.",
    rows=prune_rows,
    budgets=(),
    until="prune",
    summary=findings(*CLAIMS),
)
