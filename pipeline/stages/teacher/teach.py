"""Teach: train every member of the ensemble, or take in a supplied one.

Reads: teacher views, labels. Writes: members/<i>/member.safetensors (float32), one line per epoch in metrics.jsonl.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.compress.batchnorm_recalibration import recalibrate_batchnorm
from models.teachers.short_resnet import WhitenedPatches
from pipeline.contest.facts import ContestFacts, load_contest
from pipeline.data.batches import Normalisation, TrainingSet, size_at
from pipeline.data.folds import fold_of_images, rows_of_member
from pipeline.runtime.artifacts import digests
from pipeline.runtime.atomic import append_line, file_digest, value_digest
from pipeline.runtime.console import say
from pipeline.runtime.device import Device
from pipeline.runtime.errors import RequestError
from pipeline.runtime.request import Job
from pipeline.runtime.steps import Step, run_step
from pipeline.runtime.tensor_file import save_tensors
from pipeline.runtime.training_settings import MemberSettings
from pipeline.stages.calibration import calibration_images
from pipeline.stages.evaluation import evaluate_split
from pipeline.stages.teacher.blend import check_enough_images, labels_for_teaching
from pipeline.stages.teacher.parallel_members import work_on_members
from pipeline.training.inference import predict_log_probs
from pipeline.training.loop import EpochResult, TrainingPlan, TrainingResult, train
from pipeline.training.losses import member_loss
from pipeline.training.members import AtSize, build_member, inference_member, member_normalisation, supplied_member
from pipeline.training.schedule import validates_after


def teach(job: Job, device: Device, only: int | None = None) -> None:
    """Train the members, or the one member `only`. Raises RequestError when the ensemble has none, or not that one."""
    members = job.settings.teach.members
    if job.request.soft_labels:
        given = " ".join(job.request.soft_labels)
        raise RequestError(f"run {job.run.name} was given --soft-labels {given}: it has no members to teach")
    if not members:
        raise RequestError(f"preset {job.request.preset}: teach.members is empty, expected at least one row")
    if only is not None and not 0 <= only < len(members):
        raise RequestError(f"--member {only}: the ensemble has members 0 to {len(members) - 1}")
    check_enough_images(job)
    if only is not None:  # alone on its machine: all cores are its own
        _teach_member(job, device, only)
    else:
        work_on_members(job, device, _teach_member, member_step, range(len(members)))


def member_step(job: Job, member: int) -> Step:
    """The step that makes a member."""
    row = job.settings.teach.members[member]
    reads = {"contest": job.artifacts.contest.digest()}
    if row.weights:
        reads["weights"] = _weights_digest(row)
    else:
        for split in job.request.labelled_splits:
            reads |= digests(job.artifacts.views(job.teacher_bank(row), split, job.settings.views.teacher_views))
    settings = row.shaping() | {"image_size": job.settings.data.image_size}
    if job.settings.teach.folds:
        settings |= {"folds": job.settings.teach.folds, "member": member, "fold_seed": job.settings.data.seed}
    return Step(f"teach-{member:02d}", 3, reads, settings, (job.run.member(member),))


def _teach_member(job: Job, device: Device, member: int) -> None:
    row, step = job.settings.teach.members[member], member_step(job, member)

    def work() -> dict[str, Any]:
        facts = load_contest(job.run.contest)
        torch.manual_seed(row.seed)
        if row.weights:
            network = supplied_member(row, facts, job.settings.data.image_size)
            save_tensors(job.run.member(member), network.state_dict(), {})
            return {"supplied": True}
        network = build_member(row, facts, job.settings.data.image_size, pretrained=row.pretrained)
        notes = {"network": row.network, "parameters": sum(p.numel() for p in network.parameters())}
        say(f"member {member}: {row.network}, {notes['parameters']:,} parameters, {row.epochs} epochs on {device.name}")
        _whiten_patches(job, member, network, facts)
        identity = value_digest([step.reads, step.settings, step.version, str(device.dtype)])
        trained = _train(job, device, member, network, facts, identity)
        _recalibrate(job, device, member, trained.network, facts)
        save_tensors(job.run.member(member), trained.network.state_dict(), {})
        job.run.checkpoint(job.run.member(member)).unlink(missing_ok=True)
        return notes | {"device": device.description, "earlier_seconds": trained.earlier_seconds}

    run_step(job.run, step, work, full_check=job.full_check)


def _train(
    job: Job, device: Device, member: int, network: nn.Module, facts: ContestFacts, identity: str
) -> TrainingResult:
    row = job.settings.teach.members[member]
    normalisation = member_normalisation(row, network, facts)

    def on_epoch(result: EpochResult) -> None:
        line = {"stage": "teach", "member": member, "epoch": result.epoch, "loss": result.loss}
        if "validation" in job.request.claimable_splits and validates_after(result.epoch, row.epochs):
            predicting = AtSize(result.network, size_at(result.epoch - 1, epochs=row.epochs, sizes=row.sizes))
            line |= _validate(job, device, predicting, normalisation, facts)
        line |= {"learning_rate": result.learning_rate, "seconds": round(result.seconds, 3)}
        append_line(job.run.metrics, line)
        shown = f", validation {line['validation_accuracy']:.2%}" if "validation_accuracy" in line else ""
        of = f"{result.epoch} of {row.epochs}"
        say(f"member {member}: epoch {of}, loss {result.loss:.4f}{shown}, {result.seconds:.1f} s")

    training = TrainingPlan(f"member {member}", row, row.seed, job.run.checkpoint(job.run.member(member)), identity)
    return train(network, _training_set(job, member, facts, normalisation), member_loss, training, device, on_epoch)


def _recalibrate(job: Job, device: Device, member: int, network: nn.Module, facts: ContestFacts) -> None:
    """Recalibrate BatchNorm on clean images, which the member will predict: training saw mixed, augmented ones."""
    predicting = inference_member(network, job.settings.teach.members[member])
    images = _calibration_images(job, member, network, facts)
    with device.autocast():
        recalibrate_batchnorm(predicting, [batch.to(device.where) for batch in images])


def _whiten_patches(job: Job, member: int, network: nn.Module, facts: ContestFacts) -> None:
    """Set the filters of whitened patches, where a network has some, by clean images of full size."""
    for module in network.modules():
        if isinstance(module, WhitenedPatches):
            module.whiten(_calibration_images(job, member, network, facts))


def _calibration_images(job: Job, member: int, network: nn.Module, facts: ContestFacts) -> list[Tensor]:
    """Clean images of full size in batches, of those that the member learns from, normalised as it expects them."""
    normalisation = member_normalisation(job.settings.teach.members[member], network, facts)
    return calibration_images(job, normalisation, _rows(job, member, facts))


def _rows(job: Job, member: int, facts: ContestFacts) -> Tensor | None:
    """The rows of the labelled images that a member trains on; None without folds: all of them."""
    folds = job.settings.teach.folds
    if not folds:
        return None
    return rows_of_member(fold_of_images(labels_for_teaching(job, facts), folds, job.settings.data.seed), member, folds)


def _training_set(job: Job, member: int, facts: ContestFacts, normalisation: Normalisation) -> TrainingSet:
    row, splits = job.settings.teach.members[member], job.request.labelled_splits
    bank, count = job.teacher_bank(row), job.settings.views.teacher_views
    views = [[job.run.view(bank, split, view) for split in splits] for view in range(count)]
    labels_N, rows_N = torch.tensor(labels_for_teaching(job, facts)), _rows(job, member, facts)
    return TrainingSet(views, labels_N, None, len(facts.classes), normalisation, sizes=row.sizes, rows_N=rows_N)


def _validate(
    job: Job, device: Device, network: nn.Module, normalisation: Normalisation, facts: ContestFacts
) -> dict[str, float]:
    images_NHWC = np.load(job.run.clean("validation"), mmap_mode="r")
    return evaluate_split(job, facts, "validation", predict_log_probs(network, images_NHWC, normalisation, device))


def _weights_digest(row: MemberSettings) -> str:
    path = Path(row.weights)
    if not path.is_file():
        raise RequestError(f"teach.members: weights: no such file {row.weights}")
    return file_digest(path)
