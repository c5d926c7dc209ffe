"""The manifest of a submission: how each file and figure came about, from the records of the run."""

import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from models.students.architecture import Architecture
from models.students.short_form import name_of
from pipeline.contest.facts import ContestFacts
from pipeline.runtime.atomic import value_digest
from pipeline.runtime.records import (
    Agreement,
    Claim,
    Fidelity,
    Manifest,
    MemberRecord,
    PackRecord,
    TeacherRecord,
)
from pipeline.runtime.request import Job, Request
from pipeline.runtime.section import Section, setting
from pipeline.runtime.steps import read_notes, receipt_reads
from pipeline.stages.student.smaller import float_student
from pipeline.stages.teacher.given_soft_labels import given_name

LIBRARIES = ("torch", "torchvision", "timm", "albumentations", "numpy", "Pillow", "opencv-python-headless")
STUDENT = "student.bin"


class Provenance(Section):
    """What the receipts of a run say of its student and its ensemble."""

    parameters: int
    device: str  # on which the student was trained
    init_from: str
    fidelity: dict[str, Fidelity]
    test_accuracy: float | None = None  # where the labels of the test images are known
    teacher: TeacherRecord
    stage_seconds: dict[str, float] = setting({}, "what each stage took", "seconds", execution=True)
    versions: dict[str, str] = setting({}, "of the libraries", execution=True)
    commit: str = setting("", "of the program; empty outside a repository", execution=True)


def provenance(job: Job, stage_seconds: dict[str, float]) -> Provenance:
    """Read the receipts of a run; `stage_seconds`: what each of its stages took."""
    distilled, predicted = read_notes(job.run, "distill"), read_notes(job.run, "predict")
    packed = read_notes(job.run, float_student(job).step)
    return Provenance(
        parameters=packed["parameters"],
        device=distilled["device"],
        init_from=distilled["init_from"],
        fidelity={split: Fidelity(**found) for split, found in predicted["fidelity"].items()},
        test_accuracy=predicted.get("test_accuracy"),
        teacher=_teacher(job),
        stage_seconds=stage_seconds,
        versions={library: _version(library) for library in LIBRARIES},
        commit=_commit(job.run.root),
    )


def manifest_of(
    request: Request,
    known: Provenance,
    packed: PackRecord,
    facts: ContestFacts,
    architecture: Architecture,
    sha256: Mapping[str, str],
) -> Manifest:
    """The manifest of a submission with these files."""
    settings = plain_settings(request)
    return Manifest(
        name=request.name,
        contest=facts.name,
        protocol=request.protocol,
        final_phase="testing" if request.final_phase else "none",
        seeds={
            "student": request.settings.distill.seed,
            "members": [member.seed for member in known.teacher.members],
        },
        minutes=_minutes(request),
        budget_bytes=request.budget_bytes,
        packed_bytes=packed.shipped.packed_bytes,
        fits=packed.shipped.packed_bytes <= request.budget_bytes,
        precision=packed.chosen,
        tta_flip=request.settings.tta_flip(),
        network=name_of(architecture),
        parameters=known.parameters,
        init_from=known.init_from,
        sha256=dict(sha256),
        metric=None if request.settings.pack.metric == "accuracy" else request.settings.pack.metric,
        metric_value=packed.shipped.validation_metric,
        temperature=packed.temperature,
        skipped_images=facts.skipped or None,
        accuracy=_claims(request, packed, facts, known),
        precisions=packed.measured,
        teacher=known.teacher,
        agreement=_agreement(known.fidelity),
        fidelity=known.fidelity,
        device=known.device,
        versions=known.versions,
        preset=Path(request.preset).name,
        settings=settings,
        settings_sha256=value_digest(settings),
        commit=known.commit,
        stage_seconds=known.stage_seconds,
    )


def plain_settings(request: Request) -> dict[str, Any]:
    """A run's settings as JSON values; of files their names alone, for whoever has them elsewhere."""
    settings = request.settings.model_dump(mode="json")
    settings["distill"]["init_from"] = Path(request.settings.distill.init_from).name
    for row in settings["teach"]["members"]:
        row["weights"] = Path(row["weights"]).name
    return settings


def _minutes(request: Request) -> dict[str, float] | None:
    """What a planned run was asked to take and what its plan takes; what it took, stage by stage, is stage_seconds."""
    if request.minutes is None or request.plan is None:
        return None
    return {"asked": request.minutes, "planned": round(request.plan.seconds.total / 60, 1)}


def _agreement(fidelity: Mapping[str, Fidelity]) -> Agreement:
    """On the test images; without any on validation, and where that was trained on, on training."""
    split = next(split for split in ("testing", "validation", "training") if split in fidelity)
    return Agreement(split=split, value=fidelity[split].agreement, images=fidelity[split].images)


def _claims(request: Request, packed: PackRecord, facts: ContestFacts, known: Provenance) -> tuple[Claim, ...]:
    """What is claimed for student.bin; nothing on validation under --final, where it was trained on."""
    value = packed.shipped.validation_accuracy
    testing = _test_claims(request, known, facts)
    if "validation" not in request.claimable_splits or value is None:
        return testing
    return (
        Claim(
            split="validation",
            protocol=request.protocol,
            value=value,
            images=len(facts.ids["validation"]),
            measured_on=STUDENT,
            # the precision was chosen by this very figure, so it is the best of a few
            chosen_on_it=("pack.precision",) if request.settings.pack.precision == "auto" else (),
        ),
        *testing,
    )


def _test_claims(request: Request, known: Provenance, facts: ContestFacts) -> tuple[Claim, ...]:
    """What is claimed on test images whose labels are known; nothing learned from these labels."""
    if known.test_accuracy is None:
        return ()
    labelled = sum(label >= 0 for label in facts.test_labels)
    return (
        Claim(
            split="testing",
            protocol=request.protocol,
            value=known.test_accuracy,
            images=labelled,
            measured_on=STUDENT,
        ),
    )


def _teacher(job: Job) -> TeacherRecord:
    """Validation accuracy of ensemble and members on the clean view; `soft_labels`: given files, if any.

    The members behind given files are read from the manifests beside them.
    """
    exported, given = read_notes(job.run, "export-soft-labels"), job.request.soft_labels
    read = receipt_reads(job.run.receipt("export-soft-labels"))
    fitted = exported.get("fitted")
    members = (MemberRecord(**found) for found in exported.get("members", ())) if given else _taught_members(job)
    return TeacherRecord(
        soft_labels=", ".join(Path(file).name for file in given),
        soft_labels_sha256=tuple(read[given_name(i)] for i in range(len(given))) if given else None,
        ensemble=exported.get("validation_accuracy"),
        fitted=fitted,
        chosen_on_it=("export.weights",) if fitted else None,
        members=tuple(members),
    )


def _taught_members(job: Job) -> list[MemberRecord]:
    members = []
    for i, row in enumerate(job.settings.teach.members):
        taught, exported = read_notes(job.run, f"teach-{i:02d}"), read_notes(job.run, f"export-{i:02d}")
        members.append(
            MemberRecord(
                network=row.network,
                seed=row.seed,
                parameters=taught.get("parameters"),
                epochs=row.epochs,
                validation_accuracy=exported.get("validation_accuracy"),
                seconds=taught["seconds"],
                weights_sha256=receipt_reads(job.run.receipt(f"teach-{i:02d}"))["weights"] if row.weights else None,
            )
        )
    return members


def _version(library: str) -> str:
    try:
        return version(library)
    except ImportError:  # PackageNotFoundError: the headless OpenCV has sisters
        return ""


def _commit(folder: Path) -> str:
    """The commit of the program, for the reader; empty outside a repository."""
    try:
        found = subprocess.run(["git", "-C", folder, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return found.stdout.strip()
