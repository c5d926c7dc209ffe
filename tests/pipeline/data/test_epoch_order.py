"""The order of an epoch, and the last epochs, in which some of the images come more often."""

import pytest
import torch

from pipeline.data.batches import EndGame, shuffled_rounds


@pytest.mark.parametrize(
    ("part", "epochs", "expected"),
    [(0.01, 5, [4]), (0.4, 5, [3, 4]), (1.0, 3, [0, 1, 2]), (0.3, 10, [7, 8, 9]), (0.3, 1, [0])],
)
def test_the_end_game_is_the_last_part(part: float, epochs: int, expected: list[int]):
    end_game = EndGame(torch.arange(3), part, share=1.0)
    assert [epoch for epoch in range(epochs) if end_game.includes(epoch, epochs)] == expected


def test_every_row_comes_before_any_comes_again():
    rows = torch.tensor([4, 7, 9])
    order = shuffled_rounds(rows, 8, torch.Generator().manual_seed(0)).tolist()
    assert len(order) == 8
    assert sorted(order[:3]) == sorted(order[3:6]) == [4, 7, 9]
    assert len(set(order[6:])) == 2


def test_each_round_has_an_order_of_its_own():
    order = shuffled_rounds(torch.arange(50), 150, torch.Generator().manual_seed(0)).view(3, 50)
    assert len({tuple(one.tolist()) for one in order}) == 3


def test_fewer_rows_than_an_epoch_has_and_more():
    rows = torch.arange(10, 20)
    assert shuffled_rounds(rows, 4, torch.Generator().manual_seed(0)).unique().numel() == 4
    first, again, other = (shuffled_rounds(rows, 25, torch.Generator().manual_seed(s)).tolist() for s in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize(("share", "own"), [(0.25, 3), (0.5, 6), (1.0, 12), (0.01, 3)])
def test_the_end_game_has_its_share_of_an_epoch(share: float, own: int):
    end_game = EndGame(torch.tensor([9, 10, 11]), part=1.0, share=share)
    orders = [end_game.order(12, torch.Generator().manual_seed(seed)).tolist() for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    for order in orders:
        ours, others = [i for i in order if i >= 9], [i for i in order if i < 9]
        assert (len(ours), len(others)) == (own, 12 - own)
        assert len(set(ours)) == 3  # all of them before any comes again
        assert len(set(others)) == min(12 - own, 9)


def test_the_end_game_of_most_images_leaves_none_of_them_out():
    order = EndGame(torch.arange(4, 12), part=1.0, share=0.5).order(12, torch.Generator().manual_seed(0))
    assert len(order) == 12
    assert set(order.tolist()) > set(range(4, 12))


def test_the_images_of_the_end_game_and_the_others_are_mixed():
    end_game = EndGame(torch.arange(500, 1000), part=1.0, share=0.5)
    order = end_game.order(1000, torch.Generator().manual_seed(0))
    assert 200 < int((order[:500] >= 500).sum()) < 300
