"""Deliver: what a run is for, in one folder, with a manifest of how each figure came about.

Reads: packed file, CSVs, soft labels, receipts. Writes: submissions/<name>/. Only a file that fits gets here.
"""

import json
import subprocess
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from models.students.short_form import name_of
from pipeline.contest.facts import load_contest
from pipeline.data.soft_labels import load_soft_labels, save_soft_labels
from pipeline.runtime.artifacts import digests
from pipeline.runtime.atomic import file_digest, value_digest, write_bytes, write_json
from pipeline.runtime.console import say
from pipeline.runtime.request import Job
from pipeline.runtime.steps import Step, read_notes, receipt_reads, run_step
from pipeline.stages.shipped import shipped_precision
from pipeline.stages.student.network import trained_architecture

LIBRARIES = ("torch", "torchvision", "timm", "albumentations", "numpy", "Pillow", "opencv-python-headless")
DELIVERED_VIEWS = 8  # soft labels of more views stay in the run: the delivered copy is to remain small


def deliver(job: Job, stage_seconds: dict[str, float]) -> None:
    """Fill submissions/<name>/ and write its manifest last; `stage_seconds` are what each stage took."""
    run, precision = job.run, shipped_precision(job)
    artifacts = job.artifacts
    inputs = {"packed file": artifacts.packed(precision), "measurements": artifacts.pack_record}
    inputs |= {"predictions": artifacts.predictions, "teacher predictions": artifacts.teacher_predictions}
    reads = digests(inputs | {"soft labels": artifacts.soft_labels})
    settings = job.request.model_dump(mode="json")
    writes = tuple(run.submission / name for name in (*_sources(job, precision), "manifest.json"))

    def work() -> dict[str, Any]:
        _copy(job, _sources(job, precision))
        write_json(run.submission / "manifest.json", _manifest(job, precision) | {"stage_seconds": stage_seconds})
        say(f"deliver: {run.submission}")
        return {}

    run_step(run, Step("deliver", 4, reads, settings, writes), work, full_check=job.full_check)


def _sources(job: Job, precision: str) -> dict[str, Path]:
    return {
        "student.bin": job.run.packed(precision),
        "predictions.csv": job.run.predictions,
        "teacher_predictions.csv": job.run.teacher_predictions,
        "soft_labels.safetensors": job.run.soft_labels,
    }


def _copy(job: Job, sources: dict[str, Path]) -> None:
    for name, source in sources.items():
        if name == "soft_labels.safetensors" and job.settings.views.student_views > DELIVERED_VIEWS:
            _deliver_first_views(job, job.run.submission / name)
        else:
            write_bytes(job.run.submission / name, source.read_bytes())


def _deliver_first_views(job: Job, path: Path) -> None:
    soft_labels = load_soft_labels(job.run.soft_labels)
    log_probs = {split: value[:DELIVERED_VIEWS] for split, value in soft_labels.log_probs_VNC.items()}
    digests = {split: value[:DELIVERED_VIEWS] for split, value in soft_labels.view_digests.items()}
    save_soft_labels(path, replace(soft_labels, log_probs_VNC=log_probs, view_digests=digests))


def _manifest(job: Job, precision: str) -> dict[str, Any]:
    request, packed_bytes = job.request, (job.run.submission / "student.bin").stat().st_size
    packed = json.loads(job.run.pack_record.read_text())
    distilled, predicted = read_notes(job.run, "distill"), read_notes(job.run, "predict")
    testing = predicted["fidelity"]["testing"]
    settings, teacher = _settings(job), _teacher(job)
    facts = load_contest(job.run.contest)
    return {
        "name": request.name,
        "contest": facts.name,
        "protocol": request.protocol,
        "final_phase": request.settings.distill.final_phase.images,
        "seeds": {
            "student": request.settings.distill.seed,
            "members": [member["seed"] for member in teacher["members"]],
        },
        "budget_bytes": request.budget_bytes,
        "packed_bytes": packed_bytes,
        "fits": packed_bytes <= request.budget_bytes,
        "precision": precision,
        "tta_flip": job.settings.tta_flip(),
        "network": name_of(trained_architecture(job)),
        "parameters": distilled["parameters"],
        "init_from": distilled.get("init_from", ""),  # digest of the packed file of a warm start
        "sha256": {name: file_digest(job.run.submission / name) for name in _sources(job, precision)},
        "accuracy": _accuracy(job, packed, precision),
        "precisions": packed["measured"],
        "teacher": teacher,
        "agreement": {"split": "testing", "value": testing["agreement"], "images": testing["images"]},
        "fidelity": predicted["fidelity"],  # to the ensemble, by split; kl in nats per image
        "device": distilled["device"],
        "versions": {library: _version(library) for library in LIBRARIES},
        "preset": Path(request.preset).name,
        "settings": settings,
        "settings_sha256": value_digest(settings),
        "commit": _commit(job.run.root),
    }


def _settings(job: Job) -> dict[str, Any]:
    """The run's settings; of files their names alone, for whoever has them elsewhere."""
    settings = job.settings.model_dump(mode="json")
    settings["distill"]["init_from"] = Path(job.settings.distill.init_from).name
    for row in settings["teach"]["members"]:
        row["weights"] = Path(row["weights"]).name
    return settings


def _accuracy(job: Job, packed: dict[str, Any], precision: str) -> list[dict[str, Any]]:
    """What is claimed for student.bin; nothing on validation under --final, where it was trained on."""
    if "validation" not in job.request.claimable_splits:
        return []
    shipped = next(row for row in packed["measured"] if row["precision"] == precision)
    images = len(load_contest(job.run.contest).ids["validation"])
    return [
        {
            "split": "validation",
            "protocol": job.request.protocol,
            "value": shipped["validation_accuracy"],
            "images": images,
            "measured_on": "student.bin",
            # the precision was chosen by this very figure, so it is the best of a few
            "chosen_on_it": ["pack.precision"] if job.settings.pack.precision == "auto" else [],
        }
    ]


def _teacher(job: Job) -> dict[str, Any]:
    """Validation accuracy of ensemble and members on the clean view; `soft_labels`: given files, if any.

    The members behind given files are read from the manifests beside them.
    """
    exported = read_notes(job.run, "export-soft-labels")
    given = ", ".join(Path(file).name for file in job.request.soft_labels)
    teacher: dict[str, Any] = {"soft_labels": given, "ensemble": exported.get("validation_accuracy")}
    if job.request.soft_labels:
        read = receipt_reads(job.run, "export-soft-labels")
        teacher["soft_labels_sha256"] = [read[f"soft labels {i}"] for i in range(len(job.request.soft_labels))]
    if fitted := exported.get("fitted"):
        teacher |= {"fitted": fitted, "chosen_on_it": ["export.weights"]}
    if job.request.soft_labels:
        return teacher | {"members": exported.get("members", [])}
    members = []
    for i, row in enumerate(job.settings.teach.members):
        notes = read_notes(job.run, f"teach-{i:02d}")
        accuracy = read_notes(job.run, f"export-{i:02d}").get("validation_accuracy")
        facts = {"network": row.network, "seed": row.seed, "parameters": notes.get("parameters")}
        if row.weights:
            facts["weights_sha256"] = receipt_reads(job.run, f"teach-{i:02d}")["weights"]
        members.append(facts | {"epochs": row.epochs, "validation_accuracy": accuracy, "seconds": notes["seconds"]})
    return teacher | {"members": members}


def _version(library: str) -> str:
    try:
        return version(library)
    except ImportError:  # PackageNotFoundError: the headless OpenCV has sisters
        return ""


def _commit(root: Path) -> str:
    """The commit of the program, for the reader; empty outside a repository."""
    try:
        found = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return found.stdout.strip()
