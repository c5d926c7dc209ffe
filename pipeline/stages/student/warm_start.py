"""A student that does not start at random: the packed file of an earlier one, which goes on learning.

With better soft labels, another end game or fewer bits it need not be learned anew. The file is checked before anything
is done. Which images it learned from is not known beyond what its header says: whoever starts from a student of another
validation split of the same contest claims too much.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.contest.facts import load_contest
from pipeline.data.soft_labels import classes_told
from pipeline.runtime.atomic import file_digest
from pipeline.runtime.errors import RequestError
from pipeline.runtime.request import Job
from pipeline.stages.calibration import clean_pictures
from pipeline.stages.student.network import StudentNetwork
from pipeline.training.inference import load_packed

if TYPE_CHECKING:
    from torch import nn


def check_start(job: Job, chosen: StudentNetwork) -> None:
    """Refuse a `distill.start` that is no packed file, another network, or learned from what is banned here.

    Its own output would change as soon as it is delivered. Raises RequestError.
    """
    start = job.settings.distill.start
    if not start:
        return
    if fault := _fault(job, chosen, Path(start)):
        raise RequestError(f"distill.start: {start} {fault}")


def _fault(job: Job, chosen: StudentNetwork, start: Path) -> str:
    if any(start.is_relative_to(folder.resolve()) for folder in (job.run.folder, job.run.submission)):
        return f"belongs to run {job.run.name} itself; give the new student another --name"
    try:
        header = load_packed(start).header
    except RequestError as error:
        return f"cannot be read: {error}"
    size = job.settings.data.image_size
    if header.network != chosen.network:
        found = "-".join((header.network.family, *map(str, header.network.integers)))
        return f"holds the network {found}, distill.network is {chosen.name}"
    if header.image_size != size:
        return f"is for {header.image_size} pixels, data.image_size is {size}"
    if header.classes != chosen.classes:
        return f"has classes {classes_told(header.classes)}, the contest has {classes_told(chosen.classes)}"
    if header.final and not job.request.final:
        return "was made with --final: it knows validation; give --final here too"
    if job.request.inductive and not header.inductive:
        return "has learned from test images, which --inductive bans"
    return ""


def start_reads(job: Job) -> dict[str, str]:
    """Digest of the file that the student starts from, if there is one."""
    start = job.settings.distill.start
    return {"start": file_digest(Path(start))} if start else {}


def starts_low_bit(start: str) -> bool:
    """Whether `distill.start` is a file whose weights have a few bits each."""
    return bool(start) and load_packed(Path(start)).precision == "low-bit"


def start_from_file(job: Job, network: "nn.Module") -> None:
    """Give a fresh student the weights of `distill.start`, where there is one.

    What its BatchNorm is given is measured on this contest's pictures, as this contest normalises them.
    """
    from models.compress.batchnorm_folding import unfold_batchnorm
    from pipeline.data.batches import Normalisation

    if job.settings.distill.start:
        facts = load_contest(job.run.contest)
        pictures = clean_pictures(job, Normalisation(facts.mean, facts.std))
        unfold_batchnorm(network, load_packed(Path(job.settings.distill.start)).module, pictures)
