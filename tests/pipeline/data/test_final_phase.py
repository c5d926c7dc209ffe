"""The order of an epoch, and the final phase, where a share of an epoch's images are chosen ones."""

import pytest
import torch

from pipeline.data.batches import FinalPhase, shuffled_rounds


@pytest.mark.parametrize(
    ("fraction", "epochs", "expected"),
    [(0.01, 5, [4]), (0.4, 5, [3, 4]), (1.0, 3, [0, 1, 2]), (0.3, 10, [7, 8, 9]), (0.3, 1, [0])],
)
def test_the_final_phase_is_the_last_epochs(fraction: float, epochs: int, expected: list[int]):
    final_phase = FinalPhase(torch.arange(3), fraction, share=1.0)
    assert [epoch for epoch in range(epochs) if final_phase.includes(epoch, epochs)] == expected


def test_every_row_comes_before_any_comes_again():
    rows = torch.tensor([4, 7, 9])
    order = shuffled_rounds(rows, 8, torch.Generator().manual_seed(0)).tolist()
    assert len(order) == 8
    assert sorted(order[:3]) == sorted(order[3:6]) == [4, 7, 9]
    assert len(set(order[6:])) == 2


def test_each_round_has_an_order_of_its_own():
    order = shuffled_rounds(torch.arange(50), 150, torch.Generator().manual_seed(0)).view(3, 50)
    assert len({tuple(one.tolist()) for one in order}) == 3


def test_fewer_and_more_rows_than_there_are():
    rows = torch.arange(10, 20)
    assert shuffled_rounds(rows, 4, torch.Generator().manual_seed(0)).unique().numel() == 4
    first, again, other = (shuffled_rounds(rows, 25, torch.Generator().manual_seed(s)).tolist() for s in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize(("share", "chosen"), [(0.25, 3), (0.5, 6), (1.0, 12), (0.01, 3)])
def test_the_chosen_images_have_their_share_of_an_epoch(share: float, chosen: int):
    final_phase = FinalPhase(torch.tensor([9, 10, 11]), fraction=1.0, share=share)
    orders = [final_phase.order(12, torch.Generator().manual_seed(seed)).tolist() for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    for order in orders:
        own, others = [i for i in order if i >= 9], [i for i in order if i < 9]
        assert (len(own), len(others)) == (chosen, 12 - chosen)
        assert len(set(own)) == 3  # all of them before any comes again
        assert len(set(others)) == min(12 - chosen, 9)


def test_no_chosen_image_is_left_out_where_most_are_chosen():
    order = FinalPhase(torch.arange(4, 12), fraction=1.0, share=0.5).order(12, torch.Generator().manual_seed(0))
    assert len(order) == 12
    assert set(order.tolist()) > set(range(4, 12))


def test_chosen_images_and_others_are_shuffled_together():
    final_phase = FinalPhase(torch.arange(500, 1000), fraction=1.0, share=0.5)
    order = final_phase.order(1000, torch.Generator().manual_seed(0))
    assert 200 < int((order[:500] >= 500).sum()) < 300
