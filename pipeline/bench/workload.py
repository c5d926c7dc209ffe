"""What the bench trains on: real training images as files, as decoded pixels and as two stored views.

N images, H = W = image size, C classes.
"""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from pipeline.contest.contest import read_contest
from pipeline.contest.decode import channel_statistics, decode_images, refuse_broken
from pipeline.contest.source import Source
from pipeline.data.views import ViewTask, create_image_array, make_view
from pipeline.runtime.data_settings import DataSettings

Rgb = tuple[int, int, int]


@dataclass(frozen=True)
class Workload:
    """Row i of every list and array is one image; a contest with fewer than N images gives some of them twice."""

    files: list[Path]
    labels: list[int]
    classes: int
    image_size: int
    views: list[Path]  # uint8 [N, H, W, 3] each; the first is clean
    mean: Rgb
    std: Rgb
    decoded_per_second: float  # images, by one core
    viewed_per_second: float  # images, by one core, student policy


def build_workload(source: Source, data: DataSettings, images: int, folder: Path) -> Workload:
    """Write N = `images` training images of a contest below `folder` and measure how long preparing them takes."""
    contest = read_contest(source, data)
    records = list(itertools.islice(itertools.cycle(contest.splits["training"]), images))
    files = []
    for row, record in enumerate(records):
        files.append(folder / f"{row:06d}{PurePosixPath(record.file).suffix}")
        files[-1].write_bytes(source.read(record.file))
    clean, view = folder / "clean.npy", folder / "view.npy"

    def decode() -> None:
        names = [record.file for record in records]
        broken = decode_images(source, names, data.image_size, pixels_NHWC, workers=1, on_done=lambda _: None)
        refuse_broken(broken, len(names), source)

    def augment() -> None:
        ids = tuple(f"{row}/{record.id}" for row, record in enumerate(records))
        make_view(ViewTask(clean, ids, "student", 0, 1), view)

    pixels_NHWC = create_image_array(clean, images, data.image_size)
    decoded = _per_second(decode, images)
    pixels_NHWC.flush()
    viewed = _per_second(augment, images)
    mean, std = channel_statistics(np.load(clean, mmap_mode="r"))
    labels = [record.label for record in records]
    return Workload(files, labels, len(contest.classes), data.image_size, [clean, view], mean, std, decoded, viewed)


def _per_second(work: Callable[[], None], images: int) -> float:
    start = time.perf_counter()
    work()
    return images / (time.perf_counter() - start)
