"""One student of a study: trained, quantised and packed on the views and soft labels that the study shares."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.students.short_form import name_of
from pipeline.contest.facts import load_contest
from pipeline.runtime.device import Device
from pipeline.runtime.folder import RunFolder
from pipeline.runtime.load_settings import merge
from pipeline.runtime.request import Job
from pipeline.runtime.settings import Settings
from pipeline.runtime.steps import read_notes
from pipeline.stages.run import STAGES
from pipeline.stages.student.network import expected_bytes, trained_architecture

OF_A_STUDENT = tuple(stage for stage in STAGES if stage.package == "student")


@dataclass(frozen=True)
class Cell:
    """What sets one student apart. `changes`: section -> the settings that differ from the study's."""

    name: str
    budget_bytes: int
    seed: int
    precisions: tuple[str, ...]  # the files that are of interest
    changes: Mapping[str, Mapping[str, Any]]
    inductive: bool = False  # also where the study is not

    def job(self, study: Job) -> Job:
        """The study's job with this student's settings and files."""
        settings = merge(study.settings.model_dump(), self.changes)
        settings["distill"]["seed"] = self.seed
        run = cell_run(study.run, self.name, self.seed)
        changed = {"settings": Settings.model_validate(settings), "budget_bytes": self.budget_bytes}
        changed["inductive"] = study.request.inductive or self.inductive
        return Job(run, study.request.model_copy(update=changed), study.full_check)


def cell_run(run: RunFolder, name: str, seed: int) -> RunFolder:
    """The files of one cell of a study: those of the student are its own, the rest is shared."""
    own = frozenset(stage.name for stage in STAGES if not stage.shared)
    return dataclasses.replace(run, cell=f"{name}-seed{seed}", cell_steps=own)


def train_cell(cell: Cell, study: Job, device: Device) -> list[dict[str, Any]]:
    """Train, quantise and pack one student, or skip what is done; a row for each of its files that is of interest."""
    job = cell.job(study)
    for stage in OF_A_STUDENT:
        stage.do(job, device)
    measured = {row["precision"]: row for row in json.loads(job.run.pack_record.read_text())["measured"]}
    return [_row(cell, job, measured[precision]) for precision in cell.precisions]


def _row(cell: Cell, job: Job, measured: dict[str, Any]) -> dict[str, Any]:
    precision, architecture = measured["precision"], trained_architecture(job)
    classes = load_contest(job.run.contest).classes
    return {
        "cell": cell.name,
        "seed": cell.seed,
        "budget_bytes": cell.budget_bytes,
        "packed_bytes": measured["packed_bytes"],
        "predicted_bytes": expected_bytes(job.settings, architecture, classes, precision),
        "validation_accuracy": round(measured["validation_accuracy"], 6),
        "validation_agreement": round(measured["validation_agreement"], 6),
        "validation_kl": round(measured["validation_kl"], 6),
        "protocol": job.request.protocol,
        "final_phase": job.settings.distill.final_phase.images,
        "precision": precision,
        "tta_flip": job.settings.tta_flip(),
        "bits": job.settings.quantise.bits if precision == "low-bit" else "",
        "step_scale": round(measured.get("step_scale", 1.0), 4),
        "network": name_of(architecture),
        "parameters": read_notes(job.run, "distill")["parameters"],
        "seconds": round(sum(stage.seconds(job) for stage in OF_A_STUDENT), 1),
    }
