"""Soft labels from elsewhere: one file as it is, or several as the mean of what their teachers say.

V views of a split, N images, C classes.
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.runtime.atomic import file_digest
from pipeline.runtime.errors import RequestError
from pipeline.runtime.request import Job
from pipeline.stages.teacher.blend import ensemble_weights

if TYPE_CHECKING:
    from pipeline.data.soft_labels import SoftLabels

MEMBER_FACTS = ("network", "seed", "parameters", "epochs", "validation_accuracy", "seconds")  # in a manifest


def load_labels(job: Job) -> "list[SoftLabels]":
    """The files of --labels, in order. Raises RequestError for one that is none, or whose teachers know validation."""
    from pipeline.data.soft_labels import load_soft_labels

    loaded = [load_soft_labels(Path(path)) for path in job.request.labels]
    for path, labels in zip(job.request.labels, loaded, strict=True):
        if labels.final and not job.request.final:
            raise RequestError(
                f"{path}: made with --final, its teachers know the validation labels; give --final here too"
            )
    return loaded


def blend_labels(job: Job, files: "Sequence[SoftLabels]") -> "tuple[SoftLabels, dict[str, Any]]":
    """One file's labels as they are, or the mean of several; and what is to be told about the weights.

    Of the views that all of them have. The files were made for the same pictures.
    """
    import torch

    from pipeline.training.ensemble import blend

    first = files[0]
    if len(files) == 1:
        return first, {}
    clean_MNC = np.stack([labels.log_probs_VNC["validation"][0].float().numpy() for labels in files])
    weights, told = ensemble_weights(job, clean_MNC)
    log_probs, digests = {}, {}
    for split, recorded in first.view_digests.items():
        views = min(len(labels.view_digests[split]) for labels in files)
        parts_MVNC = torch.stack([labels.log_probs_VNC[split][:views] for labels in files])
        log_probs[split] = torch.stack([blend(parts_MVNC[:, view], weights).half() for view in range(views)])
        digests[split] = recorded[:views]
    return dataclasses.replace(first, log_probs_VNC=log_probs, view_digests=digests), told


def all_members_told(job: Job) -> list[dict[str, Any]]:
    """Who made the labels, file after file."""
    files = [Path(path) for path in job.request.labels]
    return [member for path in files for member in members_told(path.parent / "manifest.json", file_digest(path))]


def members_told(manifest: Path, labels_digest: str) -> list[dict[str, Any]]:
    """Who made soft labels that lie beside the manifest of a delivered run; nobody known where they do not."""
    try:
        told = json.loads(manifest.read_text())
        members = [{key: member[key] for key in MEMBER_FACTS} for member in told["teacher"]["members"]]
        return members if labels_digest in told["sha256"].values() else []
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # something else of that name, or nothing
        return []
