"""Given soft labels (--soft-labels): one file as it is, or the mean of several.

V views of a split, N images, C classes.
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.data.soft_labels import SoftLabels, load_soft_labels
from pipeline.runtime.atomic import file_digest
from pipeline.runtime.errors import RequestError
from pipeline.runtime.request import Job
from pipeline.stages.teacher.blend import ensemble_weights
from pipeline.training.ensemble import blend

MEMBER_FACTS = ("network", "seed", "parameters", "epochs", "validation_accuracy", "seconds")  # in a manifest


def load_given_soft_labels(job: Job) -> list[SoftLabels]:
    """The files of --soft-labels, in order.

    Raises RequestError for a file of something else, or one whose teachers were trained on validation.
    """
    loaded = [load_soft_labels(Path(path)) for path in job.request.soft_labels]
    for path, labels in zip(job.request.soft_labels, loaded, strict=True):
        if labels.final and not job.request.final:
            raise RequestError(
                f"{path}: made with --final, its teachers were trained on validation; give --final here too"
            )
    return loaded


def average_soft_labels(job: Job, files: Sequence[SoftLabels]) -> tuple[SoftLabels, dict[str, Any]]:
    """One file's soft labels as they are, or the mean of several; and notes about fitted weights.

    Of the views that all of them have. The files were made for the same images.
    """
    first = files[0]
    if len(files) == 1:
        return first, {}
    clean_MNC = np.stack([labels.log_probs_VNC["validation"][0].float().numpy() for labels in files])
    weights, notes = ensemble_weights(job, clean_MNC)
    log_probs, digests = {}, {}
    for split, recorded in first.view_digests.items():
        views = min(len(labels.view_digests[split]) for labels in files)
        parts_MVNC = torch.stack([labels.log_probs_VNC[split][:views] for labels in files])
        log_probs[split] = torch.stack([blend(parts_MVNC[:, view], weights).half() for view in range(views)])
        digests[split] = recorded[:views]
    return dataclasses.replace(first, log_probs_VNC=log_probs, view_digests=digests), notes


def all_recorded_members(job: Job) -> list[dict[str, Any]]:
    """The members behind the given files, file after file."""
    files = [Path(path) for path in job.request.soft_labels]
    return [member for path in files for member in recorded_members(path.parent / "manifest.json", file_digest(path))]


def recorded_members(manifest: Path, labels_digest: str) -> list[dict[str, Any]]:
    """The members that made the soft labels of a submission, by its manifest; empty where that is unknown."""
    try:
        recorded = json.loads(manifest.read_text())
        members = [{key: member[key] for key in MEMBER_FACTS} for member in recorded["teacher"]["members"]]
        return members if labels_digest in recorded["sha256"].values() else []
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # something else of that name, or nothing
        return []
