"""The forecast: what each part of a run will take, by arithmetic alone, from measured speeds and counted images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline.runtime.plan import PlannedSeconds
from pipeline.runtime.request import Job
from pipeline.runtime.training_settings import AugmentSettings, MemberSettings, TrainingSettings
from pipeline.training.schedule import validates_after

SAFETY_SHARE, SAFETY_SECONDS = 0.04, 20.0
LOW_BIT = 1.25  # a step with low-bit weights takes so many times one with float weights
FIXED_SECONDS = 40.0  # whatever the images: the trial itself, starting processes, coding the weights
MEASURED_FILES = 6  # packed files that are measured on validation


@dataclass(frozen=True)
class MemberSpeed:
    """Seconds per image of one member, while others work beside it as in a run."""

    training: float  # mean over its sizes
    prediction: float


@dataclass(frozen=True)
class Speeds:
    """What a trial measured, in seconds per image."""

    workers: int  # threads that decode, processes that make views
    members_at_once: int
    decode: float  # on one core
    views: Mapping[str, float]  # by policy, on one core
    members: Mapping[tuple[int, str], MemberSpeed]  # by how many work at once, and the kind of the member
    student: float
    packed: float  # a prediction of a packed file

    def scaled(self, area: float) -> "Speeds":
        """The speeds at images of `area` times the pixels: arithmetic grows with the pixels, decoding hardly does."""
        members = {
            key: MemberSpeed(found.training * area, found.prediction * area) for key, found in self.members.items()
        }
        views = {policy: seconds * area for policy, seconds in self.views.items()}
        return replace(self, views=views, members=members, student=self.student * area, packed=self.packed * area)


def kind_of(row: MemberSettings) -> str:
    """What two members share that take about equally long per image: all but seed, views, mixing and epochs."""
    return kind_row(row).model_dump_json()


def kind_row(row: MemberSettings) -> MemberSettings:
    """The row that stands for its kind."""
    alike = {"seed": 0, "policy": "", "augment": AugmentSettings(), "epochs": max(1, len(row.sizes)), "weights": ""}
    return row.model_copy(update=alike)


def forecast(job: Job, images: Mapping[str, int], speeds: Speeds) -> PlannedSeconds:
    """Seconds of every part of a run. images: how many each split of its contest has."""
    parts = {
        "prepare": _prepare(job, images, speeds),
        "members": 0.0 if job.request.soft_labels else _members(job, images, speeds),
        "labels": 0.0 if job.request.soft_labels else _labels(job, images, speeds),
        "student": _student(job, images, speeds),
        "packing": _packing(job, images, speeds),
    }
    return PlannedSeconds(**parts, safety=SAFETY_SHARE * sum(parts.values()) + SAFETY_SECONDS)


def at_once(job: Job, speeds_at_once: int) -> int:
    """How many members of a run work side by side."""
    return max(1, min(speeds_at_once, len(job.settings.teach.members)))


def last_to_end(seconds: Sequence[float], places: int) -> float:
    """When the last of several works is done that are begun in order, each as soon as one of the places is free."""
    free_at = [0.0] * places
    for duration in seconds:
        free_at[free_at.index(min(free_at))] += duration
    return max(free_at)


def _prepare(job: Job, images: Mapping[str, int], speeds: Speeds) -> float:
    decoded = sum(images.values()) * speeds.decode
    stored = [(bank, split, 2 if job.is_mixed(bank, view) else 1) for bank, split, view in job.stored_views()]
    made = [images[split] * speeds.views[job.policy_of(bank)] * views_of_it for bank, split, views_of_it in stored]
    return (decoded + sum(made)) / speeds.workers


def _members(job: Job, images: Mapping[str, int], speeds: Speeds) -> float:
    places = at_once(job, speeds.members_at_once)
    labelled = _count(images, job.request.labelled_splits)
    durations = []
    for row in job.settings.teach.members:
        speed = speeds.members[places, kind_of(row)]
        validating = _validations(row) * _validation_images(job, images) * speed.prediction
        durations.append(0.0 if row.weights else row.epochs * labelled * speed.training + validating)
    return last_to_end(durations, places)


def _labels(job: Job, images: Mapping[str, int], speeds: Speeds) -> float:
    places = at_once(job, speeds.members_at_once)
    predicted = sum(count * _passes(job, split) for split, count in images.items())
    rows = job.settings.teach.members
    return last_to_end([predicted * speeds.members[places, kind_of(row)].prediction for row in rows], places)


def _passes(job: Job, split: str) -> int:
    """How often a member predicts an image of a split: once per view, and for flip TTA its mirror images."""
    views = job.student_views(split)
    return views + {True: views, "clean": 1, False: 0}[job.settings.export.tta_flip]


def _student(job: Job, images: Mapping[str, int], speeds: Speeds) -> float:
    own, low_bit = job.settings.distill, job.settings.quantise
    passes = (own.epochs + LOW_BIT * low_bit.epochs) * _count(images, job.request.student_splits)
    validations = _validations(own) + _validations(low_bit)
    validated = validations * _validation_images(job, images)
    return passes * speeds.student + validated * speeds.student / 3  # a backward pass costs two forward passes


def _packing(job: Job, images: Mapping[str, int], speeds: Speeds) -> float:
    flips = 2 if job.settings.tta_flip() else 1
    predicted = sum(images.values()) + MEASURED_FILES * _validation_images(job, images)
    return FIXED_SECONDS + flips * predicted * speeds.packed


def _validations(training: TrainingSettings) -> int:
    epochs, every = training.epochs, training.validate_every
    return sum(validates_after(epoch, epochs, every) for epoch in range(1, epochs + 1))


def _validation_images(job: Job, images: Mapping[str, int]) -> int:
    return images["validation"] if "validation" in job.request.claimable_splits else 0


def _count(images: Mapping[str, int], splits: Sequence[str]) -> int:
    return sum(images[split] for split in splits)
