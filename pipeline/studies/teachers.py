"""Which teacher makes the best student: single members, two, or all, and a kind of its own."""

from pipeline.studies.engine.findings import Claim, findings
from pipeline.studies.engine.rows import student_rows
from pipeline.studies.engine.study import Cell, Options, Study

RESNET = {"network": "resnet18", "seed": 1}
CLAIMS = (
    Claim("the whole ensemble teaches better than one member", "92.1 % against 88 %", "all", "member 0"),
    Claim("a ResNet-18 teaches about as well as a member", "about 88 %", "resnet18", "member 0", "equal", 2.0),
)


def cells(options: Options) -> list[Cell]:
    """The same student with the labels of every member, of the first two, of all, and of a ResNet-18."""
    rows = [row.model_dump(mode="json") for row in options.settings.teach.members]
    shared = {name: rows[0][name] for name in ("epochs", "sizes", "augment", "batch_size", "policy")}
    teachers = {f"member {number}": [row] for number, row in enumerate(rows)}
    teachers |= {"first two": rows[:2], "all": rows} if len(rows) > 2 else {"all": rows}
    teachers["resnet18"] = [shared | RESNET | {"optimizer": "adamw", "learning_rate": 2e-3}]
    common = {"distill.network": "reference-student", "distill.init_from": "", "export.weights": []}
    return [
        Cell(name, common | {"teach.members": members, "distill.seed": seed}, seed)
        for seed in range(options.seeds)
        for name, members in teachers.items()
    ]


READING = "Up is better: the students differ by their teacher alone. Agreement is with the cell's own teacher."
AXES = ("testing_agreement", "validation_accuracy")
STUDY = Study(cells, *AXES, READING, student_rows, (), summary=findings(*CLAIMS))
