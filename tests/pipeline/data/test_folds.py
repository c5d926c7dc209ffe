"""K-fold: the images that a member trains on, and the mask of out-of-fold predictions."""

from collections import Counter

import torch

from pipeline.data.folds import fold_of_images, out_of_fold_mask, rows_of_member

LABELS = [0] * 9 + [1] * 6 + [2] * 3


def test_folds_are_stratified_by_class():
    fold_N = fold_of_images(LABELS, 3, seed=0)
    for label, expected in ((0, 3), (1, 2), (2, 1)):
        of_label = Counter(int(fold) for fold, own in zip(fold_N, LABELS, strict=True) if own == label)
        assert of_label == {0: expected, 1: expected, 2: expected}


def test_the_seed_decides():
    first, again, other = (fold_of_images(LABELS, 3, seed).tolist() for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_a_member_trains_without_its_fold():
    fold_N = torch.tensor([0, 1, 2, 0, 1, 2])
    assert rows_of_member(fold_N, 1, 3).tolist() == [0, 2, 3, 5]
    assert rows_of_member(fold_N, 4, 3).tolist() == [0, 2, 3, 5]


def test_the_mask_has_only_members_that_did_not_train_on_the_image():
    fold_N = torch.tensor([0, 1, 2, 1])
    mask_MN = out_of_fold_mask(fold_N, members=4, folds=3)
    expected = [[1, 0, 0, 0], [0, 1, 0, 1], [0, 0, 1, 0], [1, 0, 0, 0]]
    assert mask_MN.tolist() == [[bool(value) for value in row] for row in expected]
    trained_on = [set(rows_of_member(fold_N, member, 3).tolist()) for member in range(4)]
    for member, image in mask_MN.nonzero().tolist():
        assert image not in trained_on[member]
