"""Prepare: decode every image once, and make the stored views that teachers and student learn from.

Reads: the contest. Writes: contest.json, views/clean/<split>.npy, views/<bank>/<split>.<view>.npy (uint8 [N, H, W, 3]).
Cost on two cores: 16,643 food11 images decoded in 4 s, then about 3,000 views a second and core.
"""

import contextlib
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path

import numpy as np

from pipeline.contest.contest import Contest, read_contest
from pipeline.contest.decode import channel_statistics, decode_images
from pipeline.contest.facts import ContestFacts, load_contest, save_contest
from pipeline.contest.source import open_source
from pipeline.data.views import POLICIES_VERSION, ViewTask, create_image_array, make_view
from pipeline.runtime.atomic import atomic_file, value_digest
from pipeline.runtime.console import progress, say
from pipeline.runtime.engine import worker_count
from pipeline.runtime.folder import SPLITS
from pipeline.runtime.request import Job
from pipeline.runtime.steps import Step, run_step, why_not_current

FEWEST_IMAGES_FOR_A_POOL = 2_000  # a worker needs seconds to start; a small contest is done by then


StoredView = tuple[str, str, int]  # bank, split, number


def prepare(job: Job, _: object) -> None:
    """Decode the contest and make every view that this run needs; what is there already is skipped."""
    _decode(job)
    facts, wanted = load_contest(job.run.contest), job.stored_views()
    steps = {stored: _step(job, stored, facts) for stored in wanted}
    stale = [
        stored for stored in wanted if why_not_current(job.run, steps[stored], full_check=job.full_check) is not None
    ]
    if len(stale) < len(wanted):
        say(f"prepare: {len(wanted) - len(stale)} of {len(wanted)} views done before, skipped")
    with _pool(job, stale) as pool:
        for stored in stale:
            _make(job, stored, steps[stored], facts.ids[stored[1]], pool)


def _decode(job: Job) -> None:
    source = open_source(Path(job.request.data))
    writes = (job.run.contest, *(job.run.clean(split) for split in SPLITS))
    step = Step("prepare-decode", 1, {"contest": source.digest()}, job.settings.data.model_dump(), writes, quick=True)

    def work() -> None:
        data, workers = job.settings.data, worker_count(job.settings.device.workers)
        contest = read_contest(source, validation_fraction=data.validation_fraction, seed=data.seed)
        if not contest.has_sample:
            say("prepare: no sample_submission.csv in the contest, so the CSV will have the header Id,label")
        with progress("decoding", sum(map(len, contest.splits.values()))) as on_done:
            for split in SPLITS:
                files = [record.file for record in contest.splits[split]]
                with atomic_file(job.run.clean(split)) as temporary:
                    images_NHWC = create_image_array(temporary, len(files), data.image_size)
                    decode_images(
                        source,
                        files,
                        data.image_size,
                        images_NHWC,
                        workers=workers,
                        on_done=on_done,
                    )
                    images_NHWC.flush()
        _save_facts(job, contest)

    run_step(job.run, step, work, full_check=job.full_check)


def _save_facts(job: Job, contest: Contest) -> None:
    training_NHWC = np.load(job.run.clean("training"), mmap_mode="r")
    save_contest(job.run.contest, contest, channel_statistics(training_NHWC))


def _step(job: Job, stored: StoredView, facts: ContestFacts) -> Step:
    bank, split, _ = stored
    settings = {"policy": job.policy_of(bank), "seed": job.settings.views.seed, "version": POLICIES_VERSION}
    settings["ids"] = value_digest(facts.ids[split])  # each image's own seed comes from its id
    reads = {"images": job.artifacts.clean(split).digest()}
    return Step(job.run.view_step(*stored), 1, reads, settings, (job.run.view(*stored),), quick=True)


def _make(job: Job, stored: StoredView, step: Step, split_ids: Sequence[str], pool: Executor | None) -> None:
    bank, split, view = stored
    out = job.run.view(*stored)
    ids = tuple(f"{split}/{image_id}" for image_id in split_ids)
    task = ViewTask(job.run.clean(split), ids, step.settings["policy"], step.settings["seed"], view)

    def work() -> None:
        with progress(f"{bank} view {view} of {split}", len(ids)) as on_done, atomic_file(out) as temporary:
            make_view(task, temporary, pool, on_done)

    run_step(job.run, step, work, full_check=job.full_check)


@contextlib.contextmanager
def _pool(job: Job, wanted: list[StoredView]) -> Iterator[Executor | None]:
    images = sum(len(np.load(job.run.clean(split), mmap_mode="r")) for _, split, _ in wanted)
    count = worker_count(job.settings.device.workers)
    if count == 1 or images < FEWEST_IMAGES_FOR_A_POOL:
        yield None
        return
    # spawned, not forked: torch and its threads are alive in this process
    with ProcessPoolExecutor(count, multiprocessing.get_context("spawn")) as pool:
        yield pool
