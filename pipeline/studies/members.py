"""The preset's members as teachers: what each costs and reaches, and what more of them are worth together."""

from pipeline.runtime.errors import RequestError
from pipeline.studies.engine.ensembles import ensembles_of_members
from pipeline.studies.engine.rows import member_rows
from pipeline.studies.engine.study import Cell, Options, Study

NEXT_SEED = 1_000  # what a row's seed grows by with every turn


def cells(options: Options) -> list[Cell]:
    """Every row of the ensemble as an ensemble of one, once for each seed."""
    rows = options.settings.teach.members
    if any(row.weights for row in rows):
        raise RequestError("study members trains what it measures: no rows with `weights`")
    names = [
        row.network if len({r.network for r in rows}) == len(rows) else f"{row.network}, row {i}"
        for i, row in enumerate(rows)
    ]
    found = []
    for turn in range(options.seeds):
        for name, row in zip(names, rows, strict=True):
            own = row.model_dump(mode="json") | {"seed": row.seed + NEXT_SEED * turn}
            alone = {"teach.members": [own], "teach.folds": 0, "export.weights": [], "views.student_views": 1}
            found.append(Cell(name, alone, own["seed"]))
    return found


STUDY = Study(
    cells=cells,
    x="seconds",
    y="validation_accuracy",
    reading="A member up and left of another one is the better teacher for the time. "
    "Members that err on different images gain most together: see ensembles.csv.",
    rows=member_rows,
    budgets=(),
    until="export",
    summary=ensembles_of_members,
)
