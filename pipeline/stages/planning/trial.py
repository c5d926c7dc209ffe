"""The trial: how fast this machine does each part of a run, on random images of the right shape.

Networks are trained by the one train loop, members side by side as in a run. N images, V = 1 view, C classes,
H = W = image size.
"""

import functools
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from torch import Tensor, nn

from models.students.build import build_student
from models.teachers.build import build_teacher
from pipeline.contest.contest import Contest
from pipeline.contest.decode import decode_images
from pipeline.contest.source import Source
from pipeline.data.augment import Batch
from pipeline.data.batches import Normalisation, TrainingSet
from pipeline.data.views import ViewTask, create_image_array, make_view
from pipeline.runtime.device import Device, pick_device, shared_by_processes
from pipeline.runtime.engine import map_items, worker_count
from pipeline.runtime.request import Job
from pipeline.runtime.settings import StepDevice
from pipeline.runtime.training_settings import MemberSettings, ProgressiveTrainingSettings
from pipeline.stages.planning.forecast import MemberSpeed, Speeds, at_once, kind_of, kind_row
from pipeline.stages.planning.image_files import sample
from pipeline.stages.planning.sizes import USUAL
from pipeline.stages.student.network import choose_architecture
from pipeline.stages.teacher.member_steps import members_at_once
from pipeline.training.inference import predict_log_probs
from pipeline.training.loop import EpochResult, TrainingPlan, train
from pipeline.training.losses import member_loss, student_loss
from pipeline.training.members import inference_member

# Steps of an epoch; of each image size a first epoch warms up and a second is timed: 20 steps, 24 at three sizes.
# Large images have fewer, so that the trial stays short.
STUDENT_STEPS, MEMBER_STEPS, FEWEST_STEPS = 10, 4, 2
PREDICTED, VIEWED, DECODED = 256, 64, 32  # images
NEVER_SECONDS = 1e9
CPU = Device(torch.device("cpu"), torch.float32, "cpu")  # packed files predict there, in float32
NORMALISATION = Normalisation((128.0,) * 3, (64.0,) * 3)


@dataclass(frozen=True)
class _MemberTrial:
    """One member to time, as a process of its own is given it."""

    row: MemberSettings
    classes: int
    image_size: int
    device: StepDevice


def measure(jobs: Sequence[Job], contest: Contest, source: Source) -> Speeds:
    """The speeds of runs of a contest that differ by their members, views and epochs alone."""
    job, classes = jobs[0], contest.classes
    size, workers = job.settings.data.image_size, worker_count(job.settings.device.workers)
    side_by_side = members_at_once(job)
    with tempfile.TemporaryDirectory(prefix="trial-") as folder:
        student, packed = _time_student(job, classes, Path(folder))
        views = {policy: _time_view(policy, size, Path(folder)) for policy in ("student", "teacher")}
    return Speeds(
        workers=workers,
        members_at_once=side_by_side,
        decode=_time_decoding(source, sample(contest.splits["training"], DECODED), size),
        views=views,
        members=_time_members([] if job.request.soft_labels else jobs, len(classes), side_by_side),
        student=student,
        packed=packed,
    )


def _time_members(jobs: Sequence[Job], classes: int, side_by_side: int) -> dict[tuple[int, str], MemberSpeed]:
    """Every kind of member, by how many of them work at once; the others of a run are copies of it."""
    wanted: dict[int, dict[str, _MemberTrial]] = {}
    for job in jobs:
        kinds = wanted.setdefault(at_once(job, side_by_side), {})
        for row in job.settings.teach.members:
            kinds[kind_of(row)] = _MemberTrial(kind_row(row), classes, job.settings.data.image_size, job.device)
    return {(places, kind): speed for places, kinds in wanted.items() for kind, speed in _timed(kinds, places).items()}


def _timed(kinds: Mapping[str, _MemberTrial], places: int) -> dict[str, MemberSpeed]:
    names = [kind for kind in kinds for _ in range(places)]
    shares = places if places > 1 else None
    speeds = list(map_items(_time_member, [kinds[name] for name in names], places, shares))
    found = {kind: [speed for name, speed in zip(names, speeds, strict=True) if name == kind] for kind in kinds}
    return {
        kind: MemberSpeed(mean(one.training for one in of_kind), mean(one.prediction for one in of_kind))
        for kind, of_kind in found.items()
    }


def _time_member(trial: _MemberTrial) -> MemberSpeed:
    row, device = trial.row, pick_device(trial.device)
    network = build_teacher(
        row.network,
        classes=trial.classes,
        image_size=trial.image_size,
        keep_kernels=row.pretrained,
        small_images=row.small_images,
        options=row.options,
    )
    with tempfile.TemporaryDirectory(prefix="trial-") as folder:
        training_set = _random_set(row, MEMBER_STEPS, trial.classes, trial.image_size, Path(folder))
        training = _time_training(network, training_set, member_loss, row, device, Path(folder))
    prediction = _time_prediction(inference_member(network, row), trial.image_size, device)
    return MemberSpeed(training, prediction)


def _time_student(job: Job, classes: tuple[str, ...], folder: Path) -> tuple[float, float]:
    """Seconds per image of training the student, and of predicting with its packed file."""
    own = job.settings.distill
    device = shared_by_processes(pick_device(job.device), own.batch_size, job.device.workers)
    architecture = choose_architecture(job.settings, classes, job.request.budget_bytes)
    size = job.settings.data.image_size
    loss_of = functools.partial(student_loss, alpha=own.alpha, temperature=own.temperature)
    training_set = _random_set(own, STUDENT_STEPS, len(classes), size, folder)
    training = _time_training(build_student(architecture), training_set, loss_of, own, device, folder)
    return training, _time_prediction(build_student(architecture, folded=True), size, CPU)


def _random_set(
    settings: ProgressiveTrainingSettings, steps: int, classes: int, image_size: int, folder: Path
) -> TrainingSet:
    """A training set of so many images that an epoch has `steps` steps, or fewer; only a student's has soft labels."""
    steps = max(FEWEST_STEPS, round(steps * min(1.0, USUAL / image_size) ** 2))
    count = steps * settings.batch_size
    soft_VNC = None if isinstance(settings, MemberSettings) else torch.randn(1, count, classes).log_softmax(2).half()
    views = [[_random_images(folder / "trained.npy", count, image_size)]]
    return TrainingSet(views, torch.arange(count) % classes, soft_VNC, classes, NORMALISATION, sizes=settings.sizes)


def _random_images(path: Path, count: int, image_size: int) -> Path:
    images_NHWC = create_image_array(path, count, image_size)
    images_NHWC[:] = np.random.default_rng(0).integers(0, 256, images_NHWC.shape, np.uint8)
    images_NHWC.flush()
    return path


def _time_training(
    network: nn.Module,
    training_set: TrainingSet,
    loss_of: Callable[[Tensor, Batch], Tensor],
    settings: ProgressiveTrainingSettings,
    device: Device,
    folder: Path,
) -> float:
    """Seconds per image of the train loop, the mean over the sizes of the set."""
    epochs = 2 * max(1, len(training_set.sizes))
    short = settings.model_copy(update={"epochs": epochs, "checkpoint_seconds": NEVER_SECONDS})
    timed: list[float] = []

    def on_epoch(result: EpochResult) -> None:
        if result.epoch % 2 == 0:
            timed.append(result.seconds)

    train(network, training_set, loss_of, TrainingPlan("trial", short, 0, folder / "last", ""), device, on_epoch)
    return mean(timed) / training_set.images


def _time_prediction(network: nn.Module, image_size: int, device: Device) -> float:
    network.to(device.where).to(memory_format=torch.channels_last)
    images_NHWC = np.random.default_rng(0).integers(0, 256, (PREDICTED, image_size, image_size, 3), np.uint8)

    def predict() -> None:
        predict_log_probs(network, images_NHWC, NORMALISATION, device)

    predict()  # warms up
    return _seconds(predict) / PREDICTED


def _time_view(policy: str, image_size: int, folder: Path) -> float:
    ids = tuple(map(str, range(VIEWED)))
    task = ViewTask(_random_images(folder / "clean.npy", VIEWED, image_size), ids, policy, 0, 1)
    make_view(task, folder / "view.npy")  # warms up
    return _seconds(lambda: make_view(task, folder / "view.npy")) / VIEWED


def _time_decoding(source: Source, files: Sequence[str], image_size: int) -> float:
    images_NHWC = np.empty((len(files), image_size, image_size, 3), np.uint8)
    decode = functools.partial(decode_images, source, files, image_size, images_NHWC, workers=1)
    return _seconds(lambda: decode(on_done=lambda _: None)) / len(files)


def _seconds(work: Callable[[], object]) -> float:
    start = time.monotonic()
    work()
    return time.monotonic() - start
