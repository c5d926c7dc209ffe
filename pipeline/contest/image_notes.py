"""What is worth a look in the images of a contest, a line each: balance, duplicates, test images in training."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.contest.contest import Contest
from pipeline.contest.decode import Broken
from pipeline.contest.duplicates import Duplicates, Image, find_duplicates
from pipeline.contest.found_lines import class_counts
from pipeline.contest.match_ids import shown

IMBALANCE = 10  # times as many images in the largest class as in the smallest


def image_notes(
    contest: Contest, images: Mapping[str, np.ndarray], broken: Mapping[str, Sequence[Broken]]
) -> list[str]:
    """Every line about the images of a contest. images: by split, uint8 [N, H, W, 3]; broken: those not decoded."""
    labels = {split: [record.label for record in contest.splits[split]] for split in images}
    left_out = {split: frozenset(found.row for found in broken.get(split, ())) for split in images}
    return balance_notes(contest) + duplicate_notes(contest, find_duplicates(images, labels, left_out))


def balance_notes(contest: Contest) -> list[str]:
    """A line where the largest class has many times the images of the smallest."""
    (most, many), *_, (fewest, few) = Counter(class_counts(contest)).most_common()
    return [f"imbalance: {many:,} labelled images of {most}, {few:,} of {fewest}"] if many >= IMBALANCE * few else []


def duplicate_notes(contest: Contest, duplicates: Duplicates) -> list[str]:
    """Lines about images that stand there twice: in one split, in two, with two classes."""
    return [
        line
        for kind, pairs in (("the same pixels", duplicates.same), ("nearly the same pixels", duplicates.near))
        for line in _notes(contest, kind, pairs)
    ]


def _notes(contest: Contest, kind: str, pairs: Sequence[tuple[Image, Image]]) -> list[str]:
    known = [pair for pair in pairs if min(pair[0].label, pair[1].label) >= 0]
    groups = {
        "pairs of one split with": [pair for pair in pairs if pair[0].split == pair[1].split],
        "validation images that training has too, with": [pair for pair in pairs if _splits(pair) == VALIDATION],
        "test images that are labelled too, with": [
            pair for pair in pairs if "testing" in _splits(pair) and _mixed(pair)
        ],
        "pairs of two classes with": [pair for pair in known if pair[0].label != pair[1].label],
    }
    return [
        f"{len(found):,} {name} {kind}: {shown([_pair(contest, pair) for pair in found])}"
        for name, found in groups.items()
        if found
    ]


VALIDATION = {"training", "validation"}


def _splits(pair: tuple[Image, Image]) -> set[str]:
    return {image.split for image in pair}


def _mixed(pair: tuple[Image, Image]) -> bool:
    return pair[0].split != pair[1].split


def _pair(contest: Contest, pair: tuple[Image, Image]) -> str:
    return " = ".join(contest.splits[image.split][image.row].file for image in pair)
