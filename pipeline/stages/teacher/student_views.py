"""The student's views as inputs of the steps that label them: all of a split that it learns from, else view 0."""

from collections.abc import Mapping

from pipeline.runtime.artifacts import Artifact, view_name, views_of
from pipeline.runtime.folder import SPLITS
from pipeline.runtime.request import Job


def student_view_counts(job: Job) -> dict[str, int]:
    """Number of views of every split."""
    return {split: job.student_views(split) for split in SPLITS}


def student_view_inputs(job: Job) -> dict[str, Artifact]:
    """The views by name."""
    return views_of(job.artifacts, "student", student_view_counts(job))


def digests_by_split(digests: Mapping[str, str], counts: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
    """The digests of the views of every split, in order, from those of a step's inputs."""
    return {split: tuple(digests[view_name(split, view)] for view in range(count)) for split, count in counts.items()}
