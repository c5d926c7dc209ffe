"""Warm start: the student begins with the weights of a packed file instead of random ones.

The file is checked before anything is done. Which images it learned from is not known beyond what its header says: a
start from a student of another validation split of the same contest leaks validation images.
"""

from pathlib import Path

from torch import nn

from models.compress.batchnorm_folding import unfold_batchnorm
from models.students.architecture import Architecture
from models.students.build import build_student
from models.students.short_form import name_of, same_but_for_names
from pipeline.contest.facts import ContestFacts
from pipeline.data.batches import Normalisation
from pipeline.data.soft_labels import format_classes
from pipeline.runtime.errors import RequestError
from pipeline.runtime.request import Job
from pipeline.stages.calibration import calibration_images
from pipeline.training.inference import load_packed


def check_warm_start(job: Job, architecture: Architecture, classes: tuple[str, ...]) -> None:
    """Refuse a `distill.init_from` that is no packed file, another network, or learned from what is banned here.

    Its own output would change as soon as it is delivered. Raises RequestError.
    """
    init_from = job.settings.distill.init_from
    if not init_from:
        return
    if fault := _fault(job, architecture, classes, Path(init_from)):
        raise RequestError(f"distill.init_from: {init_from} {fault}")


def _fault(job: Job, architecture: Architecture, classes: tuple[str, ...], init_from: Path) -> str:
    if any(init_from.is_relative_to(folder.resolve()) for folder in (job.run.folder, job.run.submission)):
        return f"belongs to run {job.run.name} itself; give the new student another --name"
    try:
        header = load_packed(init_from).header
    except RequestError as error:
        return f"cannot be read: {error}"
    if header.image_size != architecture.image_size:
        return f"is for {header.image_size} pixels, data.image_size is {architecture.image_size}"
    if header.classes != classes:
        return f"has classes {format_classes(header.classes)}, the contest has {format_classes(classes)}"
    if not same_but_for_names(header.architecture, architecture):
        return f"holds the network {name_of(header.architecture)}, distill.network is {name_of(architecture)}"
    if header.final and not job.request.final:
        return "was made with --final: it was trained on validation; give --final here too"
    if job.request.trains_inductively and not header.inductive:
        return "has learned from test images, which --inductive bans"
    return ""


def init_is_low_bit(init_from: str) -> bool:
    """Whether `distill.init_from` is a file whose weights have a few bits each."""
    return bool(init_from) and load_packed(Path(init_from)).precision == "low-bit"


def warm_start(
    init_from: Path, architecture: Architecture, network: nn.Module, clean_training: Path, facts: ContestFacts
) -> None:
    """Give a fresh student of this architecture the weights of a packed file.

    BatchNorm is un-folded: its statistics are measured on this contest's images, as this contest normalises them.
    """
    images = calibration_images(clean_training, Normalisation(facts.mean, facts.std))
    unfold_batchnorm(network, with_names_of(load_packed(init_from).module, architecture), images)


def with_names_of(packed: nn.Module, architecture: Architecture) -> nn.Module:
    """The network of a packed file with the names of an equal architecture: a file of rows keeps none."""
    folded = build_student(architecture, folded=True)
    values = packed.state_dict().values()
    folded.load_state_dict(dict(zip(folded.state_dict(), values, strict=True)))
    return folded.eval()
