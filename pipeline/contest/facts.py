"""The contest as a run stores it, in JSON: classes, ids, labels, channel statistics and the format of the CSV."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.contest.contest import Contest
from pipeline.contest.submission_format import SubmissionFormat
from pipeline.runtime.atomic import write_json


@dataclass(frozen=True)
class ContestFacts:
    """What every step after decoding needs of the contest."""

    name: str
    classes: tuple[str, ...]
    ids: dict[str, tuple[str, ...]]  # by split, in the order of the stored images
    labels: dict[str, tuple[int, ...]]  # likewise; -1 where it is unknown
    submission: SubmissionFormat
    test_labels: tuple[int, ...]  # of the test images where their folders show them, else -1; nothing learns from them
    undecodable: tuple[int, ...]  # rows of test images that no pixel is known of
    skipped: tuple[str, ...]  # labelled images that were left out as broken
    mean: tuple[int, int, int]  # of the training images, units of 1/255
    std: tuple[int, int, int]


def save_contest(
    path: Path,
    contest: Contest,
    statistics: tuple[tuple[int, int, int], tuple[int, int, int]],
    *,
    undecodable: tuple[int, ...] = (),
    skipped: tuple[str, ...] = (),
) -> None:
    """Write what the run needs of a contest. statistics: mean and standard deviation of each channel."""
    ids = {split: tuple(record.id for record in records) for split, records in contest.splits.items()}
    labels = {split: tuple(record.label for record in records) for split, records in contest.splits.items()}
    facts = ContestFacts(
        contest.name,
        contest.classes,
        ids,
        labels,
        contest.submission,
        contest.test_labels,
        undecodable,
        skipped,
        *statistics,
    )
    write_json(path, asdict(facts))


def load_contest(path: Path) -> ContestFacts:
    """Read what save_contest wrote."""
    facts = json.loads(path.read_text())
    return ContestFacts(
        name=facts["name"],
        classes=tuple(facts["classes"]),
        ids={split: tuple(ids) for split, ids in facts["ids"].items()},
        labels={split: tuple(labels) for split, labels in facts["labels"].items()},
        submission=_submission(facts["submission"]),
        test_labels=tuple(facts["test_labels"]),
        undecodable=tuple(facts["undecodable"]),
        skipped=tuple(facts["skipped"]),
        mean=(facts["mean"][0], facts["mean"][1], facts["mean"][2]),
        std=(facts["std"][0], facts["std"][1], facts["std"][2]),
    )


def _submission(values: dict[str, Any]) -> SubmissionFormat:
    separator = values.pop("separator")
    return SubmissionFormat(**{name: tuple(value) for name, value in values.items()}, separator=separator)
