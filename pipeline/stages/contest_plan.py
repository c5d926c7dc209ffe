"""What a run would take on this machine: minutes by a trial, disk and memory by arithmetic, and where it writes."""

from collections.abc import Mapping
from dataclasses import replace

from pipeline.contest.contest import Contest
from pipeline.runtime.device import cpu_name, needs_trial, pick_device
from pipeline.runtime.folder import SPLITS, readable_size
from pipeline.runtime.request import Job
from pipeline.stages.check_request import opened_contest
from pipeline.stages.planning.forecast import at_once, forecast
from pipeline.stages.planning.lines import preset_line
from pipeline.stages.planning.trial import measure
from pipeline.stages.teacher.member_steps import members_at_once
from pipeline.training.arithmetic import measure_arithmetic

PROCESS_BYTES = 600_000_000  # of a process that trains a member of the presets, beside its images
FLOAT16_BYTES = 2


def plan_of_machine(job: Job, contest: Contest) -> list[str]:
    """Lines with the minutes, disk and memory of a run, measured and computed here; nothing is written."""
    if needs_trial(job.settings.device):
        job = replace(job, arithmetic=measure_arithmetic(cpu_name()))
    images = {split: len(contest.splits[split]) for split in SPLITS}
    seconds = forecast(job, images, measure([job], contest, opened_contest(job)))
    disk, memory = disk_bytes(job, images, len(contest.classes)), memory_bytes(job, images)
    return [
        f"machine: {pick_device(job.device).description}",
        preset_line(job.request.preset, seconds, job.settings),
        f"disk: about {readable_size(disk)} in runs/{job.run.name}; memory: about {readable_size(memory)}",
        f"delivers: submissions/{job.run.name} with student.bin of at most {job.request.budget_bytes:,} bytes"
        + (", predictions.csv" if images["testing"] else "")
        + ", manifest.json",
    ]


def disk_bytes(job: Job, images: Mapping[str, int], classes: int) -> int:
    """What a run stores: its views, the log-probabilities of every member and the soft labels. images: by split."""
    pixels = 3 * job.settings.data.image_size**2
    views = sum(images[split] for _, split, _ in job.stored_views()) + sum(images.values())
    predicted = sum(images[split] * job.student_views(split) for split in SPLITS)
    makers = 1 if job.request.soft_labels else 1 + len(job.settings.teach.members)
    return views * pixels + predicted * classes * FLOAT16_BYTES * makers


def memory_bytes(job: Job, images: Mapping[str, int]) -> int:
    """What a run holds at most: two views of the training images in each process that trains. images: by split."""
    pixels = 3 * job.settings.data.image_size**2
    trained = sum(images[split] for split in job.request.student_splits)
    processes = at_once(job, members_at_once(job))
    return processes * (PROCESS_BYTES + 2 * trained * pixels)
