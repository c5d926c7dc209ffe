"""A student that does not start at random: the packed file of an earlier one, which goes on learning.

Better soft labels, another end game on the test images or a new contest of the same classes then cost a few epochs
instead of hundreds. The file is checked before anything is done.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.atomic import file_digest
from pipeline.clean_pictures import clean_pictures
from pipeline.data.contest_file import load_contest
from pipeline.data.packed_file import load_packed
from pipeline.errors import RequestError
from pipeline.request import Job
from pipeline.student_network import StudentNetwork

if TYPE_CHECKING:
    from torch import nn


def check_start(job: Job, chosen: StudentNetwork) -> None:
    """Refuse a `distill.start` that is no packed file, another network, or learned from what this run may not see."""
    start = job.settings.distill.start
    if not start:
        return
    header = load_packed(Path(start)).header
    if header.network != chosen.network:
        found = "-".join((header.network.family, *map(str, header.network.integers)))
        raise RequestError(f"distill.start: {start} holds the network {found}, distill.network is {chosen.name}")
    if header.image_size != job.settings.data.image_size:
        size = job.settings.data.image_size
        raise RequestError(f"distill.start: {start} is for {header.image_size} pixels, data.image_size is {size}")
    if header.classes != chosen.classes:
        found, expected = (", ".join(classes[:3]) for classes in (header.classes, chosen.classes))
        raise RequestError(
            f"distill.start: {start} has {len(header.classes)} classes ({found}, ...), "
            f"the contest has {len(chosen.classes)} ({expected}, ...)"
        )
    if header.final and not job.request.final:
        raise RequestError(f"distill.start: {start} was made with --final: it knows validation; give --final here too")
    if job.request.inductive and not header.inductive:
        raise RequestError(f"distill.start: {start} has learned from test images, which --inductive bans")


def start_reads(job: Job) -> dict[str, str]:
    """Digest of the file that the student starts from, if there is one."""
    start = job.settings.distill.start
    return {"start": file_digest(Path(start))} if start else {}


def start_from_file(job: Job, network: "nn.Module") -> None:
    """Give a fresh student the weights of `distill.start`, where there is one."""
    from models.compress.unfolding import unfold_batchnorm
    from pipeline.data.batches import Normalisation

    if job.settings.distill.start:
        facts = load_contest(job.run.contest)
        pictures = clean_pictures(job, Normalisation(facts.mean, facts.std))
        unfold_batchnorm(network, load_packed(Path(job.settings.distill.start)).module, pictures)
