"""From the members' log_probs to the ensemble's: the weight of each member, and for which images it counts.

M members, V views, N images of a split, C classes.
"""

from collections import Counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.contest.facts import ContestFacts, load_contest
from pipeline.data.folds import fold_of_images, out_of_fold_mask
from pipeline.runtime.console import say
from pipeline.runtime.errors import RequestError
from pipeline.runtime.folder import SPLITS
from pipeline.runtime.request import Job
from pipeline.runtime.tensor_file import load_tensors
from pipeline.training.ensemble import blend, normalise
from pipeline.training.fit_ensemble import fit_ensemble

FEWEST_OF_A_CLASS = 2  # validation images to fit weights to: one to fit, one to judge


def labels_for_teaching(job: Job, facts: ContestFacts) -> list[int]:
    """The labels that members learn from, split after split."""
    return [label for split in job.request.labelled_splits for label in facts.labels[split]]


def check_enough_images(job: Job) -> None:
    """Refuse, before anything is trained, folds and fitted weights for which a class has too few images."""
    job.artifacts.contest.digest()  # refuses where the contest has not been read
    facts = load_contest(job.run.contest)
    needs = [("teach.folds", "labelled", labels_for_teaching(job, facts), job.settings.teach.folds)]
    if job.settings.export.weights == "fitted":
        needs.append(("export.weights: fitted", "validation", list(facts.labels["validation"]), FEWEST_OF_A_CLASS))
    for setting, kind, labels, needed in needs:
        if not needed:
            continue
        rarest, count = min(Counter(labels).items(), key=lambda item: item[1])
        if count < needed:
            name = facts.classes[rarest]
            raise RequestError(f"{setting}: needs {needed} {kind} images of each class, class {name} has {count}")


def blend_members(job: Job) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """float16 log-probabilities [V, N, C] of every split, and notes about fitted weights."""
    export, members = job.settings.export, range(len(job.settings.teach.members))
    members_log_probs = [load_tensors(job.run.member_log_probs(member))[0] for member in members]
    validation_MNC = np.stack([log_probs["validation"][0].float().numpy() for log_probs in members_log_probs])
    weights, notes = ensemble_weights(job, validation_MNC)
    masks = _out_of_fold(job)
    blended = {}
    for split in SPLITS:
        views_MVNC = torch.stack([log_probs[split] for log_probs in members_log_probs])
        views = [
            normalise(
                blend(views_MVNC[:, view], weights, masks.get(split)), export.normalisation, export.temperature
            ).half()
            for view in range(views_MVNC.shape[1])
        ]
        blended[split] = torch.stack(views)
    return blended, notes


def ensemble_weights(job: Job, log_probs_MNC: np.ndarray) -> tuple[tuple[float, ...], dict[str, Any]]:
    """The weights of members or files by their validation log_probs; empty: uniform. And notes about fitted ones.

    Fitted weights are used where the settings want them and cross-validation finds a gain beyond noise.
    """
    wanted = job.settings.export.weights
    if wanted != "fitted":
        return wanted, {}
    labels_N = np.array(load_contest(job.run.contest).labels["validation"])
    fitted = fit_ensemble(log_probs_MNC, labels_N, job.settings.data.seed)
    used = "used" if fitted.improves else "no better beyond noise, so uniform"
    shown = " ".join(f"{weight:.2f}" for weight in fitted.weights)
    gain = f"{fitted.loss_gain:+.4f} ({fitted.loss_gain_error:.4f}) nats, {100 * fitted.accuracy_gain:+.2f} points"
    say(f"ensemble: fitted weights {shown}, cross-validated {gain}: {used}")
    found = {
        "weights": [round(weight, 4) for weight in fitted.weights],
        "used": fitted.improves,
        "cross_validated": {
            "accuracy_gain": fitted.accuracy_gain,
            "loss_gain": fitted.loss_gain,
            "loss_gain_error": fitted.loss_gain_error,
        },
    }
    return (fitted.weights if fitted.improves else ()), {"fitted": found}


def _out_of_fold(job: Job) -> dict[str, Tensor]:
    """With folds, the members that did not train on an image of a labelled split, bool [M, N] by split."""
    teach, facts = job.settings.teach, load_contest(job.run.contest)
    if not teach.folds:
        return {}
    labels = labels_for_teaching(job, facts)
    fold_N = fold_of_images(labels, teach.folds, job.settings.data.seed)
    mask_MN = out_of_fold_mask(fold_N, len(teach.members), teach.folds)
    splits = job.request.labelled_splits
    parts = mask_MN.split([len(facts.ids[split]) for split in splits], dim=1)
    return dict(zip(splits, parts, strict=True))
