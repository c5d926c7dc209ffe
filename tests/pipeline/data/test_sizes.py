"""Pictures that grow as the epochs go on."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from pipeline.data.augment import resized
from pipeline.data.batches import EpochBatches, Normalisation, TrainingSet, size_at
from pipeline.runtime.settings import TrainingSettings


def test_the_sizes_share_the_epochs_equally():
    assert [size_at(epoch, epochs=6, sizes=(32, 48, 64)) for epoch in range(6)] == [32, 32, 48, 48, 64, 64]
    assert [size_at(epoch, epochs=4, sizes=(32, 48, 48)) for epoch in range(4)] == [32, 32, 48, 48]
    assert size_at(5, epochs=6, sizes=()) is None


def test_a_smaller_picture_is_the_mean_of_what_it_covers():
    images_BCHW = torch.rand(2, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    found = resized(images_BCHW, 32)
    assert found.shape == (2, 3, 32, 32)
    assert found.is_contiguous(memory_format=torch.channels_last)
    flat = torch.full((1, 3, 64, 64), 0.25)
    torch.testing.assert_close(resized(flat, 48), torch.full((1, 3, 48, 48), 0.25))
    # antialiased: a checkerboard of single pixels becomes grey, it does not become one of its colours
    board = (torch.arange(64)[:, None] + torch.arange(64)).remainder(2).float().expand(1, 3, 64, 64)
    assert float((resized(board, 32)[..., 2:-2, 2:-2] - 0.5).abs().max()) < 0.05
    assert float((F.interpolate(board, (32, 32)) - 0.5).abs().max()) == 0.5


def test_pictures_of_that_size_are_left_alone():
    images_BCHW = torch.rand(2, 3, 64, 64)
    assert resized(images_BCHW, 64) is images_BCHW
    assert resized(images_BCHW, None) is images_BCHW


@pytest.mark.parametrize("cutmix_alpha", [0.0, 1.0])
def test_every_batch_of_an_epoch_has_its_size(tmp_path, cutmix_alpha):
    np.save(tmp_path / "view.npy", np.zeros((6, 32, 32, 3), np.uint8))
    normalisation = Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    growing = TrainingSet([[tmp_path / "view.npy"]], torch.zeros(6).long(), None, 2, normalisation, sizes=(16, 32))
    settings = TrainingSettings(epochs=4, batch_size=3, cutmix_alpha=cutmix_alpha)
    batches = EpochBatches(growing, settings, 0, torch.device("cpu"))
    found = [{batch.images_BCHW.shape[2:] for batch in batches.epoch(epoch)} for epoch in range(4)]
    batches.close()
    assert found == [{(16, 16)}, {(16, 16)}, {(32, 32)}, {(32, 32)}]
