"""Prune: the student loses whole filters, step by step, and may train after each step or after the last.

Reads: student, clean training images, soft labels; where it trains student views and labels. Writes for each step:
pruned/<step>/student.safetensors (float32, with the smaller architecture), pruned/<step>/metrics.jsonl.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from models.compress.batchnorm_recalibration import recalibrate_batchnorm
from models.compress.channel_units import channel_units, spaces
from models.compress.filter_ranking import Scores, Units, batchnorm_scores, l1_scores, random_scores, taylor_scores
from models.compress.pruning import Space, removed_units, without_units
from models.students.architecture import Architecture
from models.students.build import build_student, count_parameters
from pipeline.contest.facts import ContestFacts, load_contest
from pipeline.data.batches import Normalisation
from pipeline.data.soft_labels import SoftLabels, load_soft_labels
from pipeline.runtime.console import say
from pipeline.runtime.request import Job
from pipeline.runtime.section import Section
from pipeline.runtime.steps import Notes, Opened, Step
from pipeline.runtime.training_settings import ProgressiveTrainingSettings, TrainingSettings
from pipeline.runtime.waves import Wave
from pipeline.stages.calibration import calibration_examples
from pipeline.stages.student.network import load_student, save_student
from pipeline.stages.student.smaller import pruning_steps
from pipeline.stages.student.training import (
    METRICS,
    OUTPUT,
    LearningSettings,
    learning_settings,
    save_trained,
    student_inputs,
    train_student,
    training_device,
    validate_student,
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
    values = {name: getattr(recipe, name) for name in ProgressiveTrainingSettings.model_fields if hasattr(recipe, name)}
    if not own.retraining.startswith("rewind"):
        values["epochs"] = own.epochs
    return PruneStepSettings(
        keep={_joined(names): count for names, count in keep.items()},
        ranking=own.ranking,
        seed=own.seed,
        retraining=own.retraining,
        training=ProgressiveTrainingSettings(**values) if trains else None,
        first=values["epochs"] - own.epochs,
        learning=learning_settings(job, only_final_phase=fine_tunes),
    )


def _prune(opened: Opened[PruneStepSettings]) -> Notes:
    own, facts = opened.settings, load_contest(opened.inputs["contest"])
    soft_labels = load_soft_labels(opened.inputs["soft labels"])
    student, architecture = load_student(opened.inputs["float student"])
    images = calibration_examples(
        opened.inputs["clean training"],
        Normalisation(facts.mean, facts.std),
        soft_labels.log_probs_VNC["training"][0],
    )
    removed = _removed(own, student, architecture, images)
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
    return {"parameters": parameters} | _finish(opened, network, smaller, images, facts, soft_labels)


def _finish(
    opened: Opened[PruneStepSettings],
    network: nn.Module,
    architecture: Architecture,
    images: list[tuple[Tensor, Tensor]],
    facts: ContestFacts,
    soft_labels: SoftLabels,
) -> Notes:
    """Train the smaller network as its settings want, measure it and write it."""
    own, device = opened.settings, training_device(opened, opened.settings.training or TrainingSettings())
    epochs, seconds = 0, 0.0
    if own.training:
        if own.retraining == "reinitialise":
            torch.manual_seed(own.learning.seed)
            network = build_student(architecture)
        trained = train_student(opened, network, own.training, stage="prune", device=device, first=own.first)
        network, seconds, epochs = trained.network, trained.earlier_seconds, own.training.epochs
    else:
        recalibrate_batchnorm(network, [batch for batch, _ in images])
    figures = validate_student(opened, network, facts, soft_labels, device)
    save_trained(opened, network, architecture, epochs)
    return {"device": device.description, "earlier_seconds": seconds, **figures}


def _removed(
    own: PruneStepSettings, student: nn.Module, architecture: Architecture, images: list[tuple[Tensor, Tensor]]
) -> set[int]:
    units = channel_units(architecture)
    competing = spaces(units)
    keep = {names: own.keep[_joined(names)] for names in competing}
    return removed_units(_scores(own, student, units, images), competing, keep)


def _scores(own: PruneStepSettings, student: nn.Module, units: Units, images: list[tuple[Tensor, Tensor]]) -> Scores:
    match own.ranking:
        case "taylor":
            return taylor_scores(student, units, images)
        case "l1":
            return l1_scores(student.state_dict(), units)
        case "batchnorm":
            return batchnorm_scores(student.state_dict(), units)
        case _:
            return random_scores(units, own.seed)


def _joined(names: Space) -> str:
    return " + ".join(names)
