"""A stratified validation split for contests that have none."""

from collections.abc import Sequence

from pipeline.errors import RequestError


def split_off_validation(labels: Sequence[int], fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Row numbers that stay in training and those split off, both ascending; every class keeps an image in training.

    labels: class of each row, each class at least twice; fraction of the rows split off, in (0, 0.5]. Raises
    RequestError when the fraction is outside.
    """
    from sklearn.model_selection import train_test_split

    if not 0 < fraction <= 0.5:
        raise RequestError(f"data.validation_fraction: found {fraction}, expected above 0 and at most 0.5")
    # Rounded down, so that a class of two never loses both: its share of training stays at least 1.
    size = max(int(fraction * len(labels) + 1e-9), len(set(labels)))
    kept, split_off = train_test_split(list(range(len(labels))), test_size=size, random_state=seed, stratify=labels)
    return sorted(kept), sorted(split_off)
