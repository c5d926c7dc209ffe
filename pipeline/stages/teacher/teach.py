"""Teach: train every member of the ensemble, or take in a supplied one.

Reads: teacher views, labels. Writes: members/<i>/member.safetensors (float32), members/<i>/metrics.jsonl.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
from pipeline.runtime.artifacts import GivenFile, views_of
from pipeline.runtime.console import say
from pipeline.runtime.device import Device, pick_device
from pipeline.runtime.errors import RequestError
from pipeline.runtime.records import EpochMetrics, append_epoch, keep_epochs
from pipeline.runtime.request import Job
from pipeline.runtime.section import Section
from pipeline.runtime.settings import StepDevice
from pipeline.runtime.steps import Input, Notes, Opened, Step
from pipeline.runtime.tensor_file import save_tensors
from pipeline.runtime.training_settings import MemberSettings
from pipeline.runtime.waves import Wave
from pipeline.stages.calibration import calibration_images
from pipeline.stages.evaluation import evaluate_split
from pipeline.stages.teacher.blend import Folds, check_enough_images, folds_of, labels_for_teaching
from pipeline.stages.teacher.member_steps import members_at_once, row_of_steps
from pipeline.training.inference import predict_log_probs
from pipeline.training.loop import EpochResult, TrainingPlan, TrainingResult, checkpoint_beside, train
from pipeline.training.losses import member_loss
from pipeline.training.members import AtSize, build_member, inference_member, member_normalisation, supplied_member
from pipeline.training.schedule import validates_after


class TeachStepSettings(Section):
    """What decides a member, beside its views."""

    member: int
    row: MemberSettings
    image_size: int
    views: int
    labelled_splits: tuple[str, ...]
    claimable_splits: tuple[str, ...]
    folds: Folds | None
    device: StepDevice


@dataclass(frozen=True)
class _Member:
    """A member in training: what its work needs again and again."""

    opened: Opened[TeachStepSettings]
    facts: ContestFacts
    network: nn.Module
    normalisation: Normalisation
    device: Device

    @property
    def row(self) -> MemberSettings:
        return self.opened.settings.row

    @property
    def rows(self) -> Tensor | None:
        """The rows of the labelled images that it trains on, int64; None without folds: all of them."""
        own = self.opened.settings
        if not own.folds:
            return None
        labels = labels_for_teaching(self.facts, own.labelled_splits)
        return rows_of_member(fold_of_images(labels, own.folds.count, own.folds.seed), own.member, own.folds.count)

    def calibration_images(self) -> list[Tensor]:
        """Clean images of full size, of those that it learns from, normalised as it expects them."""
        return calibration_images(self.opened.inputs["clean training"], self.normalisation, self.rows)


def teach(job: Job, only: int | None = None) -> Iterator[Wave]:
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
        yield Wave([teach_step(job, only)])
    else:
        yield Wave([teach_step(job, member) for member in range(len(members))], members_at_once(job))


def teach_step(job: Job, member: int) -> Step[TeachStepSettings]:
    """The step that makes a member."""
    row, request, artifacts = job.settings.teach.members[member], job.request, job.artifacts
    views = job.settings.views.teacher_views
    inputs: dict[str, Input] = {"contest": artifacts.contest}
    if row.weights:
        if not Path(row.weights).is_file():
            raise RequestError(f"teach.members: weights: no such file {row.weights}")
        inputs["weights"] = GivenFile(Path(row.weights))
    else:
        inputs |= {"clean training": artifacts.clean("training"), "clean validation": artifacts.clean("validation")}
        inputs |= views_of(artifacts, job.teacher_bank(row), dict.fromkeys(request.labelled_splits, views))
    settings = TeachStepSettings(
        member=member,
        row=row_of_steps(row),
        image_size=job.settings.data.image_size,
        views=views,
        labelled_splits=request.labelled_splits,
        claimable_splits=request.claimable_splits,
        folds=folds_of(job),
        device=job.device,
    )
    outputs = {"member": artifacts.member(member), "metrics": artifacts.member_metrics(member)}
    return Step(job.run, artifacts.member(member).step, 4, inputs, settings, outputs, _teach_member)


def _teach_member(opened: Opened[TeachStepSettings]) -> Notes:
    own, facts = opened.settings, load_contest(opened.inputs["contest"])
    torch.manual_seed(own.row.seed)
    if own.row.weights:
        network = supplied_member(own.row, opened.inputs["weights"], facts, own.image_size)
        save_tensors(opened.outputs["member"], network.state_dict(), {})
        keep_epochs(opened.outputs["metrics"], 0)
        return {"supplied": True}
    device = pick_device(own.device)
    network = build_member(own.row, facts, own.image_size, pretrained=own.row.pretrained)
    member = _Member(opened, facts, network, member_normalisation(own.row, network, facts), device)
    notes = {"network": own.row.network, "parameters": sum(p.numel() for p in network.parameters())}
    say(
        f"member {own.member}: {own.row.network}, {notes['parameters']:,} parameters, {own.row.epochs} epochs "
        f"on {device.name}"
    )
    _whiten_patches(member)
    trained = _train(member)
    _recalibrate(member, trained.network)
    save_tensors(opened.outputs["member"], trained.network.state_dict(), {})
    keep_epochs(opened.outputs["metrics"], own.row.epochs)
    checkpoint_beside(opened.outputs["member"]).unlink(missing_ok=True)
    return notes | {"device": device.description, "earlier_seconds": trained.earlier_seconds}


def _train(member: _Member) -> TrainingResult:
    opened, row = member.opened, member.row

    def on_epoch(result: EpochResult) -> None:
        figures = _validate(member, result) if validates_after(result.epoch, row.epochs, row.validate_every) else {}
        metrics = EpochMetrics(stage="teach", member=opened.settings.member, **result.figures(), **figures)
        append_epoch(opened.outputs["metrics"], metrics)
        shown = f", validation {metrics.validation_accuracy:.2%}" if figures else ""
        of = f"{result.epoch} of {row.epochs}"
        say(f"member {metrics.member}: epoch {of}, loss {result.loss:.4f}{shown}, {result.seconds:.1f} s")

    identity = f"{opened.identity}, {member.device.arithmetic}"
    label, checkpoint = f"member {opened.settings.member}", checkpoint_beside(opened.outputs["member"])
    plan = TrainingPlan(label, row, row.seed, checkpoint, identity)
    return train(member.network, _training_set(member), member_loss, plan, member.device, on_epoch)


def _training_set(member: _Member) -> TrainingSet:
    own, facts = member.opened.settings, member.facts
    return TrainingSet(
        member.opened.views(own.labelled_splits, own.views),
        torch.tensor(labels_for_teaching(facts, own.labelled_splits)),
        None,
        len(facts.classes),
        member.normalisation,
        sizes=own.row.sizes,
        rows_N=member.rows,
    )


def _validate(member: _Member, result: EpochResult) -> dict[str, Any]:
    own, row = member.opened.settings, member.row
    if "validation" not in own.claimable_splits:
        return {}
    predicting = AtSize(result.network, size_at(result.epoch - 1, epochs=row.epochs, sizes=row.sizes))
    images_NHWC = np.load(member.opened.inputs["clean validation"], mmap_mode="r")
    log_probs_NC = predict_log_probs(predicting, images_NHWC, member.normalisation, member.device)
    return evaluate_split(own.claimable_splits, member.facts, "validation", log_probs_NC)


def _recalibrate(member: _Member, network: nn.Module) -> None:
    """Recalibrate BatchNorm on clean images, which the member will predict: training saw mixed, augmented ones."""
    images: Sequence[Tensor] = member.calibration_images()
    with member.device.autocast():
        recalibrate_batchnorm(
            inference_member(network, member.row), [batch.to(member.device.where) for batch in images]
        )


def _whiten_patches(member: _Member) -> None:
    """Set the filters of whitened patches, where a network has some, by clean images of full size."""
    for module in member.network.modules():
        if isinstance(module, WhitenedPatches):
            module.whiten(member.calibration_images())
