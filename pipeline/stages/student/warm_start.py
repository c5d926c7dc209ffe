"""Warm start: the student begins with the weights of a packed file instead of random ones.

The file is checked before anything is done. Which images it learned from is not known beyond what its header says: a
start from a student of another validation split of the same contest leaks validation images.
"""

from pathlib import Path

from torch import nn

from models.compress.batchnorm_folding import unfold_batchnorm
from pipeline.contest.facts import load_contest
from pipeline.data.batches import Normalisation
from pipeline.data.soft_labels import format_classes
from pipeline.runtime.atomic import file_digest
from pipeline.runtime.errors import RequestError
from pipeline.runtime.request import Job
from pipeline.stages.calibration import calibration_images
from pipeline.stages.student.network import StudentNetwork
from pipeline.training.inference import load_packed


def check_warm_start(job: Job, chosen: StudentNetwork) -> None:
    """Refuse a `distill.init_from` that is no packed file, another network, or learned from what is banned here.

    Its own output would change as soon as it is delivered. Raises RequestError.
    """
    init_from = job.settings.distill.init_from
    if not init_from:
        return
    if fault := _fault(job, chosen, Path(init_from)):
        raise RequestError(f"distill.init_from: {init_from} {fault}")


def _fault(job: Job, chosen: StudentNetwork, init_from: Path) -> str:
    if any(init_from.is_relative_to(folder.resolve()) for folder in (job.run.folder, job.run.submission)):
        return f"belongs to run {job.run.name} itself; give the new student another --name"
    try:
        header = load_packed(init_from).header
    except RequestError as error:
        return f"cannot be read: {error}"
    size = job.settings.data.image_size
    if header.network != chosen.network:
        found = "-".join((header.network.family, *map(str, header.network.integers)))
        return f"holds the network {found}, distill.network is {chosen.name}"
    if header.image_size != size:
        return f"is for {header.image_size} pixels, data.image_size is {size}"
    if header.classes != chosen.classes:
        return f"has classes {format_classes(header.classes)}, the contest has {format_classes(chosen.classes)}"
    if header.final and not job.request.final:
        return "was made with --final: it was trained on validation; give --final here too"
    if job.request.inductive and not header.inductive:
        return "has learned from test images, which --inductive bans"
    return ""


def warm_start_reads(job: Job) -> dict[str, str]:
    """Digest of the file that the student starts from, if there is one."""
    init_from = job.settings.distill.init_from
    return {"init_from": file_digest(Path(init_from))} if init_from else {}


def init_is_low_bit(init_from: str) -> bool:
    """Whether `distill.init_from` is a file whose weights have a few bits each."""
    return bool(init_from) and load_packed(Path(init_from)).precision == "low-bit"


def warm_start(job: Job, network: nn.Module) -> None:
    """Give a fresh student the weights of `distill.init_from`, where there is one.

    BatchNorm is un-folded: its statistics are measured on this contest's images, as this contest normalises them.
    """
    if job.settings.distill.init_from:
        facts = load_contest(job.run.contest)
        images = calibration_images(job, Normalisation(facts.mean, facts.std))
        unfold_batchnorm(network, load_packed(Path(job.settings.distill.init_from)).module, images)
