"""Distill: the student learns the soft labels of every stored view, and the hard labels where there are some.

Reads: student views, soft labels, labels. Writes: student/student.safetensors (the last epoch's moving average,
float32), one line per epoch in metrics.jsonl.
"""

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.atomic import append_line, value_digest
from pipeline.console import say
from pipeline.data.contest_file import ContestFacts, load_contest
from pipeline.receipts import Step, output_digest, run_step, view_digests
from pipeline.request import Job

if TYPE_CHECKING:
    from torch import nn

    from pipeline.data.batches import Normalisation, TrainingSet
    from pipeline.data.soft_labels import SoftLabels
    from pipeline.learning.device import Device
    from pipeline.learning.training import EpochReport, Trained


def distill_student(job: Job, device: "Device") -> None:
    """Train the student on the views and their soft labels."""
    from models.students import count_parameters
    from pipeline.data.tensor_file import save_tensors

    step = _step(job)

    def work() -> dict[str, Any]:
        network, distill = _build(job), job.settings.distill
        say(
            f"student: {distill.network}, {count_parameters(network):,} parameters, {distill.epochs} epochs "
            f"on {device.name}, {job.request.protocol}"
        )
        identity = value_digest([step.reads, step.settings, step.version, str(device.dtype)])
        trained = _train(job, device, network, identity)
        save_tensors(job.run.student, trained.network.state_dict(), {"network": distill.network})
        job.run.checkpoint(job.run.student).unlink(missing_ok=True)
        facts = {"parameters": count_parameters(network), "device": device.description}
        return facts | {"earlier_seconds": trained.earlier_seconds}

    run_step(job.run, step, work, full_check=job.full_check)


def _step(job: Job) -> Step:
    reads = {
        "contest": output_digest(job.run, "prepare-decode", job.run.contest),
        "soft labels": output_digest(job.run, "export-soft-labels", job.run.soft_labels),
    }
    for split in job.request.student_splits:
        reads |= view_digests(job.run, "student", split, job.settings.views.student_views)
    settings = job.settings.distill.shaping() | {"image_size": job.settings.data.image_size}
    return Step("distill", 1, reads, settings, (job.run.student,))


def _build(job: Job) -> "nn.Module":
    import torch

    from models.networks import STUDENTS
    from models.students import build_student

    distill, facts = job.settings.distill, load_contest(job.run.contest)
    torch.manual_seed(distill.seed)
    image_size = job.settings.data.image_size
    return build_student(STUDENTS[distill.network], classes=len(facts.classes), image_size=image_size)


def _train(job: Job, device: "Device", network: "nn.Module", identity: str) -> "Trained":
    from pipeline.data.batches import Normalisation
    from pipeline.data.soft_labels import load_soft_labels
    from pipeline.learning.losses import student_loss
    from pipeline.learning.schedule import validates_after
    from pipeline.learning.training import Training, train

    facts, labels = load_contest(job.run.contest), load_soft_labels(job.run.soft_labels)
    distill, normalisation = job.settings.distill, Normalisation(facts.mean, facts.std)
    loss_of = functools.partial(student_loss, alpha=distill.alpha, temperature=distill.temperature)

    def on_epoch(report: "EpochReport") -> None:
        line = {"stage": "distill", "epoch": report.epoch, "loss": report.loss}
        looked_at = validates_after(report.epoch, distill.epochs)
        found = _validate(job, device, report.network, normalisation, facts, labels) if looked_at else {}
        shown = "".join(f", {name.replace('_', ' ')} {value:.2%}" for name, value in found.items())
        line |= found
        line |= {"learning_rate": report.learning_rate, "seconds": round(report.seconds, 3)}
        append_line(job.run.metrics, line)
        of = f"{report.epoch} of {distill.epochs}"
        say(f"student: epoch {of}, loss {report.loss:.4f}{shown}, {report.seconds:.1f} s")

    training = Training("student", distill, distill.seed, job.run.checkpoint(job.run.student), identity)
    return train(network, _training_set(job, facts, labels, normalisation), loss_of, training, device, on_epoch)


def _training_set(job: Job, facts: ContestFacts, labels: "SoftLabels", normalisation: "Normalisation") -> "TrainingSet":
    import torch

    from pipeline.data.batches import TrainingSet

    splits, count = job.request.student_splits, job.settings.views.student_views
    views = [[job.run.view("student", split, view) for split in splits] for view in range(count)]
    hard_labels_N = torch.tensor([label for split in splits for label in facts.labels[split]])
    soft_VNC = torch.cat([labels.log_probs_VNC[split][:count] for split in splits], dim=1)
    return TrainingSet(
        views, hard_labels_N, soft_VNC, len(facts.classes), normalisation, job.settings.distill.temperature
    )


def _validate(
    job: Job,
    device: "Device",
    network: "nn.Module",
    normalisation: "Normalisation",
    facts: ContestFacts,
    labels: "SoftLabels",
) -> dict[str, float]:
    """Validation accuracy and agreement with the ensemble there; under --final, agreement on the test images alone."""
    from pipeline.learning.inference import accuracy, agreement, predict_log_probs

    split = "testing" if job.request.final else "validation"
    images_NHWC = np.load(job.run.clean(split), mmap_mode="r")
    log_probs_NC = predict_log_probs(network, images_NHWC, normalisation, device)
    agreed = agreement(log_probs_NC, labels.log_probs_VNC[split][0].float().numpy())
    if job.request.final:
        return {"testing_agreement": agreed}
    right = accuracy(log_probs_NC, np.array(facts.labels["validation"]))
    return {"validation_accuracy": right, "validation_agreement": agreed}
