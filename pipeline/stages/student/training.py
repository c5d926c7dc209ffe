"""How a student is trained, with float or low-bit weights: views, soft labels, loss, the metrics of an epoch."""

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from pipeline.contest.facts import ContestFacts, load_contest
from pipeline.data.batches import FinalPhase, Normalisation, TrainingSet
from pipeline.data.soft_labels import SoftLabels, load_soft_labels
from pipeline.runtime.artifacts import digests
from pipeline.runtime.atomic import append_line
from pipeline.runtime.console import say
from pipeline.runtime.device import Device
from pipeline.runtime.request import Job
from pipeline.runtime.training_settings import TrainingSettings
from pipeline.stages.evaluation import evaluate_split
from pipeline.training.inference import predict_log_probs
from pipeline.training.loop import EpochResult, TrainingPlan, TrainingResult, train
from pipeline.training.losses import student_loss
from pipeline.training.schedule import validates_after


@dataclass(frozen=True)
class StudentPhase:
    """One training of the student: label, stage and settings, its checkpoint, the digest of what shapes it."""

    label: str
    stage: str  # in the metrics
    settings: TrainingSettings
    final_phase: float  # share of its epochs, the last ones, that belong to the final phase
    checkpoint: Path
    identity: str


def student_reads(job: Job) -> dict[str, str]:
    """Digests of everything that a student learns from."""
    inputs = {"contest": job.artifacts.contest, "soft labels": job.artifacts.soft_labels}
    for split in job.request.student_splits:
        inputs |= job.artifacts.views("student", split, job.settings.views.student_views)
    return digests(inputs)


def train_student(job: Job, device: Device, network: nn.Module, own: StudentPhase) -> TrainingResult:
    """Train a network on the run's views and soft labels; loss, temperature and seed are those of [distill]."""
    facts, soft_labels = load_contest(job.run.contest), load_soft_labels(job.run.soft_labels)
    distill, normalisation = job.settings.distill, Normalisation(facts.mean, facts.std)
    loss_of = functools.partial(student_loss, alpha=distill.alpha, temperature=distill.temperature)

    def on_epoch(result: EpochResult) -> None:
        line = {"stage": own.stage, "epoch": result.epoch, "loss": result.loss}
        validates = validates_after(result.epoch, own.settings.epochs)
        found = _validate(job, device, result.network, normalisation, facts, soft_labels) if validates else {}
        shares = {name: value for name, value in found.items() if not name.endswith("kl")}
        shown = "".join(f", {name.replace('_', ' ')} {value:.2%}" for name, value in shares.items())
        line |= found
        line |= {"learning_rate": result.learning_rate, "seconds": round(result.seconds, 3)}
        append_line(job.run.metrics, line)
        of = f"{result.epoch} of {own.settings.epochs}"
        say(f"{own.label}: epoch {of}, loss {result.loss:.4f}{shown}, {result.seconds:.1f} s")

    training = TrainingPlan(own.label, own.settings, distill.seed, own.checkpoint, own.identity)
    training_set = _training_set(job, facts, soft_labels, normalisation, own.final_phase)
    return train(network, training_set, loss_of, training, device, on_epoch)


def _training_set(
    job: Job, facts: ContestFacts, soft_labels: SoftLabels, normalisation: Normalisation, final_phase: float
) -> TrainingSet:
    splits, count = job.request.student_splits, job.settings.views.student_views
    views = [[job.run.view("student", split, view) for split in splits] for view in range(count)]
    hard_labels_N = torch.tensor([label for split in splits for label in facts.labels[split]])
    soft_VNC = torch.cat([soft_labels.log_probs_VNC[split][:count] for split in splits], dim=1)
    return TrainingSet(
        views,
        hard_labels_N,
        soft_VNC,
        len(facts.classes),
        normalisation,
        job.settings.distill.temperature,
        final_phase=_final_phase(job, facts, final_phase),
    )


def _final_phase(job: Job, facts: ContestFacts, fraction: float) -> FinalPhase | None:
    """The final phase of a student for the test images, which come last in the set."""
    own = job.settings.distill.final_phase
    if own.images == "none":
        return None
    others = sum(len(facts.ids[split]) for split in job.request.labelled_splits)
    rows_N = torch.arange(others, others + len(facts.ids["testing"]))
    return FinalPhase(rows_N, fraction, own.test_share)


def _validate(
    job: Job,
    device: Device,
    network: nn.Module,
    normalisation: Normalisation,
    facts: ContestFacts,
    soft_labels: SoftLabels,
) -> dict[str, float]:
    """Figures of validation, or where none may be claimed there, the fidelity on the test images."""
    split = "validation" if "validation" in job.request.claimable_splits else "testing"
    images_NHWC = np.load(job.run.clean(split), mmap_mode="r")
    log_probs_NC = predict_log_probs(network, images_NHWC, normalisation, device)
    return evaluate_split(job, facts, split, log_probs_NC, soft_labels)
