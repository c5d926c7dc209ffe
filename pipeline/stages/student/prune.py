"""Prune: the student loses whole filters, step by step, and may train after each step or after the last.

Reads: student, clean training images, soft labels; where it trains student views and labels. Writes for each step:
pruned/<step>/student.safetensors (float32, with the smaller architecture), pruned/<step>/metrics.jsonl.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from models.compress.channel_units import channel_units, spaces
from models.compress.filter_ranking import Scores, Units, batchnorm_scores, l1_scores, random_scores, taylor_scores
from models.compress.pruning import Space, removed_units, without_units
from models.students.architecture import Architecture
from models.students.build import build_student, count_parameters
from pipeline.contest.facts import load_contest
from pipeline.data.batches import Normalisation
from pipeline.data.soft_labels import load_soft_labels
from pipeline.runtime.console import say
from pipeline.runtime.request import Job
from pipeline.runtime.section import Section
from pipeline.runtime.steps import Notes, Opened, Step
from pipeline.runtime.training_settings import ProgressiveTrainingSettings, TrainingSettings
from pipeline.runtime.waves import Wave
from pipeline.stages.calibration import calibration_examples
from pipeline.stages.student.network import load_student, save_student
from pipeline.stages.student.smaller import pruning_steps
from pipeline.stages.student.train_on import train_on
from pipeline.stages.student.training import (
    METRICS,
    OUTPUT,
    LearningSettings,
    learning_settings,
    student_inputs,
)

EARLY = "early student"  # among inputs and outputs: where weights are rewound to


class PruneStepSettings(Section):
    """What decides a pruned student, beside the one before and what it learns from."""

    keep: dict[str, int]  # how many units of each space stay
    ranking: str
    seed: int
    retraining: str
    training: ProgressiveTrainingSettings | None  # None: this step trains nothing
    first: int  # epoch of the schedule with which it begins
    learning: LearningSettings


def prune(job: Job) -> Iterator[Wave]:
    """Remove filters in steps, each a wave of its own, since it ranks what the one before left."""
    artifacts, own = job.artifacts, job.settings.prune
    artifacts.student.digest()  # refuses where there is no student
    before, early = artifacts.student, artifacts.early_student
    steps = pruning_steps(job)
    for step, keep in enumerate(steps, 1):
        rewinds = own.retraining == "rewind-weights"
        inputs = student_inputs(job) | {"float student": before} | ({EARLY: early} if rewinds else {})
        outputs = {OUTPUT: artifacts.pruned_student(step), METRICS: artifacts.pruned_metrics(step)}
        outputs |= {EARLY: artifacts.pruned_early_student(step)} if rewinds else {}
        settings = _settings(job, keep, trains=own.epochs > 0 and (own.after == "each" or step == len(steps)))
        yield Wave([Step(job.run, artifacts.pruned_student(step).step, 1, inputs, settings, outputs, _prune)])
        before, early = artifacts.pruned_student(step), artifacts.pruned_early_student(step)


def _settings(job: Job, keep: Mapping[Space, int], *, trains: bool) -> PruneStepSettings:
    own, fine_tunes = job.settings.prune, job.settings.prune.retraining == "fine-tune"
    recipe: TrainingSettings = own if fine_tunes else job.settings.distill
    epochs = recipe.epochs if own.retraining.startswith("rewind") else own.epochs
    return PruneStepSettings(
        keep={_joined(names): count for names, count in keep.items()},
        ranking=own.ranking,
        seed=own.seed,
        retraining=own.retraining,
        training=ProgressiveTrainingSettings.of(recipe, epochs) if trains else None,
        first=epochs - own.epochs,
        learning=learning_settings(job, only_final_phase=fine_tunes),
    )


def _prune(opened: Opened[PruneStepSettings]) -> Notes:
    own = opened.settings
    student, architecture = load_student(opened.inputs["float student"])
    removed = _removed(opened, student, architecture)
    smaller, tensors = without_units(architecture, student.state_dict(), removed)
    if EARLY in opened.inputs:
        early, _ = load_student(opened.inputs[EARLY])
        _, tensors = without_units(architecture, early.state_dict(), removed)
    network = build_student(smaller)
    network.load_state_dict(tensors)
    if EARLY in opened.outputs:
        save_student(opened.outputs[EARLY], network, smaller)
    parameters = count_parameters(network)
    say(f"pruned student: {parameters:,} of {count_parameters(student):,} parameters, {len(removed)} channels less")
    if own.training and own.retraining == "reinitialise":
        torch.manual_seed(own.learning.seed)
        network = build_student(smaller)
    return train_on(opened, network, smaller, own.training, stage="prune", first=own.first)


def _removed(opened: Opened[PruneStepSettings], student: nn.Module, architecture: Architecture) -> set[int]:
    units = channel_units(architecture)
    competing = spaces(units)
    keep = {names: opened.settings.keep[_joined(names)] for names in competing}
    return removed_units(_scores(opened, student, units), competing, keep)


def _scores(opened: Opened[PruneStepSettings], student: nn.Module, units: Units) -> Scores:
    match opened.settings.ranking:
        case "taylor":
            return taylor_scores(student, units, _examples(opened))
        case "l1":
            return l1_scores(student.state_dict(), units)
        case "batchnorm":
            return batchnorm_scores(student.state_dict(), units)
        case _:
            return random_scores(units, opened.settings.seed)


def _examples(opened: Opened[PruneStepSettings]) -> list[tuple[Tensor, Tensor]]:
    """Clean training images and what the ensemble predicts for them."""
    facts, soft_labels = load_contest(opened.inputs["contest"]), load_soft_labels(opened.inputs["soft labels"])
    normalisation, of_training = Normalisation(facts.mean, facts.std), soft_labels.log_probs_VNC["training"][0]
    return calibration_examples(opened.inputs["clean training"], normalisation, of_training)


def _joined(names: Space) -> str:
    return " + ".join(names)
