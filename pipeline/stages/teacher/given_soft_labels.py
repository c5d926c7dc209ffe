"""Given soft labels (--soft-labels): one file as it is, or the mean of several.

V views of a split, N images, C classes.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.contest.facts import ContestFacts, load_contest
from pipeline.data.soft_labels import SoftLabels, check_soft_labels, load_soft_labels, save_soft_labels
from pipeline.runtime.artifacts import GivenFile
from pipeline.runtime.console import say
from pipeline.runtime.errors import RequestError
from pipeline.runtime.records import MemberRecord, read_manifest
from pipeline.runtime.request import Job
from pipeline.runtime.section import Section
from pipeline.runtime.steps import Input, Notes, Opened, Step
from pipeline.stages.evaluation import evaluate_split
from pipeline.stages.teacher.blend import Weights, ensemble_weights, fit_seed
from pipeline.stages.teacher.student_views import digests_by_split, student_view_counts, student_view_inputs
from pipeline.training.ensemble import blend


class GivenSettings(Section):
    """What decides the soft labels of a run that was given some, beside the files."""

    files: int
    final: bool
    weights: Weights
    fit_seed: int | None
    views: dict[str, int]
    claimable_splits: tuple[str, ...]


def given_soft_labels_step(job: Job) -> Step[GivenSettings]:
    """The step that takes in the given files."""
    files = [Path(path) for path in job.request.soft_labels]
    inputs: dict[str, Input] = {"contest": job.artifacts.contest, **student_view_inputs(job)}
    inputs |= {given_name(i): GivenFile(path) for i, path in enumerate(files)}
    manifests = {f"manifest {i}": _manifest_beside(path) for i, path in enumerate(files)}
    inputs |= {name: GivenFile(path) for name, path in manifests.items() if path.is_file()}
    several = len(files) > 1
    settings = GivenSettings(
        files=len(files),
        final=job.request.final,
        weights=job.settings.export.weights if several else (),
        fit_seed=fit_seed(job) if several else None,
        views=student_view_counts(job),
        claimable_splits=job.request.claimable_splits,
    )
    output = job.artifacts.soft_labels
    return Step(job.run, output.step, 2, inputs, settings, {"soft labels": output}, _take_given)


def given_name(number: int) -> str:
    """The name of a given file among the inputs of its step."""
    return f"soft labels {number}"


def load_given_soft_labels(job: Job) -> list[SoftLabels]:
    """The files of --soft-labels, in order.

    Raises RequestError for a file of something else, or one whose teachers were trained on validation.
    """
    return _load([Path(path) for path in job.request.soft_labels], final=job.request.final)


def recorded_members(manifest: Path, labels_digest: str) -> list[MemberRecord]:
    """The members that made the soft labels of a submission, by its manifest; empty where that is unknown."""
    try:
        recorded = read_manifest(manifest)
    except (OSError, ValueError):  # something else of that name, or nothing
        return []
    known = recorded.teacher is not None and labels_digest in recorded.sha256.values()
    return list(recorded.teacher.members) if known and recorded.teacher else []


def average_soft_labels(
    own: GivenSettings, facts: ContestFacts, files: Sequence[SoftLabels]
) -> tuple[SoftLabels, dict[str, Any]]:
    """One file's soft labels as they are, or the mean of several; and notes about fitted weights.

    Of the views that all of them have. The files were made for the same images.
    """
    first = files[0]
    if len(files) == 1:
        return first, {}
    clean_MNC = np.stack([labels.log_probs_VNC["validation"][0].float().numpy() for labels in files])
    weights, notes = ensemble_weights(own.weights, own.fit_seed, facts, clean_MNC)
    log_probs, digests = {}, {}
    for split, recorded in first.view_digests.items():
        views = min(len(labels.view_digests[split]) for labels in files)
        parts_MVNC = torch.stack([labels.log_probs_VNC[split][:views] for labels in files])
        log_probs[split] = torch.stack([blend(parts_MVNC[:, view], weights).half() for view in range(views)])
        digests[split] = recorded[:views]
    return dataclasses.replace(first, log_probs_VNC=log_probs, view_digests=digests), notes


def _take_given(opened: Opened[GivenSettings]) -> Notes:
    own, facts = opened.settings, load_contest(opened.inputs["contest"])
    paths = [opened.inputs[given_name(i)] for i in range(own.files)]
    files = _load(paths, final=own.final)
    views = {split: list(digests) for split, digests in digests_by_split(opened.digests, own.views).items()}
    for path, labels in zip(paths, files, strict=True):
        check_soft_labels(labels, str(path), facts.classes, facts.ids, views)
    labels, notes = average_soft_labels(own, facts, files)
    save_soft_labels(opened.outputs["soft labels"], labels)
    notes |= {"members": [member.model_dump(mode="json") for member in _members_behind(opened)]}
    log_probs_NC = labels.log_probs_VNC["validation"][0].float().numpy()
    figures = evaluate_split(own.claimable_splits, facts, "validation", log_probs_NC)
    if figures:
        say(f"soft labels of {' and '.join(map(str, paths))}: validation {figures['validation_accuracy']:.2%}")
    return notes | figures


def _members_behind(opened: Opened[GivenSettings]) -> list[MemberRecord]:
    """The members behind the given files, file after file."""
    inputs: Mapping[str, Path] = opened.inputs
    numbers = [i for i in range(opened.settings.files) if f"manifest {i}" in inputs]
    found = [recorded_members(inputs[f"manifest {i}"], opened.digests[given_name(i)]) for i in numbers]
    return [member for members in found for member in members]


def _load(paths: Sequence[Path], *, final: bool) -> list[SoftLabels]:
    loaded = [load_soft_labels(path) for path in paths]
    for path, labels in zip(paths, loaded, strict=True):
        if labels.final and not final:
            raise RequestError(
                f"{path}: made with --final, its teachers were trained on validation; give --final here too"
            )
    return loaded


def _manifest_beside(path: Path) -> Path:
    return path.parent / "manifest.json"
