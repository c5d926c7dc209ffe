"""Which float student the later stages take: the distilled one, or what pruning and low rank made of it."""

from models.compress.channel_units import channel_units, spaces
from models.compress.pruning import Space, pruning_counts, pruning_shares
from models.students.architecture import Architecture
from pipeline.runtime.artifacts import Artifact
from pipeline.runtime.errors import RequestError
from pipeline.runtime.request import Job
from pipeline.stages.student.network import load_architecture


def pruning_steps(job: Job) -> list[dict[Space, int]]:
    """How many units of each space stay after every step of pruning, from the distilled student.

    Raises RequestError where the settings remove nothing.
    """
    own = job.settings.prune
    units = spaces(channel_units(load_architecture(job.artifacts.student.path)))
    sizes = {names: len(found) for names, found in units.items()}
    shares = pruning_shares(sizes, own.keep, own.rate)
    if own.is_on and not shares:
        raise RequestError(f"prune.keep: {own.keep} removes no filter of any layer; set it lower, or to 1.0")
    return [pruning_counts(sizes, share) for share in shares]


def pruned_student(job: Job) -> Artifact:
    """The student after the last step of pruning; without any the distilled one."""
    steps = len(pruning_steps(job)) if job.settings.prune.is_on else 0
    return job.artifacts.pruned_student(steps) if steps else job.artifacts.student


def float_student(job: Job) -> Artifact:
    """The student that is rounded and packed."""
    return job.artifacts.factorised_student if job.settings.factorise.is_on else pruned_student(job)


def student_steps(job: Job) -> list[str]:
    """The names of all steps that make the packed student, in order."""
    pruned = range(1, len(pruning_steps(job)) + 1) if job.settings.prune.is_on else ()
    steps = [job.artifacts.student.step, *(job.artifacts.pruned_student(step).step for step in pruned)]
    steps += [job.artifacts.factorised_student.step] if job.settings.factorise.is_on else []
    return [*steps, job.artifacts.quantised_student.step, job.artifacts.pack_record.step]


def trained_architecture(job: Job) -> Architecture:
    """The architecture of the student that is rounded and packed."""
    return load_architecture(float_student(job).path)
