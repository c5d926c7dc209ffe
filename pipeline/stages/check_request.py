"""What can be known to be wrong before anything is trained: the contest, the members, the budget, the warm start."""

import json
from pathlib import Path

from models.packed.rate_control import COARSEST
from models.students.short_form import name_of
from models.teachers.build import UnknownNetworkError, check_teacher
from pipeline.contest.contest import Contest, read_contest
from pipeline.contest.open_source import open_source
from pipeline.contest.source import Source
from pipeline.runtime.errors import RequestError
from pipeline.runtime.request import Job
from pipeline.stages.student.network import bit_plan, choose_architecture, expected_bytes
from pipeline.stages.student.warm_start import check_warm_start
from pipeline.stages.teacher.given_soft_labels import load_given_soft_labels


def check_request(job: Job) -> Contest:
    """Refuse before any training what cannot end well: an unknown network, a budget that no file can meet.

    Returns the contest as it was read.
    """
    check_members(job)
    contest = contest_of(job)
    _refuse_another_submission(job, contest.name)
    check_budget(job, contest.classes)
    if not contest.splits["testing"] and job.settings.distill.final_phase.images == "testing":
        raise RequestError('distill.final_phase.images: "testing", but the contest has no test images; expected "auto"')
    return contest


def check_members(job: Job) -> None:
    """Refuse members that do not exist, or soft labels that are none."""
    if "validation" not in job.request.claimable_splits and job.settings.export.weights == "fitted":
        raise RequestError(
            "export.weights: fitted needs validation images that nothing learns from, --final takes them"
        )
    if job.request.soft_labels:
        if len(load_given_soft_labels(job)) > 1 and job.settings.export.weights not in ((), "fitted"):
            raise RequestError(
                'export.weights: numbers are of members; of several --soft-labels expected "fitted" or none'
            )
        return  # which images they were made for, export will see
    if not job.settings.teach.members:
        raise RequestError(f"preset {job.request.preset}: teach.members is empty, expected at least one row")
    for row in job.settings.teach.members:
        try:
            check_teacher(
                row.network,
                job.settings.data.image_size,
                row.options,
                pretrained=row.pretrained,
                adapt=row.small_images,
            )
        except UnknownNetworkError as error:
            raise RequestError(f"teach.members: {error}") from None
        if row.weights and not Path(row.weights).is_file():
            raise RequestError(f"teach.members: weights: no such file {row.weights}")


def given_labels_mixed(job: Job) -> bool:
    """Whether soft labels that are given were made for mixed views. Raises RequestError for files of both kinds."""
    kinds = {labels.mixed for labels in load_given_soft_labels(job)}
    if len(kinds) > 1:
        raise RequestError("--soft-labels: some files were made for mixed views and some were not; expected one kind")
    return kinds == {True}


def contest_of(job: Job) -> Contest:
    """The contest as it is; reading it refuses everything that is wrong with it. Raises RequestError."""
    return read_contest(opened_contest(job), job.settings.data)


def opened_contest(job: Job) -> Source:
    """The files of the contest."""
    return open_source(Path(job.request.data), job.settings.data.zip_encoding)


def _refuse_another_submission(job: Job, contest: str) -> None:
    """A run that is new here writes over no submission of another contest. Raises RequestError."""
    if job.run.request.exists():
        return
    try:
        delivered = json.loads((job.run.submission / "manifest.json").read_text())["contest"]
    except (OSError, ValueError, KeyError, TypeError):  # nothing was delivered, or what lies there is no submission
        return
    if delivered != contest:
        other = f"{job.run.submission} is of another contest ({delivered})"
        raise RequestError(f"--name {job.run.name}: {other}; give this run another name")


def check_budget(job: Job, classes: tuple[str, ...]) -> None:
    """What a packed file will take is known, or nearly, before its weights are: a hopeless budget is refused here.

    So is a file that the student cannot start from.
    """
    precision, budget = job.settings.pack.precision, job.request.budget_bytes
    if job.settings.distill.training_share == 0 and job.request.trains_inductively:
        raise RequestError("distill.training_share: 0 leaves nothing to learn from where test images take no part")
    architecture = choose_architecture(job.settings, classes, budget)
    bit_plan(job.settings.quantise, architecture)
    check_warm_start(job, architecture, classes)
    if (wanted := job.settings.factorise.size_bytes) and not job.settings.factorise.is_on:
        raise RequestError(f"factorise.size_bytes: {wanted}, but factorise.form is none; set a form, or leave it 0")
    if job.settings.makes_smaller():
        return  # how much smaller its file becomes is not known yet
    best = "low-bit" if precision == "auto" else precision
    size = expected_bytes(job.settings.quantise, architecture, classes, best, COARSEST)
    if size > budget:
        which = "smallest packed file" if precision == "auto" else "packed file"
        about = "about " if best == "low-bit" else ""  # its size depends on the weights
        raise RequestError(
            f"--budget {budget}: the {which} of {name_of(architecture)} takes {about}{size} bytes ({best}), "
            "nothing was trained"
        )
