"""Prepare: decode every image once, and make the stored views that teachers and student learn from.

Reads: the contest. Writes: contest.json, views/clean/<split>.npy, views/<bank>/<split>.<view>.npy (uint8 [N, H, W, 3]).
Cost on two cores: 16,643 food11 images decoded in 4 s, then about 3,000 views a second and core.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.contest.contest import read_contest
from pipeline.contest.decode import channel_statistics, decode_images
from pipeline.contest.facts import load_contest, save_contest
from pipeline.contest.open_source import open_source
from pipeline.data.views import POLICIES_VERSION, ViewTask, create_image_array, make_view
from pipeline.runtime.atomic import atomic_file
from pipeline.runtime.console import progress, say
from pipeline.runtime.engine import worker_count
from pipeline.runtime.folder import SPLITS
from pipeline.runtime.request import Job
from pipeline.runtime.section import Section, setting
from pipeline.runtime.settings import DataSettings
from pipeline.runtime.steps import Opened, Step
from pipeline.runtime.waves import Wave

FEWEST_IMAGES_FOR_PROCESSES = 2_000  # a process needs seconds to start; a small contest is done by then


class DecodeSettings(Section):
    """What decides the decoded images."""

    data: DataSettings
    workers: int = setting(0, "processes that decode", execution=True)


class ViewStepSettings(Section):
    """What decides a stored view, beside the images: each image has a seed of its own, which its id is part of."""

    policy: str
    policies_version: int = POLICIES_VERSION
    seed: int
    view: int
    mixed: bool
    ids: tuple[str, ...]  # with the split's name before them


@dataclass(frozen=True)
class GivenContest:
    """The contest as an input of a step."""

    path: Path

    def digest(self) -> str:
        """The digest of its content; a zip that stays as it is is read once, however many cells of a study ask."""
        if not self.path.is_file():
            return open_source(self.path).digest()
        stat = self.path.stat()
        return _zip_digest(self.path, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=8)
def _zip_digest(path: Path, _size_bytes: int, _mtime_ns: int) -> str:
    return open_source(path).digest()


def prepare(job: Job) -> Iterator[Wave]:
    """Decode the contest and make every view that this run needs."""
    yield Wave([_decode_step(job)])
    ids = load_contest(job.artifacts.contest.path).ids
    steps = [_view_step(job, *stored, ids[stored[1]]) for stored in job.stored_views()]
    images = sum(len(step.settings.ids) for step in steps)
    workers = worker_count(job.settings.device.workers)
    yield Wave(steps, at_once=1 if images < FEWEST_IMAGES_FOR_PROCESSES else workers, many="views")


def _decode_step(job: Job) -> Step[DecodeSettings]:
    contest, artifacts = GivenContest(Path(job.request.data)), job.artifacts
    outputs = {"contest": artifacts.contest} | {split: artifacts.clean(split) for split in SPLITS}
    settings = DecodeSettings(data=job.settings.data, workers=job.settings.device.workers)
    return Step(job.run, "prepare-decode", 2, {"contest": contest}, settings, outputs, _decode, quick=True)


def _decode(opened: Opened[DecodeSettings]) -> None:
    data, workers = opened.settings.data, worker_count(opened.settings.workers)
    source = open_source(opened.inputs["contest"], data.zip_encoding)
    contest = read_contest(source, data)
    if not contest.has_sample:
        say("prepare: no sample_submission.csv in the contest, so the CSV will have the header Id,label")
    with progress("decoding", sum(map(len, contest.splits.values()))) as on_done:
        for split in SPLITS:
            files = [record.file for record in contest.splits[split]]
            with atomic_file(opened.outputs[split]) as temporary:
                images_NHWC = create_image_array(temporary, len(files), data.image_size)
                decode_images(source, files, data.image_size, images_NHWC, workers=workers, on_done=on_done)
                images_NHWC.flush()
    training_NHWC = np.load(opened.outputs["training"], mmap_mode="r")
    save_contest(opened.outputs["contest"], contest, channel_statistics(training_NHWC))


def _view_step(job: Job, bank: str, split: str, view: int, split_ids: tuple[str, ...]) -> Step[ViewStepSettings]:
    artifact = job.artifacts.view(bank, split, view)
    settings = ViewStepSettings(
        policy=job.policy_of(bank),
        seed=job.settings.views.seed,
        view=view,
        mixed=job.is_mixed(bank, view),
        ids=tuple(f"{split}/{image_id}" for image_id in split_ids),
    )
    inputs = {"images": job.artifacts.clean(split)}
    return Step(job.run, artifact.step, 2, inputs, settings, {"view": artifact}, _make_view, quick=True)


def _make_view(opened: Opened[ViewStepSettings]) -> None:
    own = opened.settings
    with atomic_file(opened.outputs["view"]) as temporary:
        make_view(ViewTask(opened.inputs["images"], own.ids, own.policy, own.seed, own.view, own.mixed), temporary)
