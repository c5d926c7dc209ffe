"""K-fold split of the labelled images: out-of-fold predictions come from members that did not train on the image.

N labelled images, in the order of the labelled splits; M members.
"""

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.model_selection import StratifiedKFold
from torch import Tensor


def fold_of_images(labels: Sequence[int], folds: int, seed: int) -> Tensor:
    """The fold of every image, int64 [N] in 0..folds-1, stratified by class; one split for all members.

    Every class has at least as many images as there are folds.
    """
    fold_N = torch.empty(len(labels), dtype=torch.int64)
    parts = StratifiedKFold(folds, shuffle=True, random_state=seed).split(np.zeros(len(labels)), labels)
    for fold, (_, rows) in enumerate(parts):
        fold_N[torch.from_numpy(rows)] = fold
    return fold_N


def rows_of_member(fold_N: Tensor, member: int, folds: int) -> Tensor:
    """The images that a member trains on, ascending, int64: all but fold `member % folds`."""
    return torch.nonzero(fold_N != member % folds).flatten()


def out_of_fold_mask(fold_N: Tensor, members: int, folds: int) -> Tensor:
    """Where a member did not train on an image, bool [M, N]; every image has such a member.

    There are at least as many members as folds.
    """
    assert members >= folds
    return torch.stack([fold_N == member % folds for member in range(members)])
