"""What an epoch reads: which view, at which image size, with which softness of its labels."""

import pytest
import torch

from pipeline.data.batches import size_at, soften, view_of_epoch


def test_soften_by_hand():
    # 0.8 : 0.2 is 4 : 1; at temperature 2 that is 2 : 1
    log_probs_NC = torch.tensor([[0.8, 0.2], [0.5, 0.5]]).log()
    assert soften(log_probs_NC, 1.0)[0].tolist() == pytest.approx([0.8, 0.2])
    assert soften(log_probs_NC, 2.0).flatten().tolist() == pytest.approx([2 / 3, 1 / 3, 0.5, 0.5])
    assert soften(log_probs_NC.half(), 2.0).dtype == torch.float32


def test_the_sizes_share_the_epochs_equally():
    assert [size_at(epoch, epochs=6, sizes=(32, 48, 64)) for epoch in range(6)] == [32, 32, 48, 48, 64, 64]
    assert [size_at(epoch, epochs=4, sizes=(32, 48, 48)) for epoch in range(4)] == [32, 48, 48, 48]
    assert [size_at(epoch, epochs=5, sizes=(32, 48, 64)) for epoch in range(5)] == [32, 48, 48, 64, 64]
    assert size_at(5, epochs=6, sizes=()) is None


@pytest.mark.parametrize("views", [1, 2, 5])
def test_every_view_once_per_round(views):
    rounds = [[view_of_epoch(turn * views + i, views, seed=3) for i in range(views)] for turn in range(12)]
    assert all(sorted(order) == list(range(views)) for order in rounds)
    if views == 5:
        assert len({tuple(order) for order in rounds}) > 8
        assert rounds != [[view_of_epoch(turn * 5 + i, 5, seed=4) for i in range(5)] for turn in range(12)]
