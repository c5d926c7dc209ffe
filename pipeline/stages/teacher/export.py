"""Export: every member's log_probs for every student view, once; then, cheaply, the soft labels.

Reads: members, student views. Writes: members/<i>/log_probs.safetensors (float16 [V, N, C] per split),
soft_labels.safetensors. Validation and, in an inductive run, testing have their clean view only: nothing learns from
them there.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.contest.facts import load_contest
from pipeline.data.soft_labels import SoftLabels, check_soft_labels, save_soft_labels
from pipeline.runtime.artifacts import digests
from pipeline.runtime.atomic import file_digest
from pipeline.runtime.console import progress, say
from pipeline.runtime.device import Device
from pipeline.runtime.folder import SPLITS
from pipeline.runtime.request import Job
from pipeline.runtime.steps import Step, read_notes, run_step
from pipeline.runtime.tensor_file import save_tensors
from pipeline.stages.evaluation import evaluate_split
from pipeline.stages.teacher.blend import blend_members, check_enough_images
from pipeline.stages.teacher.given_soft_labels import all_recorded_members, average_soft_labels, load_given_soft_labels
from pipeline.stages.teacher.parallel_members import work_on_members
from pipeline.training.inference import predict_log_probs
from pipeline.training.members import load_member


def export(job: Job, device: Device) -> None:
    """Make the soft labels from the members, or take the given ones of --soft-labels."""
    if job.request.soft_labels:
        _take_given(job)
        return
    work_on_members(job, device, _export_member, _export_step, range(len(job.settings.teach.members)))
    _blend(job)


def _view_reads(job: Job) -> dict[str, str]:
    inputs = {"contest": job.artifacts.contest}
    for split in SPLITS:
        inputs |= job.artifacts.views("student", split, job.student_views(split))
    return digests(inputs)


def _digests_by_split(job: Job) -> dict[str, tuple[str, ...]]:
    views = {split: job.artifacts.views("student", split, job.student_views(split)) for split in SPLITS}
    return {split: tuple(digests(of_split).values()) for split, of_split in views.items()}


def _export_step(job: Job, member: int) -> Step:
    reads = {"member": job.artifacts.member(member).digest()} | _view_reads(job)
    settings = {"tta_flip": job.settings.export.tta_flip, "size": job.settings.teach.members[member].inference_size}
    return Step(f"export-{member:02d}", 2, reads, settings, (job.run.member_log_probs(member),))


def _export_member(job: Job, device: Device, member: int) -> None:
    def work() -> dict[str, Any]:
        log_probs = _predict_views(job, device, member)
        save_tensors(job.run.member_log_probs(member), log_probs, {})
        return evaluate_split(
            job, load_contest(job.run.contest), "validation", log_probs["validation"][0].float().numpy()
        )

    if run_step(job.run, _export_step(job, member), work, full_check=job.full_check):
        _say_accuracy(job, f"export-{member:02d}", f"member {member}")


def _predict_views(job: Job, device: Device, member: int) -> dict[str, Tensor]:
    """float16 log-probabilities [V, N, C] of every split."""
    row, facts = job.settings.teach.members[member], load_contest(job.run.contest)
    network, normalisation = load_member(job.run.member(member), row, facts, job.settings.data.image_size)
    network.to(device.where).to(memory_format=torch.channels_last)
    log_probs: dict[str, Tensor] = {}
    with progress(f"predictions of member {member}", sum(job.student_views(split) for split in SPLITS)) as on_done:
        for split in SPLITS:
            views = []
            for view in range(job.student_views(split)):
                images_NHWC = np.load(job.run.view("student", split, view), mmap_mode="r")
                flip = job.settings.export.tta_flip is True or (job.settings.export.tta_flip == "clean" and view == 0)
                log_probs_NC = predict_log_probs(network, images_NHWC, normalisation, device, tta_flip=flip)
                views.append(torch.from_numpy(log_probs_NC).half())
                on_done(1)
            log_probs[split] = torch.stack(views)
    return log_probs


def _blend(job: Job) -> None:
    members = len(job.settings.teach.members)
    inputs = {f"member {i}": job.artifacts.member_log_probs(i) for i in range(members)}
    reads = digests(inputs | {"contest": job.artifacts.contest})
    settings = job.settings.export.model_dump(mode="json", exclude={"tta_flip"}) | {"final": job.request.final}
    if job.settings.teach.folds or job.settings.export.weights == "fitted":
        settings |= {"folds": job.settings.teach.folds, "seed": job.settings.data.seed}
    step = Step("export-soft-labels", 1, reads, settings, (job.run.soft_labels,))

    def work() -> dict[str, Any]:
        facts, views = load_contest(job.run.contest), job.settings.views
        log_probs, notes = blend_members(job)
        soft_labels = SoftLabels(
            classes=facts.classes,
            ids=facts.ids,
            log_probs_VNC=log_probs,
            view_digests=_digests_by_split(job),
            policy=views.student_policy,
            seed=views.seed,
            final=job.request.final,
        )
        save_soft_labels(job.run.soft_labels, soft_labels)
        return notes | evaluate_split(job, facts, "validation", log_probs["validation"][0].float().numpy())

    if run_step(job.run, step, work, full_check=job.full_check):
        _say_accuracy(job, "export-soft-labels", f"ensemble of {members}")


def _take_given(job: Job) -> None:
    files = load_given_soft_labels(job)
    settings: dict[str, Any] = {"final": job.request.final}
    if len(files) > 1:
        settings |= {"weights": job.settings.export.weights, "seed": job.settings.data.seed}
    reads = {
        f"soft labels {i}": file_digest(Path(path)) for i, path in enumerate(job.request.soft_labels)
    } | _view_reads(job)
    step = Step("export-soft-labels", 1, reads, settings, (job.run.soft_labels,))

    def work() -> dict[str, Any]:
        facts = load_contest(job.run.contest)
        views = {split: list(of_split) for split, of_split in _digests_by_split(job).items()}
        for path, labels in zip(job.request.soft_labels, files, strict=True):
            check_soft_labels(labels, path, facts.classes, facts.ids, views)
        check_enough_images(job)
        labels, notes = average_soft_labels(job, files)
        save_soft_labels(job.run.soft_labels, labels)
        notes |= {"members": all_recorded_members(job)}
        log_probs_NC = labels.log_probs_VNC["validation"][0].float().numpy()
        return notes | evaluate_split(job, facts, "validation", log_probs_NC)

    if run_step(job.run, step, work, full_check=job.full_check):
        _say_accuracy(job, "export-soft-labels", f"soft labels of {' and '.join(job.request.soft_labels)}")


def _say_accuracy(job: Job, step_name: str, who: str) -> None:
    notes = read_notes(job.run, step_name)
    if "validation_accuracy" in notes:
        say(f"{who}: validation {notes['validation_accuracy']:.2%}")
