"""From the members' answers of a run to its ensemble's: who counts how much, and for which images.

M members, V views, N images of a split, C classes.
"""

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.contest.facts import ContestFacts, load_contest
from pipeline.runtime.console import say
from pipeline.runtime.errors import RequestError
from pipeline.runtime.folder import SPLITS
from pipeline.runtime.request import Job
from pipeline.runtime.steps import output_digest

if TYPE_CHECKING:
    from torch import Tensor

FEWEST_OF_A_CLASS = 2  # validation images to fit weights to: one to fit, one to judge


def labels_for_teaching(job: Job, facts: ContestFacts) -> list[int]:
    """The labels that members learn from, split after split."""
    return [label for split in job.request.labelled_splits for label in facts.labels[split]]


def check_enough_images(job: Job) -> None:
    """Refuse, before anything is trained, folds and fitted weights for which a class has too few images."""
    output_digest(job.run, "prepare-decode", job.run.contest)  # refuses where the contest has not been read
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


def blend_members(job: Job) -> "tuple[dict[str, Tensor], dict[str, Any]]":
    """float16 log-probabilities [V, N, C] of every split, and what is to be told about the weights."""
    import torch

    from pipeline.runtime.tensor_file import load_tensors
    from pipeline.training.ensemble import blend, normalise

    export, members = job.settings.export, range(len(job.settings.teach.members))
    answers = [load_tensors(job.run.member_log_probs(member))[0] for member in members]
    weights, told = ensemble_weights(job, np.stack([answer["validation"][0].float().numpy() for answer in answers]))
    counted = _counted(job)
    blended = {}
    for split in SPLITS:
        views_MVNC = torch.stack([answer[split] for answer in answers])
        views = [
            normalise(
                blend(views_MVNC[:, view], weights, counted.get(split)), export.normalisation, export.temperature
            ).half()
            for view in range(views_MVNC.shape[1])
        ]
        blended[split] = torch.stack(views)
    return blended, told


def ensemble_weights(job: Job, log_probs_MNC: np.ndarray) -> tuple[tuple[float, ...], dict[str, Any]]:
    """The weights of members or files by their answers to validation; empty: all alike.

    Fitted ones where the settings want them and they are worth it.
    """
    from pipeline.training.fit_ensemble import fit_blend

    wanted = job.settings.export.weights
    if wanted != "fitted":
        return wanted, {}
    labels_N = np.array(load_contest(job.run.contest).labels["validation"])
    fitted = fit_blend(log_probs_MNC, labels_N, job.settings.data.seed)
    used = "used" if fitted.worth_it else "no better beyond noise, so all count alike"
    shown = " ".join(f"{weight:.2f}" for weight in fitted.weights)
    gain = f"{fitted.loss_gain:+.4f} ({fitted.loss_gain_error:.4f}) nats, {100 * fitted.accuracy_gain:+.2f} points"
    say(f"ensemble: fitted weights {shown}, cross-validated {gain}: {used}")
    told = {
        "weights": [round(weight, 4) for weight in fitted.weights],
        "used": fitted.worth_it,
        "cross_validated": {
            "accuracy_gain": fitted.accuracy_gain,
            "loss_gain": fitted.loss_gain,
            "loss_gain_error": fitted.loss_gain_error,
        },
    }
    return (fitted.weights if fitted.worth_it else ()), {"fitted": told}


def _counted(job: Job) -> "dict[str, Tensor]":
    """With folds, who may speak about an image of a labelled split, bool [M, N]: those that never saw it."""
    from pipeline.data.folds import fold_of_images, strangers

    teach, facts = job.settings.teach, load_contest(job.run.contest)
    if not teach.folds:
        return {}
    labels = labels_for_teaching(job, facts)
    counted_MN = strangers(fold_of_images(labels, teach.folds, job.settings.data.seed), len(teach.members), teach.folds)
    splits = job.request.labelled_splits
    parts = counted_MN.split([len(facts.ids[split]) for split in splits], dim=1)
    return dict(zip(splits, parts, strict=True))
