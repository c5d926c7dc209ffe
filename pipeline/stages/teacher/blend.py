"""From the members' log_probs to the ensemble's: the weight of each member, and for which images it counts.

M members, V views, N images of a split, C classes.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from pipeline.contest.facts import ContestFacts, load_contest
from pipeline.data.folds import fold_of_images, out_of_fold_mask
from pipeline.runtime.console import say
from pipeline.runtime.errors import RequestError
from pipeline.runtime.folder import SPLITS
from pipeline.runtime.request import Job
from pipeline.runtime.section import Section
from pipeline.runtime.tensor_file import load_tensors
from pipeline.training.ensemble import blend, normalise
from pipeline.training.fit_ensemble import fit_ensemble

FEWEST_OF_A_CLASS = 2  # validation images to fit weights to: one to fit, one to judge
Weights = tuple[float, ...] | Literal["fitted"]


class Folds(Section):
    """The k-fold split of the labelled images."""

    count: int
    seed: int


class BlendSettings(Section):
    """What decides the ensemble's soft labels, beside the members' log_probs."""

    weights: Weights
    normalisation: Literal["softmax", "standardised", "minmax"]
    temperature: float
    fit_seed: int | None  # of the cross-validation; None without fitted weights
    folds: Folds | None
    labelled_splits: tuple[str, ...]


def folds_of(job: Job) -> Folds | None:
    """The folds of a run; None without."""
    count = job.settings.teach.folds
    return Folds(count=count, seed=job.settings.data.seed) if count else None


def fit_seed(job: Job) -> int | None:
    """The seed of fitted ensemble weights; None where there are none."""
    return job.settings.data.seed if job.settings.export.weights == "fitted" else None


def blend_settings(job: Job) -> BlendSettings:
    """What decides a run's soft labels."""
    export = job.settings.export
    return BlendSettings(
        weights=export.weights,
        normalisation=export.normalisation,
        temperature=export.temperature,
        fit_seed=fit_seed(job),
        folds=folds_of(job),
        labelled_splits=job.request.labelled_splits,
    )


def labels_for_teaching(facts: ContestFacts, labelled_splits: Sequence[str]) -> list[int]:
    """The labels that members learn from, split after split."""
    return [label for split in labelled_splits for label in facts.labels[split]]


def check_enough_images(job: Job) -> None:
    """Refuse, before anything is trained, folds and fitted weights for which a class has too few images."""
    job.artifacts.contest.digest()  # refuses where the contest has not been read
    facts = load_contest(job.artifacts.contest.path)
    needs = []
    if folds := folds_of(job):
        taught = labels_for_teaching(facts, job.request.labelled_splits)
        needs.append(("teach.folds", "labelled", taught, folds.count))
    if job.settings.export.weights == "fitted":
        validation = list(facts.labels["validation"])
        needs.append(("export.weights: fitted", "validation", validation, FEWEST_OF_A_CLASS))
    for setting, kind, labels, needed in needs:
        rarest, count = min(Counter(labels).items(), key=lambda item: item[1])
        if count < needed:
            name = facts.classes[rarest]
            raise RequestError(f"{setting}: needs {needed} {kind} images of each class, class {name} has {count}")


def blend_members(
    own: BlendSettings, facts: ContestFacts, member_files: Sequence[Path]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """float16 log-probabilities [V, N, C] of every split from the members' files, and notes about fitted weights."""
    members_log_probs = [load_tensors(path)[0] for path in member_files]
    validation_MNC = np.stack([log_probs["validation"][0].float().numpy() for log_probs in members_log_probs])
    weights, notes = ensemble_weights(own.weights, own.fit_seed, facts, validation_MNC)
    masks = _out_of_fold(own, facts, len(member_files))
    blended = {}
    for split in SPLITS:
        views_MVNC = torch.stack([log_probs[split] for log_probs in members_log_probs])
        views = [
            normalise(blend(views_MVNC[:, view], weights, masks.get(split)), own.normalisation, own.temperature).half()
            for view in range(views_MVNC.shape[1])
        ]
        blended[split] = torch.stack(views)
    return blended, notes


def ensemble_weights(
    wanted: Weights, seed: int | None, facts: ContestFacts, log_probs_MNC: np.ndarray
) -> tuple[tuple[float, ...], dict[str, Any]]:
    """The weights of members or files by their validation log_probs; empty: uniform. And notes about fitted ones.

    Fitted weights are used where cross-validation, with this seed, finds a gain beyond noise.
    """
    if wanted != "fitted":
        return wanted, {}
    assert seed is not None
    fitted = fit_ensemble(log_probs_MNC, np.array(facts.labels["validation"]), seed)
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


def _out_of_fold(own: BlendSettings, facts: ContestFacts, members: int) -> dict[str, Tensor]:
    """With folds, the members that did not train on an image of a labelled split, bool [M, N] by split."""
    if not own.folds:
        return {}
    fold_N = fold_of_images(labels_for_teaching(facts, own.labelled_splits), own.folds.count, own.folds.seed)
    mask_MN = out_of_fold_mask(fold_N, members, own.folds.count)
    parts = mask_MN.split([len(facts.ids[split]) for split in own.labelled_splits], dim=1)
    return dict(zip(own.labelled_splits, parts, strict=True))
