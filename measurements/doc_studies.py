"""Tables of the studies and of the bench, from their CSV and JSON files."""

from collections.abc import Sequence
from pathlib import Path

from measurements.doc_markers import link, markdown
from measurements.doc_records import FAMILIES, RECIPES, groups, measurement, percent, percent_with_error
from pipeline.studies.engine.ensembles import EnsembleRow
from pipeline.studies.engine.gains import gain_lines
from pipeline.studies.engine.rows import MemberRow, StudentRow
from pipeline.studies.engine.tables import mean_and_error, read_table

SPEEDS = ("student", "teacher", "members", "export")
RECIPE_HEADER = (
    "recipe",
    "protocol",
    "seeds",
    "validation accuracy",
    "agreement, validation",
    "agreement, test images",
    "KL, validation",
    "KL, test images",
)


def students(table: Path, document: Path) -> str:
    """A row for each cell and file of a study of students: the mean of its seeds."""
    header = (
        "network | weights | precision | expected bytes | bytes on disk | validation accuracy | "
        "agreement, validation | KL, validation | flip TTA"
    )
    found = groups(table)
    if all(len(group) == 1 for group in found):  # families at one budget: the best first
        found = sorted(found, key=lambda group: -group[0].validation_accuracy)
    return _with_source(markdown(header.split(" | "), [_student(group) for group in found]), document, table)


def recipes(table: Path, document: Path) -> str:
    """A row for each recipe: mean and standard error over its seeds; then the gains over the first."""
    found = groups(table)
    gained = "\n".join(f"- {line}" for line in gain_lines([row for group in found for row in group]))
    body = markdown(RECIPE_HEADER, [_recipe(group) for group in found])
    return f"{_with_source(body, document, table)}\n\n{gained}"


def protocols(document: Path) -> str:
    """The preset's recipe with and without test images."""
    rows = [_recipe(group) for group in groups(RECIPES) if group[0].cell in ("preset", "inductive")]
    return _with_source(markdown(RECIPE_HEADER, rows), document, RECIPES)


def family_members(document: Path) -> str:
    """The members of the study of families."""
    table = FAMILIES / "members.csv"
    rows = [
        (row.network, f"{row.parameters:,}", str(row.epochs), f"{row.seconds:,.0f}", percent(row.validation_accuracy))
        for row in read_table(table, MemberRow)
    ]
    header = ("member", "parameters", "epochs", "seconds", "validation accuracy")
    return _with_source(markdown(header, rows), document, table)


def family_ensembles(document: Path) -> str:
    """Uniform ensembles of these members, by their size."""
    table = FAMILIES / "ensembles.csv"
    rows = [
        (str(row.members), str(row.ensembles), percent(row.mean), percent(row.best))
        for row in read_table(table, EnsembleRow)
    ]
    header = ("members", "ensembles", "mean of them", "best of them")
    return _with_source(markdown(header, rows), document, table)


def speed(dtype: str, _: Path) -> str:
    """Images per second of the plain loop and of this program."""
    found = measurement(f"speed-cpu-{dtype}")
    rows = [
        (name, f"{found[name]['plain']:,.1f}", f"{found[name]['ours']:,.1f}", f"{found[name]['ratio']:.2f}")
        for name in SPEEDS
        if name in found
    ]
    return markdown((dtype, "plain loop", "this program", "ratio"), rows)


def _student(group: Sequence[StudentRow]) -> tuple[str, ...]:
    first = group[0]
    known = [row.validation_kl for row in group if row.validation_kl is not None]
    agreement, _ = mean_and_error([row.validation_agreement for row in group])
    return (
        first.network,
        f"{first.parameters:,}",
        f"{first.bits} bits" if first.precision == "low-bit" else first.precision,
        f"{first.predicted_bytes:,}",
        f"{max(row.packed_bytes for row in group):,}",
        percent_with_error([row.validation_accuracy for row in group]),
        percent(agreement),
        f"{mean_and_error(known)[0]:.4f}" if known else "",
        "yes" if first.tta_flip else "no",
    )


def _recipe(group: Sequence[StudentRow]) -> tuple[str, ...]:
    shares = ("validation_accuracy", "validation_agreement", "testing_agreement")
    kls = ("validation_kl", "testing_kl")
    return (
        group[0].cell,
        group[0].protocol,
        str(len(group)),
        *(percent_with_error([getattr(row, name) for row in group]) for name in shares),
        *(f"{mean_and_error([getattr(row, name) for row in group])[0]:.4f}" for name in kls),
    )


def _with_source(body: str, document: Path, table: Path) -> str:
    return f"{body}\n\nData: {link(document, table, table.name)}"
