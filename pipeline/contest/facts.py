"""The contest as a run stores it, in JSON: classes, ids, labels, channel statistics and the format of the CSV."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

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
    mean: tuple[int, int, int]  # of the training images, units of 1/255
    std: tuple[int, int, int]


def save_contest(path: Path, contest: Contest, statistics: tuple[tuple[int, int, int], tuple[int, int, int]]) -> None:
    """Write what the run needs of a contest. statistics: mean and standard deviation of each channel."""
    ids = {split: tuple(record.id for record in records) for split, records in contest.splits.items()}
    labels = {split: tuple(record.label for record in records) for split, records in contest.splits.items()}
    facts = ContestFacts(contest.name, contest.classes, ids, labels, contest.submission, *statistics)
    write_json(path, asdict(facts))


def load_contest(path: Path) -> ContestFacts:
    """Read what save_contest wrote."""
    facts = json.loads(path.read_text())
    return ContestFacts(
        name=facts["name"],
        classes=tuple(facts["classes"]),
        ids={split: tuple(ids) for split, ids in facts["ids"].items()},
        labels={split: tuple(labels) for split, labels in facts["labels"].items()},
        submission=SubmissionFormat(**{key: tuple(value) for key, value in facts["submission"].items()}),
        mean=(facts["mean"][0], facts["mean"][1], facts["mean"][2]),
        std=(facts["std"][0], facts["std"][1], facts["std"][2]),
    )
