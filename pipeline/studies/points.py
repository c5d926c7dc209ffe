"""One student of a study: trained, made low-bit and packed on the views and soft labels that the study shares."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.runtime.request import Job
from pipeline.runtime.settings import Settings
from pipeline.runtime.steps import read_notes
from pipeline.stages.student.network import expected_bytes, student_network

if TYPE_CHECKING:
    from pipeline.runtime.device import Device


@dataclass(frozen=True)
class Point:
    """What sets one student apart. `changes`: section -> the settings that differ from the study's."""

    name: str
    budget_bytes: int
    seed: int
    precisions: tuple[str, ...]  # the files that are of interest
    changes: Mapping[str, Mapping[str, Any]]
    inductive: bool = False  # also where the study is not

    def job(self, study: Job) -> Job:
        """The study's job with this student's settings and files."""
        settings = study.settings.model_dump()
        for section, values in self.changes.items():
            settings[section] |= dict(values)
        settings["distill"]["seed"] = self.seed
        run = dataclasses.replace(study.run, point=point_folder(self.name, self.seed))
        changed = {"settings": Settings.model_validate(settings), "budget_bytes": self.budget_bytes}
        changed["inductive"] = study.request.inductive or self.inductive
        return Job(run, study.request.model_copy(update=changed), study.full_check)


def point_folder(name: str, seed: int) -> str:
    """What the folder of a point's student is called."""
    return f"{name}-seed{seed}"


def train_point(point: Point, study: Job, device: "Device") -> list[dict[str, Any]]:
    """Train, quantise and pack one student, or skip what is done; a row for each of its files that is of interest."""
    from pipeline.stages.student.distill import distill_student
    from pipeline.stages.student.pack import pack_student
    from pipeline.stages.student.quantise import quantise_student

    job = point.job(study)
    distill_student(job, device)
    quantise_student(job, device)
    pack_student(job)
    measured = {row["precision"]: row for row in json.loads(job.run.pack_report.read_text())["measured"]}
    return [_row(point, job, measured[precision]) for precision in point.precisions]


def _row(point: Point, job: Job, measured: dict[str, Any]) -> dict[str, Any]:
    precision, chosen = measured["precision"], student_network(job)
    return {
        "point": point.name,
        "seed": point.seed,
        "budget_bytes": point.budget_bytes,
        "packed_bytes": measured["packed_bytes"],
        "predicted_bytes": expected_bytes(job.settings, chosen, precision),
        "validation_accuracy": round(measured["validation_accuracy"], 6),
        "validation_agreement": round(measured["validation_agreement"], 6),
        "validation_divergence": round(measured["validation_divergence"], 6),
        "protocol": job.request.protocol,
        "focus": job.settings.distill.focus,
        "precision": precision,
        "mirrored": job.settings.mirrored(),
        "bits": job.settings.quantise.bits if precision == "low-bit" else "",
        "coarser": round(measured.get("coarser", 1.0), 4),
        "network": chosen.name,
        "parameters": read_notes(job.run, "distill")["parameters"],
        "seconds": round(sum(read_notes(job.run, step)["seconds"] for step in ("distill", "quantise", "pack")), 1),
    }
