"""Deliver: what a run is for, in one folder, with a manifest of how each figure came about.

Reads: packed file, CSVs, soft labels, receipts. Writes: submissions/<name>/. Only a file that fits gets here.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.contest.facts import load_contest
from pipeline.data.soft_labels import load_soft_labels, save_soft_labels
from pipeline.runtime.atomic import file_digest, write_bytes
from pipeline.runtime.console import say
from pipeline.runtime.load_settings import tuples, without_inherited
from pipeline.runtime.records import PackRecord, write_record
from pipeline.runtime.request import Job, Request
from pipeline.runtime.section import Section
from pipeline.runtime.steps import Opened, Step
from pipeline.runtime.toml_text import toml_text
from pipeline.runtime.waves import Wave
from pipeline.stages.delivery.manifest import STUDENT, Provenance, manifest_of, plain_settings, provenance
from pipeline.stages.shipped import pack_record
from pipeline.stages.student.network import load_architecture
from pipeline.stages.student.smaller import float_student

DELIVERED_VIEWS = 8  # soft labels of more views stay in the run: the delivered copy is to remain small
SOFT_LABELS, MANIFEST, SETTINGS = "soft_labels.safetensors", "manifest.json", "settings.toml"


class DeliverSettings(Section):
    """What a submission says of its run: the whole request, as JSON, and what the receipts know."""

    request: dict[str, Any]
    provenance: Provenance


def deliver(job: Job, stage_seconds: dict[str, float]) -> Wave:
    """Fill submissions/<name>/ and write its manifest last; `stage_seconds` are what each stage took."""
    artifacts = job.artifacts
    copied = {STUDENT: artifacts.packed(pack_record(job).chosen), SOFT_LABELS: artifacts.soft_labels}
    if job.request.has_test_images:
        copied |= {
            "predictions.csv": artifacts.predictions,
            "teacher_predictions.csv": artifacts.teacher_predictions,
        }
    read = {"pack record": artifacts.pack_record, "contest": artifacts.contest, "student": float_student(job)}
    settings = DeliverSettings(request=job.request.model_dump(mode="json"), provenance=provenance(job, stage_seconds))
    outputs = {name: artifacts.delivered(name) for name in (*copied, SETTINGS, MANIFEST)}
    return Wave([Step(job.run, "deliver", 5, copied | read, settings, outputs, _deliver)])


def settings_text(request: Request) -> str:
    """settings.toml of a submission: its settings, which `--preset` reads, and the command that asks for the rest."""
    flags = "".join(f" --{flag}" for flag in ("inductive", "final") if getattr(request, flag))
    given = "".join(f" {Path(file).name}" for file in request.soft_labels)
    labels = f" --soft-labels{given}" if given else ""
    command = f"./run.sh --data {Path(request.data).name} --preset settings.toml --budget {request.budget_bytes}"
    comment = f"The settings of submission {request.name}, all of them.\n{command}{labels}{flags}"
    return toml_text(without_inherited(plain_settings(request)), comment)


def _deliver(opened: Opened[DeliverSettings]) -> None:
    request = Request.model_validate(tuples(opened.settings.request))
    delivered = {name: path for name, path in opened.outputs.items() if name not in (MANIFEST, SETTINGS)}
    for name, path in delivered.items():
        if name == SOFT_LABELS and request.settings.views.student_views > DELIVERED_VIEWS:
            _deliver_first_views(opened.inputs[name], path)
        else:
            write_bytes(path, opened.inputs[name].read_bytes())
    write_bytes(opened.outputs[SETTINGS], settings_text(request).encode())
    manifest = manifest_of(
        request,
        opened.settings.provenance,
        PackRecord.model_validate_json(opened.inputs["pack record"].read_bytes()),
        load_contest(opened.inputs["contest"]),
        load_architecture(opened.inputs["student"]),
        {name: file_digest(path) for name, path in (delivered | {SETTINGS: opened.outputs[SETTINGS]}).items()},
    )
    write_record(opened.outputs[MANIFEST], manifest)
    say(f"deliver: {opened.outputs[MANIFEST].parent}")


def _deliver_first_views(source: Path, path: Path) -> None:
    soft_labels = load_soft_labels(source)
    log_probs = {split: value[:DELIVERED_VIEWS] for split, value in soft_labels.log_probs_VNC.items()}
    digests = {split: value[:DELIVERED_VIEWS] for split, value in soft_labels.view_digests.items()}
    save_soft_labels(path, replace(soft_labels, log_probs_VNC=log_probs, view_digests=digests))
