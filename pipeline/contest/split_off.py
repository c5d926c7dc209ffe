"""Splits that a contest does not have, made of its training images: stratified and seeded. N images."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from sklearn.model_selection import train_test_split

from pipeline.contest.match_ids import listed
from pipeline.contest.parts import Parts
from pipeline.contest.tree import Tree
from pipeline.runtime.data_settings import DataSettings
from pipeline.runtime.errors import RequestError


def split_off(tree: Tree, parts: Parts, data: DataSettings) -> tuple[Parts, list[str]]:
    """The parts with a validation split, and with test images where `data.test_fraction` asks for some; and notes.

    Raises RequestError where test images are asked for and there are some, and where too few images are left.
    """
    notes = []
    if data.test_fraction:
        if parts.testing:
            raise RequestError(
                f"{tree.where}: data.test_fraction is for contests without test images, this one has some"
            )
        kept, held_out = _parted(tree, parts.training, data.test_fraction, data.seed)
        parts = replace(parts, training=kept, testing=tuple(held_out), test_labels=held_out)
        notes.append(f"{len(held_out)} labelled images are held out as test images (data.test_fraction)")
    if parts.validation is None:
        single = [name for name, count in Counter(parts.training.values()).items() if count < 2]
        if single:
            notes.append(f"classes with a single training image, without a validation image: {listed(sorted(single))}")
        kept, held_out = _parted(tree, parts.training, data.validation_fraction, data.seed)
        parts = replace(parts, training=kept, validation=held_out)
    return parts, notes


def _parted(tree: Tree, labels: dict[str, str], fraction: float, seed: int) -> tuple[dict[str, str], dict[str, str]]:
    """Labels that stay and labels split off; classes of a single image stay whole."""
    counts = Counter(labels.values())
    files = [file for file, label in labels.items() if counts[label] > 1]
    if not files:
        raise RequestError(
            f"{tree.where}: every class has a single image, so none can be held out for validation; expected a "
            "validation split or more images"
        )
    _, chosen = split_off_validation([labels[file] for file in files], fraction, seed)
    held_out = {files[i] for i in chosen}
    kept = {file: label for file, label in labels.items() if file not in held_out}
    return kept, {file: label for file, label in labels.items() if file in held_out}


def split_off_validation(labels: Sequence[str], fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Rows that stay in training and rows split off, both ascending; every class keeps an image in training.

    labels: class of each row, each class at least twice. fraction: share of the rows that is split off, above 0 and at
    most 0.5.
    """
    assert 0 < fraction <= 0.5
    # Rounded down, so that a class of two keeps one: its share of training stays at least 1.
    size = max(int(fraction * len(labels) + 1e-9), len(set(labels)))
    kept, split_off = train_test_split(list(range(len(labels))), test_size=size, random_state=seed, stratify=labels)
    return sorted(kept), sorted(split_off)
