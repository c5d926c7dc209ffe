"""Prepare: decode every image once, and make the stored views that teachers and student learn from.

Reads: the contest. Writes: contest.json, views/clean/<split>.npy, views/<bank>/<split>.<view>.npy (uint8 [N, H, W, 3]).
Cost on two cores: 16,643 food11 images decoded in 4 s, then about 3,000 views a second and core.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipeline.contest.contest import Contest, read_contest
from pipeline.contest.decode import (
    Broken,
    channel_statistics,
    decode_images,
    decode_what_is_there,
    image_bits,
    refuse_broken,
)
from pipeline.contest.facts import load_contest, save_contest
from pipeline.contest.image_notes import image_notes
from pipeline.contest.match_ids import shown
from pipeline.contest.open_source import open_source
from pipeline.contest.source import Source
from pipeline.data.views import POLICIES_VERSION, ViewTask, create_image_array, make_view
from pipeline.runtime.atomic import atomic_file
from pipeline.runtime.console import progress, say
from pipeline.runtime.data_settings import DataSettings
from pipeline.runtime.engine import worker_count
from pipeline.runtime.errors import RequestError
from pipeline.runtime.folder import SPLITS
from pipeline.runtime.request import Job
from pipeline.runtime.section import Section, setting
from pipeline.runtime.steps import Opened, Step
from pipeline.runtime.waves import Wave

LABELLED = ("training", "validation")
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
    return Step(job.run, "prepare-decode", 3, {"contest": contest}, settings, outputs, _decode, quick=True)


def _decode(opened: Opened[DecodeSettings]) -> None:
    data, workers = opened.settings.data, worker_count(opened.settings.workers)
    source = open_source(opened.inputs["contest"], data.zip_encoding)
    contest = read_contest(source, data)
    bits = image_bits(source, [record.file for record in contest.splits["training"]])
    how = functools.partial(decode_images, workers=workers, bits=bits)
    decoded = {
        split: _decode_split(source, contest, split, opened.outputs[split], data.image_size, how) for split in SPLITS
    }
    broken = [found for split in LABELLED for found in decoded[split]]
    images = sum(len(contest.splits[split]) for split in LABELLED)
    if data.broken == "refuse":
        refuse_broken(broken, images, source, ", or --set data.broken=skip")
    contest = _without_broken(contest, decoded, opened.outputs)
    if broken:
        say(f"prepare: {len(broken)} broken images are left out: {shown([found.file for found in broken])}")
    images = {split: np.load(opened.outputs[split], mmap_mode="r") for split in SPLITS}
    for note in image_notes(contest, images, {"testing": decoded["testing"]}):
        say(f"note: {note}")
    hopeless = tuple(found.row for found in decoded["testing"])
    skipped = tuple(found.file for found in broken)
    statistics = channel_statistics(images["training"])
    save_contest(opened.outputs["contest"], contest, statistics, undecodable=hopeless, skipped=skipped)


def _decode_split(
    source: Source, contest: Contest, split: str, out: Path, image_size: int, decode: Callable[..., list[Broken]]
) -> list[Broken]:
    """Decode a split into its file with `decode`, which is decode_images of some workers.

    Returns the broken images; of test images those of which nothing is there.
    """
    files = [record.file for record in contest.splits[split]]
    with progress(f"decoding {split} images", len(files)) as on_done, atomic_file(out) as temporary:
        images_NHWC = create_image_array(temporary, len(files), image_size)
        broken = decode(source, files, image_size, images_NHWC, on_done=on_done)
        if split not in LABELLED:
            hopeless = decode_what_is_there(source, broken, images_NHWC)
            _say_broken_tests(broken, hopeless)
            broken = hopeless
        images_NHWC.flush()
    return broken


def _say_broken_tests(broken: Sequence[Broken], hopeless: Sequence[Broken]) -> None:
    lost = {found.file for found in hopeless}
    partly = [found.file for found in broken if found.file not in lost]
    if partly:
        say(f"prepare: {len(partly)} test images are cut short, answered from what is there: {shown(partly)}")
    if lost:
        files = shown([found.file for found in hopeless])
        say(f"prepare: {len(lost)} test images cannot be decoded, answered by the shares of the classes: {files}")


def _without_broken(contest: Contest, decoded: Mapping[str, Sequence[Broken]], outputs: Mapping[str, Path]) -> Contest:
    """The contest without the broken labelled images, whose rows are taken out of the files too.

    Raises RequestError where a class has no training image left.
    """
    splits = dict(contest.splits)
    for split in LABELLED:
        lost = {found.row for found in decoded[split]}
        if not lost:
            continue
        kept = [row for row in range(len(splits[split])) if row not in lost]
        splits[split] = tuple(splits[split][row] for row in kept)
        images_NHWC = np.load(outputs[split], mmap_mode="r")
        with atomic_file(outputs[split]) as temporary:
            rest_NHWC = create_image_array(temporary, len(kept), images_NHWC.shape[1])
            rest_NHWC[:] = images_NHWC[kept]
            rest_NHWC.flush()
    gone = {record.label for record in contest.splits["training"]} - {record.label for record in splits["training"]}
    if gone:
        raise RequestError(f"classes whose training images are all broken: {shown([contest.classes[i] for i in gone])}")
    return replace(contest, splits=splits)


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
