"""Export: every member's log_probs for every student view, once; then, cheaply, the soft labels.

Reads: members, student views. Writes: members/<i>/log_probs.safetensors (float16 [V, N, C] per split),
soft_labels.safetensors. Validation and, in an inductive run, testing have their clean view only: nothing learns from
them there.
"""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from pipeline.contest.facts import ContestFacts, load_contest
from pipeline.data.soft_labels import SoftLabels, save_soft_labels
from pipeline.runtime.artifacts import view_name
from pipeline.runtime.console import progress, say
from pipeline.runtime.device import pick_device
from pipeline.runtime.request import Job
from pipeline.runtime.section import Section
from pipeline.runtime.settings import StepDevice
from pipeline.runtime.steps import Input, Notes, Opened, Step
from pipeline.runtime.tensor_file import save_tensors
from pipeline.runtime.training_settings import MemberSettings
from pipeline.runtime.waves import Wave
from pipeline.stages.evaluation import evaluate_split
from pipeline.stages.teacher.blend import BlendSettings, blend_members, blend_settings, check_enough_images
from pipeline.stages.teacher.given_soft_labels import given_soft_labels_step
from pipeline.stages.teacher.member_steps import members_at_once, row_of_predictions
from pipeline.stages.teacher.student_views import digests_by_split, student_view_counts, student_view_inputs
from pipeline.training.inference import predict_log_probs
from pipeline.training.members import load_member


class ExportStepSettings(Section):
    """What decides a member's log_probs, beside the member and the views."""

    member: int
    row: MemberSettings
    image_size: int
    tta_flip: bool | Literal["clean"]
    views: dict[str, int]
    claimable_splits: tuple[str, ...]
    device: StepDevice


class SoftLabelSettings(Section):
    """What decides the soft labels, beside the members' log_probs; and what their file says of itself."""

    members: int
    blend: BlendSettings
    final: bool
    policy: str
    mixed: bool
    seed: int
    views: dict[str, int]
    claimable_splits: tuple[str, ...]


def export(job: Job) -> Iterator[Wave]:
    """Make the soft labels from the members, or take the given ones of --soft-labels."""
    check_enough_images(job)
    if job.request.soft_labels:
        yield Wave([given_soft_labels_step(job)])
        return
    members = range(len(job.settings.teach.members))
    yield Wave([_export_step(job, member) for member in members], members_at_once(job))
    yield Wave([_blend_step(job)])


def _export_step(job: Job, member: int) -> Step[ExportStepSettings]:
    artifacts = job.artifacts
    inputs: dict[str, Input] = {"member": artifacts.member(member), "contest": artifacts.contest}
    settings = ExportStepSettings(
        member=member,
        row=row_of_predictions(job.settings.teach.members[member]),
        image_size=job.settings.data.image_size,
        tta_flip=job.settings.export.tta_flip,
        views=student_view_counts(job),
        claimable_splits=job.request.claimable_splits,
        device=job.device,
    )
    output = artifacts.member_log_probs(member)
    inputs |= student_view_inputs(job)
    return Step(job.run, output.step, 3, inputs, settings, {"log_probs": output}, _export_member)


def _export_member(opened: Opened[ExportStepSettings]) -> Notes:
    own, facts = opened.settings, load_contest(opened.inputs["contest"])
    log_probs = _predict_views(opened, facts)
    save_tensors(opened.outputs["log_probs"], log_probs, {})
    clean_NC = log_probs["validation"][0].float().numpy()
    figures = evaluate_split(own.claimable_splits, facts, "validation", clean_NC)
    _say_accuracy(figures, f"member {own.member}")
    return figures


def _predict_views(opened: Opened[ExportStepSettings], facts: ContestFacts) -> dict[str, Tensor]:
    """float16 log-probabilities [V, N, C] of every split."""
    own, device = opened.settings, pick_device(opened.settings.device)
    network, normalisation = load_member(opened.inputs["member"], own.row, facts, own.image_size)
    network.to(device.where).to(memory_format=torch.channels_last)
    log_probs: dict[str, Tensor] = {}
    with progress(f"predictions of member {own.member}", sum(own.views.values())) as on_done:
        for split, count in own.views.items():
            views = []
            for view in range(count):
                images_NHWC = np.load(opened.inputs[view_name(split, view)], mmap_mode="r")
                flip = own.tta_flip is True or (own.tta_flip == "clean" and view == 0)
                log_probs_NC = np.zeros((0, len(facts.classes)), np.float32)  # of a contest without test images
                if len(images_NHWC):
                    log_probs_NC = predict_log_probs(network, images_NHWC, normalisation, device, tta_flip=flip)
                views.append(torch.from_numpy(log_probs_NC).half())
                on_done(1)
            log_probs[split] = torch.stack(views)
    return log_probs


def _blend_step(job: Job) -> Step[SoftLabelSettings]:
    members, views = len(job.settings.teach.members), job.settings.views
    inputs: dict[str, Input] = {_member_name(i): job.artifacts.member_log_probs(i) for i in range(members)}
    inputs |= {"contest": job.artifacts.contest, **student_view_inputs(job)}
    settings = SoftLabelSettings(
        members=members,
        blend=blend_settings(job),
        final=job.request.final,
        policy=views.student_policy,
        mixed=job.request.mixes_views,
        seed=views.seed,
        views=student_view_counts(job),
        claimable_splits=job.request.claimable_splits,
    )
    output = job.artifacts.soft_labels
    return Step(job.run, output.step, 2, inputs, settings, {"soft labels": output}, _blend)


def _member_name(member: int) -> str:
    return f"member {member}"


def _blend(opened: Opened[SoftLabelSettings]) -> Notes:
    own, facts = opened.settings, load_contest(opened.inputs["contest"])
    members = [opened.inputs[_member_name(i)] for i in range(own.members)]
    log_probs, notes = blend_members(own.blend, facts, members)
    soft_labels = SoftLabels(
        classes=facts.classes,
        ids=facts.ids,
        log_probs_VNC=log_probs,
        view_digests=digests_by_split(opened.digests, own.views),
        policy=own.policy,
        mixed=own.mixed,
        seed=own.seed,
        final=own.final,
    )
    save_soft_labels(opened.outputs["soft labels"], soft_labels)
    clean_NC = log_probs["validation"][0].float().numpy()
    figures = evaluate_split(own.claimable_splits, facts, "validation", clean_NC)
    _say_accuracy(figures, f"ensemble of {own.members}")
    return notes | figures


def _say_accuracy(figures: dict[str, float], who: str) -> None:
    if figures:
        say(f"{who}: validation {figures['validation_accuracy']:.2%}")
