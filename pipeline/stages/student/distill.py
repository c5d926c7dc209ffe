"""Distill: the student learns the soft labels of every stored view, and the labels where there are some.

Reads: student views, soft labels, labels, the packed file of a warm start. Writes: student/student.safetensors (EMA of
the last epoch, float32, with its architecture), student/metrics.jsonl.
"""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from models.students import architecture_json
from models.students.architecture import Architecture
from models.students.build import build_student, count_parameters
from models.students.short_form import name_of
from pipeline.contest.facts import load_contest
from pipeline.runtime.artifacts import GivenFile
from pipeline.runtime.console import say
from pipeline.runtime.errors import RequestError
from pipeline.runtime.request import Job
from pipeline.runtime.section import Section
from pipeline.runtime.steps import Notes, Opened, Step
from pipeline.runtime.training_settings import ProgressiveTrainingSettings
from pipeline.runtime.waves import Wave
from pipeline.stages.student.network import choose_architecture, save_student
from pipeline.stages.student.training import (
    METRICS,
    OUTPUT,
    LearningSettings,
    learning_settings,
    save_trained,
    student_inputs,
    train_student,
    training_device,
)
from pipeline.stages.student.warm_start import check_warm_start, warm_start
from pipeline.training.loop import Early

EARLY = "early student"  # among the outputs, where pruning rewinds to it
INIT_FROM = "init_from"  # the packed file of a warm start, among the inputs


class DistillStepSettings(Section):
    """What decides the student, beside what it learns from and starts with."""

    training: ProgressiveTrainingSettings
    learning: LearningSettings
    architecture: dict[str, Any]  # JSON
    early_epochs: int  # before the end: when the early student is kept; 0: none is


def distill(job: Job) -> Iterator[Wave]:
    """Train the student on the views and their soft labels."""
    own, artifacts = job.settings.distill, job.artifacts
    artifacts.contest.digest()  # refuses where the contest has not been read
    classes = load_contest(artifacts.contest.path).classes
    architecture = choose_architecture(job.settings, classes, job.request.budget_bytes)
    _check_sizes(own.sizes, architecture)
    check_warm_start(job, architecture, classes)
    settings = DistillStepSettings(
        training=ProgressiveTrainingSettings.of(own),
        learning=learning_settings(job, only_final_phase=False),
        architecture=architecture_json.to_json(architecture),
        early_epochs=job.settings.prune.rewound_epochs,
    )
    inputs = student_inputs(job) | ({INIT_FROM: GivenFile(Path(own.init_from))} if own.init_from else {})
    outputs = {OUTPUT: artifacts.student, METRICS: artifacts.student_metrics}
    outputs |= {EARLY: artifacts.early_student} if job.settings.prune.rewound_epochs else {}
    yield Wave([Step(job.run, artifacts.student.step, 4, inputs, settings, outputs, _distill)])


def _early(opened: Opened[DistillStepSettings], architecture: Architecture) -> Early | None:
    own = opened.settings
    if not own.early_epochs:
        return None
    keep = functools.partial(save_student, opened.outputs[EARLY], architecture=architecture)
    return Early(own.training.epochs - own.early_epochs, keep)


def _check_sizes(sizes: tuple[int, ...], architecture: Architecture) -> None:
    """Refuse progressive resizing of a network whose head depends on the image size."""
    for size in sizes:
        try:
            Architecture(architecture.rows, size)
        except ValueError as error:
            fault = f"{name_of(architecture)} cannot take images of {size} pixels ({error})"
            raise RequestError(f"distill.sizes: {fault}; set it to []") from None


def _distill(opened: Opened[DistillStepSettings]) -> Notes:
    own, device = opened.settings, training_device(opened, opened.settings.training)
    architecture = architecture_json.from_json(own.architecture)
    torch.manual_seed(own.learning.seed)
    network = build_student(architecture)
    init_from = opened.inputs.get(INIT_FROM)
    if init_from:
        facts = load_contest(opened.inputs["contest"])
        warm_start(init_from, architecture, network, opened.inputs["clean training"], facts)
    say(
        f"student: {name_of(architecture)}, {count_parameters(network):,} parameters, {own.training.epochs} epochs "
        f"on {device.name}, {own.learning.protocol}" + (f", from {init_from}" if init_from else "")
    )
    early = _early(opened, architecture)
    trained = train_student(opened, network, own.training, stage="distill", device=device, early=early)
    save_trained(opened, trained.network, architecture, own.training.epochs)
    notes = {"parameters": count_parameters(network), "device": device.description}
    return notes | {"init_from": opened.digests.get(INIT_FROM, ""), "earlier_seconds": trained.earlier_seconds}
