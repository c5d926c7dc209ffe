"""A study from the contest to its table: what its cells share once, then every cell that is missing.

Each step lies in a folder named by the digest of what it reads, so equal steps of all cells and studies are one, and
the same command again goes on at the cell, the step and the epoch where it ended.
"""

import contextlib
import dataclasses
import functools
import importlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from pipeline.runtime.atomic import write_bytes
from pipeline.runtime.console import prefixed, say
from pipeline.runtime.device import usable_device
from pipeline.runtime.engine import map_items, worker_count
from pipeline.runtime.errors import RequestError
from pipeline.runtime.records import Record, write_record
from pipeline.runtime.request import Job, save_request
from pipeline.runtime.waves import Wave
from pipeline.stages.arithmetic import with_arithmetic
from pipeline.stages.carry_out import carry_out, run_wave
from pipeline.stages.check_request import check_budget, check_members, contest_of, given_labels_mixed
from pipeline.stages.run import STAGES, Stage, stage_named
from pipeline.stages.shipped import shipped_file
from pipeline.stages.study_catalogue import study_module
from pipeline.studies.engine.plots import plot_study
from pipeline.studies.engine.study import Cell, Finished, Options, Study, Summary
from pipeline.studies.engine.study_record import study_record
from pipeline.studies.engine.tables import table_lines, write_table

Jobs = Sequence[tuple[Cell, Job]]


def load_study(name: str) -> Study:
    """The study of a file of pipeline/studies."""
    return importlib.import_module(f"pipeline.studies.{study_module(name)}").STUDY


def run_study(name: str, job: Job, stated: Mapping[str, Any], budgets: Sequence[int], seeds: int) -> None:
    """Do what is missing of a study, and show its rows; `stated`: what its preset and --set say.

    Raises RequestError, before anything is trained.
    """
    started = time.monotonic()
    usable_device(job.settings.device)  # refuses a device that is not there
    study = load_study(name)
    if budgets and not study.budgets:
        raise RequestError(f"study {name} takes no --budgets: its cells have none, or one of their own")
    if study.until == "export" and job.request.soft_labels:
        raise RequestError(f"study {name} trains the members that it measures, so it has no --soft-labels")
    options = Options(tuple(dict.fromkeys(budgets or study.budgets)), seeds, job.settings)
    mixed = {"given_labels_mixed": given_labels_mixed(job)}
    job = dataclasses.replace(job, request=job.request.model_copy(update=mixed))
    jobs = [(cell, cell.job(job, stated)) for cell in study.cells(options)]
    stages = _stages(study)
    _check(job, jobs, students=any(stage.package == "student" for stage in stages))
    with job.run.locked(f"run {job.run.name} is going on in another process; give this one another --name"):
        save_request(job.run, job.request)
        say(f"study {name}: {job.request.data}, preset {job.request.preset}, {job.request.protocol}, {len(jobs)} cells")
        arithmetic = with_arithmetic(job).arithmetic
        jobs = [(cell, dataclasses.replace(own, arithmetic=arithmetic)) for cell, own in jobs]
        finished: list[Finished] = []
        for done in _finish(study, jobs, stages):
            finished.append(done)
            _deliver(name, study, job, finished)
        summary = study.summary(finished)
        _say_result(name, study, job, finished, summary)
        record = study_record(job, stated, finished, study.reading, summary, time.monotonic() - started)
        write_record(job.run.submission / f"{name}.json", record)


def _stages(study: Study) -> list[Stage]:
    """The stages of a cell, in order, up to the last one that the study wants; not every cell needs each of them."""
    names = [stage.name for stage in STAGES]
    wanted = names[: names.index(study.until) + 1]
    return [stage for stage in map(stage_named, wanted) if stage.has_steps]


def _finish(study: Study, jobs: Jobs, stages: Sequence[Stage]) -> Iterator[Finished]:
    """Yield the cells in order, each when it is done.

    A cell has one part of the cores of so many that there are workers, however many cells there are: its bytes do not
    depend on the study that it is a part of.
    """
    workers = _workers(jobs[0][1])
    for stage in stages:
        needing = [job for _, job in jobs if stage.needed(job)]
        if stage.shared and needing:
            _run_together(stage, needing, workers)
    own = [stage for stage in stages if not stage.shared]
    at_once = min(workers, len(jobs)) if own else 1
    # a cell that has a process to itself starts no others
    alone = [(cell, _with_one_worker(job) if workers > 1 else job) for cell, job in jobs]
    work = functools.partial(_finish_cell, study.rows, own, at_once > 1)
    return map_items(work, alone, at_once, workers if workers > 1 else None)


def _run_together(stage: Stage, jobs: Sequence[Job], workers: int) -> None:
    """One stage of all cells, wave by wave: what several of them want is done once."""
    for waves in zip(*(stage.waves(job) for job in jobs), strict=True):
        run_wave(_merged(waves, workers), full_check=jobs[0].full_check)


def _merged(waves: Iterable[Wave], workers: int) -> Wave:
    waves = list(waves)
    steps = {}
    for step in (step for wave in waves for step in wave.steps):
        step.settle()
        steps.setdefault(step.run.place(step.name), step)
    at_once = max(wave.at_once for wave in waves)
    shares = workers if at_once > 1 and workers > 1 else None
    return Wave(list(steps.values()), at_once, shares, waves[0].many)


def _finish_cell(
    rows: Callable[[Cell, Job], Sequence[Record]],
    stages: Sequence[Stage],
    side_by_side: bool,
    cell_and_job: tuple[Cell, Job],
) -> Finished:
    cell, job = cell_and_job
    name = f"{cell.name}, seed {cell.seed}"
    with prefixed(f"{name}: ") if side_by_side else contextlib.nullcontext():
        say(f"cell {name}")
        for stage in stages:
            if stage.needed(job):
                carry_out(stage, job)
    return Finished(cell, job, rows(cell, job))


def _workers(job: Job) -> int:
    """On a CPU so many cells at once, a process each; on a GPU they take turns."""
    on_cpu = usable_device(job.settings.device).type == "cpu"
    return worker_count(job.settings.device.workers) if on_cpu else 1


def _with_one_worker(job: Job) -> Job:
    device = job.settings.device.model_copy(update={"workers": 1})
    settings = job.settings.model_copy(update={"device": device})
    return dataclasses.replace(job, request=job.request.model_copy(update={"settings": settings}))


def _deliver(name: str, study: Study, job: Job, finished: Sequence[Finished]) -> None:
    """Bring table, plot and files up to the cell that is done."""
    folder, last = job.run.submission, finished[-1]
    rows = [row for done in finished for row in done.rows]
    write_table(folder / f"{name}.csv", rows)
    plot_study(folder / f"{name}.png", study, rows, job.request.protocol)
    if study.delivers and last.cell.seed == 0:
        write_bytes(folder / f"{last.cell.name}.bin", shipped_file(last.job).read_bytes())
        write_bytes(folder / f"{last.cell.name}.csv", last.job.artifacts.predictions.path.read_bytes())


def _say_result(name: str, study: Study, job: Job, finished: Sequence[Finished], summary: Summary) -> None:
    for table, rows in summary.tables.items():
        write_table(job.run.submission / f"{table}.csv", rows)
    lines = [*table_lines([row for done in finished for row in done.rows]), *summary.lines]
    say("\n".join([*lines, study.reading, f"study {name}: in {job.run.submission}"]))


def _check(study_job: Job, jobs: Jobs, *, students: bool) -> None:
    """Refuse what cannot end well before anything is trained."""
    if not jobs:
        raise RequestError("this study has no cells here: it needs at least one row of teach.members")
    contest = contest_of(study_job)
    if not contest.splits["testing"]:
        raise RequestError(
            f"{study_job.request.data}: a study needs test images; --set data.test_fraction=0.2 holds some out"
        )
    for _, job in jobs:
        check_members(job)
        if job.request.inductive and job.settings.distill.final_phase.images == "testing":
            raise RequestError("--inductive: this study has students of both protocols; leave it out")
        if students:
            check_budget(job, contest.classes)
