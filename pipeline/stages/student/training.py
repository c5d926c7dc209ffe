"""How a student is trained, with float weights or low-bit ones: views, soft labels, loss, what an epoch reports."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.contest.facts import ContestFacts, load_contest
from pipeline.runtime.atomic import append_line
from pipeline.runtime.console import say
from pipeline.runtime.request import Job
from pipeline.runtime.settings import TrainingSettings
from pipeline.runtime.steps import output_digest, view_digests

if TYPE_CHECKING:
    from torch import nn

    from pipeline.data.batches import EndGame, Normalisation, TrainingSet
    from pipeline.data.soft_labels import SoftLabels
    from pipeline.runtime.device import Device
    from pipeline.training.loop import EpochReport, Trained


@dataclass(frozen=True)
class StudentTraining:
    """One training of the student: what it is called, how it learns, where its half-trained state lies, what it is."""

    label: str
    stage: str  # in the metrics
    settings: TrainingSettings
    end_game: float  # part of its epochs, where the focus is on test images
    checkpoint: Path
    identity: str


def student_reads(job: Job) -> dict[str, str]:
    """Digests of everything that a student learns from."""
    reads = {
        "contest": output_digest(job.run, "prepare-decode", job.run.contest),
        "soft labels": output_digest(job.run, "export-soft-labels", job.run.soft_labels),
    }
    for split in job.request.student_splits:
        reads |= view_digests(job.run, "student", split, job.settings.views.student_views)
    return reads


def train_student(job: Job, device: "Device", network: "nn.Module", own: StudentTraining) -> "Trained":
    """Train a network on the run's views and soft labels; loss, temperature and seed are those of [distill]."""
    from pipeline.data.batches import Normalisation
    from pipeline.data.soft_labels import load_soft_labels
    from pipeline.training.loop import Training, train
    from pipeline.training.losses import student_loss
    from pipeline.training.schedule import validates_after

    facts, labels = load_contest(job.run.contest), load_soft_labels(job.run.soft_labels)
    distill, normalisation = job.settings.distill, Normalisation(facts.mean, facts.std)
    loss_of = functools.partial(student_loss, alpha=distill.alpha, temperature=distill.temperature)

    def on_epoch(report: "EpochReport") -> None:
        line = {"stage": own.stage, "epoch": report.epoch, "loss": report.loss}
        looked_at = validates_after(report.epoch, own.settings.epochs)
        found = _validate(job, device, report.network, normalisation, facts, labels) if looked_at else {}
        shares = {name: value for name, value in found.items() if not name.endswith("divergence")}
        shown = "".join(f", {name.replace('_', ' ')} {value:.2%}" for name, value in shares.items())
        line |= found
        line |= {"learning_rate": report.learning_rate, "seconds": round(report.seconds, 3)}
        append_line(job.run.metrics, line)
        of = f"{report.epoch} of {own.settings.epochs}"
        say(f"{own.label}: epoch {of}, loss {report.loss:.4f}{shown}, {report.seconds:.1f} s")

    training = Training(own.label, own.settings, distill.seed, own.checkpoint, own.identity)
    training_set = _training_set(job, facts, labels, normalisation, own.end_game)
    return train(network, training_set, loss_of, training, device, on_epoch)


def _training_set(
    job: Job, facts: ContestFacts, labels: "SoftLabels", normalisation: "Normalisation", end_game: float
) -> "TrainingSet":
    import torch

    from pipeline.data.batches import TrainingSet

    splits, count = job.request.student_splits, job.settings.views.student_views
    views = [[job.run.view("student", split, view) for split in splits] for view in range(count)]
    hard_labels_N = torch.tensor([label for split in splits for label in facts.labels[split]])
    soft_VNC = torch.cat([labels.log_probs_VNC[split][:count] for split in splits], dim=1)
    return TrainingSet(
        views,
        hard_labels_N,
        soft_VNC,
        len(facts.classes),
        normalisation,
        job.settings.distill.temperature,
        end_game=_end_game(job, facts, end_game),
    )


def _end_game(job: Job, facts: ContestFacts, part: float) -> "EndGame | None":
    """With the focus on them, the test images have a share of the last epochs: they come last in the set."""
    import torch

    from pipeline.data.batches import EndGame

    distill = job.settings.distill
    if distill.focus == "unseen":
        return None
    others = sum(len(facts.ids[split]) for split in job.request.labelled_splits)
    rows_N = torch.arange(others, others + len(facts.ids["testing"]))
    return EndGame(rows_N, part, distill.focus_share)


def _validate(
    job: Job,
    device: "Device",
    network: "nn.Module",
    normalisation: "Normalisation",
    facts: ContestFacts,
    labels: "SoftLabels",
) -> dict[str, float]:
    """Validation accuracy and fidelity to the ensemble there; under --final, fidelity on the test images alone."""
    from pipeline.training.inference import predict_log_probs
    from pipeline.training.metrics import accuracy, fidelity

    split = "testing" if job.request.final else "validation"
    images_NHWC = np.load(job.run.clean(split), mmap_mode="r")
    log_probs_NC = predict_log_probs(network, images_NHWC, normalisation, device)
    ensemble_NC = labels.log_probs_VNC[split][0].float().numpy()
    found = {f"{split}_{name}": value for name, value in fidelity(log_probs_NC, ensemble_NC).items()}
    if job.request.final:
        return found
    return {"validation_accuracy": accuracy(log_probs_NC, np.array(facts.labels["validation"]))} | found
