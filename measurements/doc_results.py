"""Tables and single figures of the submissions, from their manifests."""

from pathlib import Path

from measurements.doc_markers import MarkerError, link, markdown
from measurements.doc_records import (
    FRONTIER,
    RECIPES,
    REFERENCE,
    REFERENCE_CELL,
    RESULTS,
    SUBMISSIONS,
    claimed,
    groups,
    manifest,
    measurement,
    percent,
    points_with_error,
)
from pipeline.runtime.records import Manifest, MemberRecord
from pipeline.studies.engine.gains import gains
from pipeline.studies.engine.rows import StudentRow
from pipeline.studies.engine.tables import read_table

MILLION = 10**6
PRECISIONS = {"low-bit": "4-bit weights (LSQ), entropy-coded", "fp16": "fp16 weights", "uint8": "uint8 weights"}
HOW = {  # the manifests' words for files that no single run delivered
    "by hand-chained runs": "several runs",
    "by study frontier, seed 0": "one of the study `frontier`",
}


def results(document: Path) -> str:
    """The committed files, the reference's network first."""
    header = ("file", "bytes", "validation accuracy", "agreement with the ensemble, test images", "method")
    return markdown(header, [_result(document, manifest(name)) for name in RESULTS])


def results_in_full(document: Path) -> str:
    """The same files with limit, precision, fidelity on every split and protocol."""
    header = (
        "file | network | bytes | limit | precision | validation accuracy | ensemble, validation | "
        "agreement, validation | KL, validation | agreement, test images | KL, test images | protocol, final phase"
    )
    return markdown(header.split(" | "), [_result_in_full(document, manifest(name)) for name in RESULTS])


def precisions(_: Path) -> str:
    """What every precision of food11's student costs."""
    header = ("precision", "bytes on disk", "validation accuracy", "agreement, validation", "KL, nats per image")
    rows = [
        (
            found.precision,
            f"{found.packed_bytes:,}",
            percent(found.validation_accuracy),
            percent(found.validation_agreement),
            f"{found.validation_kl:.4f}",
        )
        for found in manifest("food11").precisions
    ]
    return markdown(header, rows)


def members(_: Path) -> str:
    """The ensemble behind food11's soft labels."""
    header = ("member", "parameters", "epochs", "validation accuracy")
    rows = [_member(row) for row in _teacher_members("food11")]
    return markdown(header, [*rows, ("ensemble, half and half", "", "", percent(_ensemble("food11")))])


def value(name: str) -> str:
    """A single figure, such as food11.bytes. Raises MarkerError for one that does not exist."""
    if name in FIGURES:
        return FIGURES[name]()
    submission, _, field = name.partition(".")
    if field not in FIELDS or submission not in RESULTS:
        expected = ", ".join([*FIGURES, *(f"food11.{known}" for known in FIELDS)])
        raise MarkerError(f"no value is called {name!r}; expected one of {expected}")
    return FIELDS[field](submission)


def seeds_of(table: Path, cell: str, precision: str, column: str) -> list[float]:
    """A column of one cell and precision of a study, in the order of the seeds."""
    rows = [row for row in read_table(table, StudentRow) if (row.cell, row.precision) == (cell, precision)]
    return [getattr(row, column) for row in sorted(rows, key=lambda row: row.seed)]


def _result(document: Path, found: Manifest) -> tuple[str, ...]:
    return (
        link(document, SUBMISSIONS / found.name, found.name),
        f"{found.packed_bytes:,}",
        percent(claimed(found)),
        percent(found.agreement.value),
        _method(found),
    )


def _method(found: Manifest) -> str:
    network = ["reference's network"] if found.network == "reference-student" else []
    weights = f"{found.parameters:,} {PRECISIONS.get(found.precision, found.precision)}"
    how = found.made or f"one command, preset `{found.preset}`"
    phase = ["last epochs on test images"] if found.final_phase == "testing" else []
    return ", ".join([*network, weights, HOW.get(how, how), *phase])


def _result_in_full(document: Path, found: Manifest) -> tuple[str, ...]:
    fidelity = (found.fidelity.get(split) for split in ("validation", "testing"))
    nearness = [cell for one in fidelity for cell in ((percent(one.agreement), f"{one.kl:.3f}") if one else ("", ""))]
    return (
        link(document, SUBMISSIONS / found.name, found.name),
        found.network,
        f"{found.packed_bytes:,}",
        f"{found.budget_bytes:,}",
        found.precision,
        percent(claimed(found)),
        percent(found.teacher.ensemble if found.teacher else None),
        *nearness,
        f"{found.protocol}, {found.final_phase}",
    )


def _member(row: MemberRecord) -> tuple[str, ...]:
    return (row.network, f"{row.parameters:,}", str(row.epochs), percent(row.validation_accuracy))


def _teacher_members(name: str) -> tuple[MemberRecord, ...]:
    teacher = manifest(name).teacher
    return teacher.members if teacher else ()


def _ensemble(name: str) -> float:
    teacher = manifest(name).teacher
    assert teacher is not None
    assert teacher.ensemble is not None
    return teacher.ensemble


def _gain(name: str) -> str:
    """How far a submission is above the reference's network, in points of validation accuracy."""
    ours, reference = claimed(manifest(name)), claimed(manifest(REFERENCE))
    assert ours is not None
    assert reference is not None
    return f"{100 * (ours - reference):.1f}"


def _gap(name: str) -> str:
    return f"{100 * (_ensemble(name) - (claimed(manifest(name)) or 0)):.1f}"


def _ensemble_parameters(name: str) -> str:
    return f"{sum(row.parameters or 0 for row in _teacher_members(name)) / MILLION:.0f} million"


def _images_of_all_splits() -> str:
    return f"{sum(found.images for found in manifest('food11').fidelity.values()):,}"


def _paired(table: Path, one: tuple[str, str], other: tuple[str, str], column: str) -> str:
    first, second = (seeds_of(table, *cell, column) for cell in (one, other))
    return points_with_error([a - b for a, b in zip(first, second, strict=True)])


def _inductive_gap(column: str) -> str:
    rows = [row for group in groups(RECIPES) for row in group]
    return points_with_error(gains(rows, column, "preset", "inductive"))


def _speed(name: str, column: str, form: str) -> str:
    return format(measurement("speed-cpu-bfloat16")[name][column], form)


LOW_BIT, FP16, TENSOR = ((REFERENCE_CELL, name) for name in ("low-bit", "fp16", "uint8-tensor"))
FIELDS = {
    "bytes": lambda name: f"{manifest(name).packed_bytes:,}",
    "validation": lambda name: percent(claimed(manifest(name))),
    "agreement": lambda name: percent(manifest(name).agreement.value),
    "kl": lambda name: f"{manifest(name).fidelity['testing'].kl:.3f}",
    "parameters": lambda name: f"{manifest(name).parameters:,}",
    "ensemble": lambda name: percent(_ensemble(name)),
    "gap": _gap,
    "gain": _gain,
    "members": lambda name: str(len(_teacher_members(name))),
    "ensemble-parameters": _ensemble_parameters,
    "training-images": lambda name: f"{manifest(name).fidelity['training'].images:,}",
    "validation-images": lambda name: f"{manifest(name).fidelity['validation'].images:,}",
    "testing-images": lambda name: f"{manifest(name).fidelity['testing'].images:,}",
    "training-agreement": lambda name: percent(manifest(name).fidelity["training"].agreement),
    "validation-agreement": lambda name: percent(manifest(name).fidelity["validation"].agreement),
}
FIGURES = {
    "images": _images_of_all_splits,
    "low-bit-gain": lambda: _paired(FRONTIER, LOW_BIT, FP16, "validation_accuracy"),
    "tensor-step-cost": lambda: _paired(FRONTIER, FP16, TENSOR, "validation_accuracy"),
    "inductive-cost": lambda: _inductive_gap("validation_accuracy"),
    "inductive-agreement-cost": lambda: _inductive_gap("testing_agreement"),
    "speed-student": lambda: _speed("student", "ratio", ".1f"),
    "speed-teacher": lambda: _speed("teacher", "ratio", ".1f"),
    "loading-share": lambda: _speed("student", "loading_share", ".1%"),
    "student-share-of-limit": lambda: _speed("student", "share_of_limit", ".1%"),
    "teacher-share-of-limit": lambda: _speed("teacher", "share_of_limit", ".1%"),
    "matrix-rate": lambda: f"{measurement('speed-cpu-bfloat16')['limit']['matrix_tflops']:.3f}",
}
