"""Carries out the whole run, or one stage of a run that was started before."""

import time
from collections.abc import Sequence
from dataclasses import replace

from pipeline.contest.digits import write_digits
from pipeline.contest.found_lines import found_lines
from pipeline.runtime.atomic import atomic_folder
from pipeline.runtime.console import say
from pipeline.runtime.device import pick_device, usable_device
from pipeline.runtime.errors import RequestError
from pipeline.runtime.records import read_manifest
from pipeline.runtime.request import Job, Request, load_request, save_request
from pipeline.stages.arithmetic import with_arithmetic
from pipeline.stages.carry_out import carry_out, run_wave
from pipeline.stages.check_request import check_request, given_labels_mixed
from pipeline.stages.delivery.deliver import MANIFEST, deliver
from pipeline.stages.planning.lines import taken_line
from pipeline.stages.planning.plan import with_plan
from pipeline.stages.request import embedded_contest, is_embedded
from pipeline.stages.run import STAGES, Stage, stage_named


def run_all(asked: Job, changes: Sequence[str]) -> None:
    """Carry out a request from the contest to the delivered files; changes: those of --set, for a plan.

    What is wrong with the request is refused first, before anything is trained. Raises RequestError, and
    AnswerIsNoError where the file does not fit.
    """
    started = time.monotonic()
    usable_device(asked.settings.device)  # refuses a device that is not there
    _write_digits(asked)
    contest = check_request(asked)
    found = {"has_test_images": bool(contest.splits["testing"]), "given_labels_mixed": given_labels_mixed(asked)}
    asked = replace(asked, request=asked.request.model_copy(update=found))
    with asked.run.locked(f"run {asked.run.name} is going on in another process; give this one another --name"):
        resumed = asked.run.request.exists()
        _say_changes(asked)
        say("\n".join(found_lines(contest)))
        job = with_plan(with_arithmetic(asked), changes)
        request = job.request
        save_request(job.run, request)
        on = pick_device(job.device).name
        say(f"run {request.name}: {request.data}, {_recipe(request)}, {request.protocol}, on {on}")
        stages, seconds = [stage for stage in STAGES if stage.needed(job)], {}
        for number, stage in enumerate(stages, 1):
            say(f"stage {number} of {len(stages)}: {stage.name}")
            seconds[stage.name] = carry_out(stage, job)
        took = {name: value for name, value in seconds.items() if value is not None}
        run_wave(deliver(job, took), full_check=job.full_check)
        if request.minutes is not None and request.plan:
            say(taken_line(request.minutes, request.plan, time.monotonic() - started, resumed=resumed))
        _say_delivered(job)


def run_stage(stage: Stage, job: Job, member: int | None) -> None:
    """Do one stage of a run that was started before. Raises RequestError when it is too early."""
    if job.request.study:
        raise RequestError(f"--name {job.run.name} is a study; ./run.sh study {job.request.study} goes on with it")
    if stage.package == "student" and not stage.needed(job):
        say(f"{stage.name}: is off in run {job.run.name}, nothing to do")
        return
    if stage.name != STAGES[0].name:
        job.artifacts.contest.digest()  # refuses where the contest has not been read
    if stage.on_device:
        usable_device(job.settings.device)  # refuses a device that is not there
        job = with_arithmetic(job)
    carry_out(stage, job, **({} if member is None else {"only": member}))
    if stage.gate:
        carry_out(stage_named("verify"), job)


def _recipe(request: Request) -> str:
    """Where the settings of a run come from."""
    if request.minutes is None:
        return f"preset {request.preset}"
    return f"{'planned' if request.plan else 'a new plan'} for {request.minutes:g} minutes"


def _say_changes(job: Job) -> None:
    """A line for what an existing run is asked now and was not before, but for its settings: their steps tell."""
    try:
        before = load_request(job.run)
    except RequestError:  # there is none, or a damaged one
        return
    if _recipe(before) != _recipe(job.request):
        say(f"run {job.run.name}: was {_recipe(before)}, now {_recipe(job.request)}")
    for name in ("budget_bytes", "protocol", "soft_labels"):
        old, new = getattr(before, name), getattr(job.request, name)
        if old != new:
            say(f"run {job.run.name}: {name.replace('_', ' ')} was {old or 'none'}, now {new or 'none'}")


def _write_digits(job: Job) -> None:
    """Write the embedded contest into the run that uses it, once and wholly."""
    if not is_embedded(job.run, job.request.data):
        return
    if not embedded_contest(job.run).exists():
        say("no --data and no data/ beside run.sh: using scikit-learn's handwritten digits")
        with atomic_folder(embedded_contest(job.run)) as unfinished:
            write_digits(unfinished)


def _say_delivered(job: Job) -> None:
    manifest = read_manifest(job.run.submission / MANIFEST)
    size = f"{manifest.packed_bytes:,} bytes, {manifest.parameters:,} parameters, {manifest.precision}"
    say(f"\ndelivered in {job.run.submission}:")
    say(f"  student.bin      {size}")
    for claim in manifest.accuracy:
        ensemble = manifest.teacher.ensemble if manifest.teacher and claim.split == "validation" else None
        beside = "" if ensemble is None else f", ensemble {ensemble:.2%}"
        name = {"validation": "validation", "testing": "test images"}[claim.split]
        say(f"  {name:<16} student {claim.value:.2%} (decoded file, {claim.protocol}){beside}")
    if manifest.metric_value is not None:
        say(f"  {manifest.metric:<16} {manifest.metric_value:.4f} on validation")
    where = {"testing": "test images", "validation": "validation", "training": "training images"}
    agreement = manifest.agreement
    say(f"  {where[agreement.split]:<16} student and ensemble agree on {agreement.value:.2%}")
    if agreement.split == "testing":
        say(f"  predictions.csv  {agreement.images:,} rows, ready to upload")
    else:
        say("  no CSV           the contest has no test images")
    if is_embedded(job.run, job.request.data):
        say("that was scikit-learn's handwritten digits; for a real contest:")
        say("  ./run.sh --data FOLDER_OR_ZIP --budget 300000")
    say(f"fits: {manifest.packed_bytes} of {manifest.budget_bytes} bytes")
