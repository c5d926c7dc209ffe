"""How a student is trained, with float or low-bit weights: views, soft labels, loss, the metrics of an epoch."""

import functools
from typing import Any

import numpy as np
import torch
from torch import nn

from models.students.architecture import Architecture
from pipeline.contest.facts import ContestFacts, load_contest
from pipeline.data.batches import FinalPhase, Normalisation, TrainingSet, size_at
from pipeline.data.fewer import rows_of_share
from pipeline.data.soft_labels import SoftLabels, load_soft_labels
from pipeline.runtime.artifacts import views_of
from pipeline.runtime.console import say
from pipeline.runtime.device import Device, pick_device, shared_by_processes
from pipeline.runtime.records import EpochMetrics, append_epoch, keep_epochs
from pipeline.runtime.request import Job
from pipeline.runtime.section import Section
from pipeline.runtime.settings import StepDevice
from pipeline.runtime.steps import Input, Opened
from pipeline.runtime.training_settings import FinalPhaseSettings, ProgressiveTrainingSettings, TrainingSettings
from pipeline.stages.evaluation import evaluate_split
from pipeline.stages.student.network import save_student
from pipeline.training.inference import predict_log_probs
from pipeline.training.loop import Early, EpochResult, TrainingPlan, TrainingResult, checkpoint_beside, train
from pipeline.training.losses import balanced_weights, student_loss
from pipeline.training.members import AtSize
from pipeline.training.schedule import validates_after

OUTPUT, METRICS = "student", "metrics"  # of every step, by name
LABELS = {
    "distill": "student",
    "prune": "pruned student",
    "factorise": "low-rank student",
    "quantise": "low-bit student",
}


class LearningSettings(Section):
    """What float and low-bit training share: which images, and the loss of [distill]."""

    splits: tuple[str, ...]
    labelled_splits: tuple[str, ...]
    claimable_splits: tuple[str, ...]
    views: int
    mixed_views: tuple[int, ...]
    training_share: float
    dropout: float
    alpha: float
    class_weights: str
    temperature: float
    seed: int
    final_phase: FinalPhaseSettings | None
    protocol: str
    device: StepDevice


def learning_settings(job: Job, *, only_final_phase: bool) -> LearningSettings:
    """The settings of a training; `only_final_phase`: where it has a final phase, all epochs belong to it."""
    distill, final_phase = job.settings.distill, job.request.final_phase
    if final_phase and only_final_phase:
        final_phase = final_phase.model_copy(update={"fraction": 1.0})
    return LearningSettings(
        splits=job.request.student_splits,
        labelled_splits=job.request.labelled_splits,
        claimable_splits=job.request.claimable_splits,
        views=job.settings.views.student_views,
        mixed_views=job.mixed_views(),
        training_share=distill.training_share,
        dropout=distill.dropout,
        alpha=distill.alpha,
        class_weights=distill.class_weights,
        temperature=distill.temperature,
        seed=distill.seed,
        final_phase=final_phase,
        protocol=job.request.protocol,
        device=job.device,
    )


def student_inputs(job: Job) -> dict[str, Input]:
    """Everything that a student learns from and is measured on while it learns."""
    artifacts, views = job.artifacts, job.settings.views.student_views
    inputs: dict[str, Input] = {"contest": artifacts.contest, "soft labels": artifacts.soft_labels}
    inputs |= views_of(artifacts, "student", dict.fromkeys(job.request.student_splits, views))
    measured = artifacts.clean(_measured_split(job.request.claimable_splits))
    return inputs | {"clean training": artifacts.clean("training"), "measured images": measured}


def training_device(opened: Opened[Any], settings: TrainingSettings) -> Device:
    """The device of a student's training; on a CPU several processes may share each batch."""
    own: StepDevice = opened.settings.learning.device
    return shared_by_processes(pick_device(own), settings.batch_size, own.workers)


def train_student(
    opened: Opened[Any],
    network: nn.Module,
    settings: TrainingSettings,
    *,
    stage: str,
    device: Device,
    first: int = 0,
    early: Early | None = None,
) -> TrainingResult:
    """Train a network on the views and soft labels of a step; `stage`: the name of its stage, in the metrics.

    first: the epoch of the schedule with which it begins, counted from 0.
    """
    learning: LearningSettings = opened.settings.learning
    facts, soft_labels = load_contest(opened.inputs["contest"]), load_soft_labels(opened.inputs["soft labels"])
    labels = [label for split in learning.labelled_splits for label in facts.labels[split]]
    weights = balanced_weights(labels, len(facts.classes)) if learning.class_weights == "balanced" else ()
    loss_of = functools.partial(
        student_loss, alpha=learning.alpha, temperature=learning.temperature, class_weights=weights
    )
    for module in network.modules():
        if isinstance(module, (nn.Dropout, nn.Dropout2d)):
            module.p = learning.dropout
    sizes = settings.sizes if isinstance(settings, ProgressiveTrainingSettings) else ()
    label = LABELS[stage]

    def on_epoch(result: EpochResult) -> None:
        validates = validates_after(result.epoch, settings.epochs, settings.validate_every)
        predicting = AtSize(result.network, size_at(result.epoch - 1, epochs=settings.epochs, sizes=sizes))
        found = validate_student(opened, predicting, facts, soft_labels, device) if validates else {}
        metrics = EpochMetrics.model_validate({"stage": stage, **result.figures(), **found})
        append_epoch(opened.outputs[METRICS], metrics)
        shares = {name: value for name, value in found.items() if not name.endswith("kl")}
        shown = "".join(f", {name.replace('_', ' ')} {value:.2%}" for name, value in shares.items())
        of = f"{result.epoch} of {settings.epochs}"
        say(f"{label}: epoch {of}, loss {result.loss:.4f}{shown}, {result.seconds:.1f} s")

    checkpoint = checkpoint_beside(opened.outputs[OUTPUT])
    identity = f"{opened.identity}, {device.arithmetic}"
    plan = TrainingPlan(label, settings, learning.seed, checkpoint, identity, first)
    return train(network, _training_set(opened, facts, soft_labels, sizes), loss_of, plan, device, on_epoch, early)


def save_trained(opened: Opened[Any], network: nn.Module, architecture: Architecture, epochs: int) -> None:
    """Write the outputs of a finished training, and clear its checkpoint away."""
    save_student(opened.outputs[OUTPUT], network, architecture)
    keep_epochs(opened.outputs[METRICS], epochs)
    checkpoint_beside(opened.outputs[OUTPUT]).unlink(missing_ok=True)


def _training_set(
    opened: Opened[Any], facts: ContestFacts, soft_labels: SoftLabels, sizes: tuple[int, ...]
) -> TrainingSet:
    learning: LearningSettings = opened.settings.learning
    splits, count = learning.splits, learning.views
    hard_labels_N = torch.tensor([label for split in splits for label in facts.labels[split]])
    soft_VNC = torch.cat([soft_labels.log_probs_VNC[split][:count] for split in splits], dim=1)
    return TrainingSet(
        opened.views(splits, count),
        hard_labels_N,
        soft_VNC,
        len(facts.classes),
        Normalisation(facts.mean, facts.std),
        learning.temperature,
        sizes,
        rows_N=_fewer(learning, facts),
        mixed_views=learning.mixed_views,
        final_phase=_final_phase(learning, facts),
    )


def _fewer(learning: LearningSettings, facts: ContestFacts) -> torch.Tensor | None:
    """The rows of a student that learns from a share of the labelled images and from all test images."""
    if learning.training_share == 1.0:
        return None
    labels = [label for split in learning.labelled_splits for label in facts.labels[split]]
    tests = sum(len(facts.ids[split]) for split in learning.splits if split not in learning.labelled_splits)
    return rows_of_share([*labels, *[-1] * tests], learning.training_share, learning.seed)


def _final_phase(learning: LearningSettings, facts: ContestFacts) -> FinalPhase | None:
    """The final phase of a student for the test images, which come last in the set."""
    own = learning.final_phase
    if own is None:
        return None
    others = sum(len(facts.ids[split]) for split in learning.labelled_splits)
    rows_N = torch.arange(others, others + len(facts.ids["testing"]))
    return FinalPhase(rows_N, own.fraction, own.test_share)


def _measured_split(claimable_splits: tuple[str, ...]) -> str:
    """Validation, or where nothing may be claimed there, the test images."""
    return "validation" if "validation" in claimable_splits else "testing"


def validate_student(
    opened: Opened[Any], network: nn.Module, facts: ContestFacts, soft_labels: SoftLabels, device: Device
) -> dict[str, float]:
    """Figures of validation, or where none may be claimed there, the fidelity on the test images."""
    claimable = opened.settings.learning.claimable_splits
    images_NHWC = np.load(opened.inputs["measured images"], mmap_mode="r")
    log_probs_NC = predict_log_probs(network, images_NHWC, Normalisation(facts.mean, facts.std), device)
    return evaluate_split(claimable, facts, _measured_split(claimable), log_probs_NC, soft_labels)
