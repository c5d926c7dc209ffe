"""Deliver: what a run is for, in one folder, with a manifest that says how each figure came about.

Reads: packed file, CSVs, soft labels, receipts. Writes: submissions/<name>/. Only a file that fits gets here.
"""

import json
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipeline.contest.facts import load_contest
from pipeline.runtime.atomic import file_digest, value_digest, write_bytes, write_json
from pipeline.runtime.console import say
from pipeline.runtime.request import Job
from pipeline.runtime.steps import Step, output_digest, read_notes, receipt_reads, run_step
from pipeline.stages.student.network import student_network

LIBRARIES = ("torch", "torchvision", "timm", "albumentations", "numpy", "Pillow", "opencv-python-headless")
STAGES = ("prepare", "teach", "export", "distill", "pack", "predict")
DELIVERED_VIEWS = 8  # soft labels of more views stay in the run: the delivered copy is to remain small


def deliver_submission(job: Job, precision: str) -> None:
    """Fill submissions/<name>/ and write its manifest last."""
    run = job.run
    reads = {
        "packed file": output_digest(run, "pack", run.packed(precision)),
        "measurements": output_digest(run, "pack", run.pack_report),
        "predictions": output_digest(run, "predict", run.predictions),
        "teacher predictions": output_digest(run, "predict", run.teacher_predictions),
        "soft labels": output_digest(run, "export-soft-labels", run.soft_labels),
    }
    settings = job.request.model_dump(mode="json")
    writes = tuple(run.submission / name for name in (*_sources(job, precision), "manifest.json"))
    step = Step("deliver", 3, reads, settings, writes)
    run_step(run, step, lambda: _deliver(job, precision), full_check=job.full_check)


def _sources(job: Job, precision: str) -> dict[str, Path]:
    return {
        "student.bin": job.run.packed(precision),
        "predictions.csv": job.run.predictions,
        "teacher_predictions.csv": job.run.teacher_predictions,
        "soft_labels.safetensors": job.run.soft_labels,
    }


def _deliver(job: Job, precision: str) -> dict[str, Any]:
    folder = job.run.submission
    for name, source in _sources(job, precision).items():
        if name == "soft_labels.safetensors" and job.settings.views.student_views > DELIVERED_VIEWS:
            _deliver_first_views(job, folder / name)
        else:
            write_bytes(folder / name, source.read_bytes())
    delivered = {name: file_digest(folder / name) for name in _sources(job, precision)}
    write_json(folder / "manifest.json", _manifest(job, precision, delivered))
    say(f"deliver: {folder}")
    return {}


def _deliver_first_views(job: Job, path: Path) -> None:
    from dataclasses import replace

    from pipeline.data.soft_labels import load_soft_labels, save_soft_labels

    labels = load_soft_labels(job.run.soft_labels)
    log_probs = {split: value[:DELIVERED_VIEWS] for split, value in labels.log_probs_VNC.items()}
    digests = {split: value[:DELIVERED_VIEWS] for split, value in labels.view_digests.items()}
    save_soft_labels(path, replace(labels, log_probs_VNC=log_probs, view_digests=digests))


def _manifest(job: Job, precision: str, delivered: dict[str, str]) -> dict[str, Any]:
    request, packed_bytes = job.request, (job.run.submission / "student.bin").stat().st_size
    report = json.loads(job.run.pack_report.read_text())
    distilled, predicted = read_notes(job.run, "distill"), read_notes(job.run, "predict")
    testing = predicted["fidelity"]["testing"]
    settings, teacher = _settings(job), _teacher(job)
    facts = load_contest(job.run.contest)
    return {
        "name": request.name,
        "contest": facts.name,
        "protocol": request.protocol,
        "focus": request.settings.distill.focus,
        "seeds": {
            "student": request.settings.distill.seed,
            "members": [member["seed"] for member in teacher["members"]],
        },
        "budget_bytes": request.budget_bytes,
        "packed_bytes": packed_bytes,
        "fits": packed_bytes <= request.budget_bytes,
        "precision": precision,
        "mirrored": job.settings.mirrored(),  # answers are means over a picture and its mirror image
        "network": student_network(job).name,
        "parameters": distilled["parameters"],
        "started_from": distilled.get("started_from", ""),  # digest of an earlier student's file
        "sha256": delivered,
        "accuracy": _accuracy(job, report, precision),
        "precisions": report["measured"],
        "teacher": teacher,
        "agreement": {"split": "testing", "value": testing["agreement"], "images": testing["images"]},
        "fidelity": predicted["fidelity"],  # to the ensemble, by split; divergence in nats per image
        "stage_seconds": {stage: _seconds(job, stage) for stage in STAGES},
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
    settings["distill"]["start"] = Path(job.settings.distill.start).name
    for row in settings["teach"]["members"]:
        row["weights"] = Path(row["weights"]).name
    return settings


def _accuracy(job: Job, report: dict[str, Any], precision: str) -> list[dict[str, Any]]:
    """What is claimed for student.bin; nothing on validation under --final, where it was trained on."""
    if job.request.final:
        return []
    shipped = next(row for row in report["measured"] if row["precision"] == precision)
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
    """Validation accuracy of ensemble and members on the clean view; `labels`: the files that they came from.

    Members of such files are told by the manifests beside them.
    """
    exported = read_notes(job.run, "export-soft-labels")
    labels = ", ".join(Path(file).name for file in job.request.labels)
    teacher: dict[str, Any] = {"labels": labels, "ensemble": exported.get("validation_accuracy")}
    if job.request.labels:
        read = receipt_reads(job.run, "export-soft-labels")
        teacher["labels_sha256"] = [read[f"labels {i}"] for i in range(len(job.request.labels))]
    if fitted := exported.get("fitted"):
        teacher |= {"fitted": fitted, "chosen_on_it": ["export.weights"]}
    if job.request.labels:
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


def _seconds(job: Job, stage: str) -> float:
    """What the stage's steps took, added up, whenever they were done; on a CPU several members work at once."""
    return round(sum(read_notes(job.run, name)["seconds"] for name in job.step_names(stage)), 1)


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
