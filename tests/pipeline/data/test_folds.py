"""Who trains on which images, and who may speak about them."""

from collections import Counter

import torch

from pipeline.data.folds import fold_of_images, rows_of_member, strangers

LABELS = [0] * 9 + [1] * 6 + [2] * 3


def test_every_class_is_spread_evenly():
    fold_N = fold_of_images(LABELS, 3, seed=0)
    for label, expected in ((0, 3), (1, 2), (2, 1)):
        of_label = Counter(int(fold) for fold, mine in zip(fold_N, LABELS, strict=True) if mine == label)
        assert of_label == {0: expected, 1: expected, 2: expected}


def test_the_seed_decides():
    first, again, other = (fold_of_images(LABELS, 3, seed).tolist() for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_a_member_trains_without_its_fold():
    fold_N = torch.tensor([0, 1, 2, 0, 1, 2])
    assert rows_of_member(fold_N, 1, 3).tolist() == [0, 2, 3, 5]
    assert rows_of_member(fold_N, 4, 3).tolist() == [0, 2, 3, 5]


def test_only_those_who_never_saw_an_image_speak_about_it():
    fold_N = torch.tensor([0, 1, 2, 1])
    heard_MN = strangers(fold_N, members=4, folds=3)
    expected = [[1, 0, 0, 0], [0, 1, 0, 1], [0, 0, 1, 0], [1, 0, 0, 0]]
    assert heard_MN.tolist() == [[bool(value) for value in row] for row in expected]
    trained_on = [set(rows_of_member(fold_N, member, 3).tolist()) for member in range(4)]
    for member, image in heard_MN.nonzero().tolist():
        assert image not in trained_on[member]
