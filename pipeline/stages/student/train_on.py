"""How a student that became smaller goes on: it trains, or its BatchNorm is recalibrated; then it is measured."""

from typing import Any

from torch import nn

from models.compress.batchnorm_recalibration import recalibrate_batchnorm
from models.students.architecture import Architecture
from models.students.build import count_parameters
from pipeline.contest.facts import load_contest
from pipeline.data.batches import Normalisation
from pipeline.data.soft_labels import load_soft_labels
from pipeline.runtime.device import pick_device
from pipeline.runtime.steps import Notes, Opened
from pipeline.runtime.training_settings import TrainingSettings
from pipeline.stages.calibration import calibration_images
from pipeline.stages.student.training import save_trained, train_student, training_device, validate_student


def train_on(
    opened: Opened[Any],
    network: nn.Module,
    architecture: Architecture,
    training: TrainingSettings | None,
    *,
    stage: str,
    first: int = 0,
) -> Notes:
    """Train a smaller student, unless `training` is None, and write it; returns its parameters and figures.

    first: the epoch of the training's schedule with which it begins, counted from 0.
    """
    facts, soft_labels = load_contest(opened.inputs["contest"]), load_soft_labels(opened.inputs["soft labels"])
    device, epochs, seconds = pick_device(opened.settings.learning.device), 0, 0.0
    if training:
        device, epochs = training_device(opened, training), training.epochs
        trained = train_student(opened, network, training, stage=stage, device=device, first=first)
        network, seconds = trained.network, trained.earlier_seconds
    else:
        images = calibration_images(opened.inputs["clean training"], Normalisation(facts.mean, facts.std))
        recalibrate_batchnorm(network, images)
    figures = validate_student(opened, network, facts, soft_labels, device)
    save_trained(opened, network, architecture, epochs)
    notes = {"parameters": count_parameters(network), "device": device.description, "earlier_seconds": seconds}
    return notes | figures
