"""Live augmentation of images and their labels: jitter, resizing, mixup and CutMix; and normalisation."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.data.augment import Batch, jitter, mix, resized
from pipeline.data.batches import Normalisation
from pipeline.runtime.training_settings import AugmentSettings


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(count: int, height: int, width: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8))


def rows_of(images_NHWC: Tensor) -> Tensor:
    return torch.arange(len(images_NHWC))


@pytest.mark.parametrize(("flip", "shift"), [(False, 0), (True, 0), (False, 2), (True, 2)])
def test_a_batch_is_taken_by_its_rows(flip: bool, shift: int):
    images_NHWC, index_B = noise(9, 6, 6), torch.tensor([7, 0, 7, 3])
    taken = jitter(images_NHWC, index_B, flip, shift, seeded(1))
    assert torch.equal(taken, jitter(images_NHWC[index_B], torch.arange(4), flip, shift, seeded(1)))


def windows(image_HWC: Tensor, shift: int) -> dict[bytes, tuple[int, int]]:
    """Every crop of the reflected image, by its bytes: its offset down and right."""
    height, width, _ = image_HWC.shape
    padded = np.pad(image_HWC.numpy(), ((shift, shift), (shift, shift), (0, 0)), mode="reflect")
    return {
        padded[row : row + height, column : column + width].tobytes(): (row - shift, column - shift)
        for row, column in itertools.product(range(2 * shift + 1), repeat=2)
    }


def test_flip_alone_gives_the_image_or_its_mirror():
    images_BHWC = noise(100, 4, 5)
    before = images_BHWC.clone()
    flipped = jitter(images_BHWC, rows_of(images_BHWC), True, 0, seeded(0))
    assert flipped.dtype == torch.uint8
    mirrored = [torch.equal(out, image.flip(1)) for out, image in zip(flipped, images_BHWC, strict=True)]
    same = [torch.equal(out, image) for out, image in zip(flipped, images_BHWC, strict=True)]
    assert all(a != b for a, b in zip(same, mirrored, strict=True))
    assert 30 < sum(mirrored) < 70
    assert torch.equal(images_BHWC, before)


@pytest.mark.parametrize(("height", "width", "shift"), [(5, 7, 2), (5, 5, 4), (3, 4, 6)])
def test_shift_reflects_as_numpy_does(height, width, shift):
    images_BHWC = noise(20, height, width).repeat(20, 1, 1, 1)
    shifted = jitter(images_BHWC, rows_of(images_BHWC), False, shift, seeded(0))
    assert shifted.dtype == torch.uint8
    seen = set()
    for out, image in zip(shifted, images_BHWC, strict=True):
        offset = windows(image, shift).get(out.contiguous().numpy().tobytes())
        assert offset is not None
        seen.add(offset)
    assert {row for row, _ in seen} <= set(range(-shift, shift + 1))
    if shift == 2:  # every offset occurs; longer shifts see some crops twice
        assert len(seen) == 25


def test_an_image_is_shifted_as_a_whole_and_then_flipped():
    images_BHWC = noise(200, 6, 6)
    shifted = jitter(images_BHWC, rows_of(images_BHWC), True, 1, seeded(0))
    mirrored = 0
    for out, image in zip(shifted, images_BHWC, strict=True):
        crops = windows(image, 1)
        plain, flipped = (x.contiguous().numpy().tobytes() in crops for x in (out, out.flip(1)))
        assert plain != flipped
        mirrored += flipped
    assert 60 < mirrored < 140


def test_no_jitter_is_no_change():
    images_BHWC = noise(3, 4, 4)
    assert torch.equal(jitter(images_BHWC, rows_of(images_BHWC), False, 0, seeded(0)), images_BHWC)


def test_a_smaller_image_is_the_mean_of_its_pixels():
    images_BCHW = torch.rand(2, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    found = resized(images_BCHW, 32)
    assert found.shape == (2, 3, 32, 32)
    assert found.is_contiguous(memory_format=torch.channels_last)
    flat = torch.full((1, 3, 64, 64), 0.25)
    torch.testing.assert_close(resized(flat, 48), torch.full((1, 3, 48, 48), 0.25))
    # antialiased: a checkerboard of single pixels becomes grey, not one of its colours
    board = (torch.arange(64)[:, None] + torch.arange(64)).remainder(2).float().expand(1, 3, 64, 64)
    assert float((resized(board, 32)[..., 2:-2, 2:-2] - 0.5).abs().max()) < 0.05
    assert float((F.interpolate(board, (32, 32)) - 0.5).abs().max()) == 0.5


def test_images_of_that_size_are_not_resized():
    images_BCHW = torch.rand(2, 3, 64, 64)
    assert resized(images_BCHW, 64) is images_BCHW
    assert resized(images_BCHW, None) is images_BCHW


def test_normalisation_by_hand():
    image = torch.tensor([[[[10, 20, 30], [0, 255, 7]]]], dtype=torch.uint8)
    result = Normalisation((2.0, 20.0, 10.0), (4.0, 5.0, 0.5)).apply(image)
    assert result.dtype == torch.float32
    assert result[0, :, 0, 0].tolist() == [2.0, 0.0, 40.0]
    assert result[0, :, 0, 1].tolist() == [-0.5, 47.0, -6.0]


def test_normalised_images_are_channels_last_in_memory():
    result = Normalisation((2.0, 20.0, 10.0), (4.0, 5.0, 0.5)).apply(noise(4, 6, 8))
    assert result.shape == (4, 3, 6, 8)
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert not result.is_contiguous()
    assert result.contiguous(memory_format=torch.channels_last).data_ptr() == result.data_ptr()


def zeros_and_ones(count: int = 16, size: int = 8) -> Batch:
    """Images of zeros with label 0 and of ones with label 1, in turn; every fourth has no label."""
    value_B = torch.arange(count) % 2
    soft_BC = torch.stack([1 - value_B, value_B], 1).float()
    hard_BC = soft_BC * (torch.arange(count) % 4 != 3)[:, None]
    images = value_B.float()[:, None, None, None].expand(count, 3, size, size)
    return Batch(images.contiguous(memory_format=torch.channels_last), hard_BC, soft_BC)


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
@pytest.mark.parametrize("seed", range(5))
def test_labels_are_mixed_by_the_share_of_the_pixels(kind, seed):
    batch = zeros_and_ones()
    mixed = mix(batch, AugmentSettings(**{f"{kind}_alpha": 1.0}), np.random.default_rng(seed), seeded(seed))
    assert mixed.soft_probs_BC is not None
    mean_B = mixed.images_BCHW.mean((1, 2, 3))
    assert torch.allclose(mixed.soft_probs_BC[:, 1], mean_B, atol=1e-6)
    assert torch.allclose(mixed.soft_probs_BC.sum(1), torch.ones(16))
    assert mixed.images_BCHW.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(batch.images_BCHW, zeros_and_ones().images_BCHW)
    if kind == "cutmix":
        assert set(mixed.images_BCHW.unique().tolist()) == {0.0, 1.0}
    else:
        assert torch.allclose(mixed.images_BCHW, mean_B[:, None, None, None], atol=1e-6)


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_hard_labels_are_mixed_likewise_and_keep_their_mass(kind):
    batch = zeros_and_ones()
    hard = Batch(batch.images_BCHW, batch.hard_probs_BC, batch.hard_probs_BC)
    settings = AugmentSettings(**{f"{kind}_alpha": 1.0})
    masses = set()
    for seed in range(10):
        mixed = mix(hard, settings, np.random.default_rng(seed), seeded(seed))
        assert torch.equal(mixed.hard_probs_BC, mixed.soft_probs_BC)
        plain = mix(batch, settings, np.random.default_rng(seed), seeded(seed))
        labelled_B = batch.hard_probs_BC.sum(1).bool()
        assert torch.equal(mixed.hard_probs_BC, plain.hard_probs_BC)
        # no row gets more of a class than its pixels have
        assert (plain.hard_probs_BC <= plain.soft_probs_BC + 1e-6).all()
        assert labelled_B.sum() == 12
        masses |= {round(mass, 3) for mass in plain.hard_probs_BC.sum(1).tolist()}
    assert {0.0, 1.0} < masses
    assert any(0.1 < mass < 0.9 for mass in masses)


def test_a_member_has_no_soft_labels_to_mix():
    batch = zeros_and_ones()
    mixed = mix(
        Batch(batch.images_BCHW, batch.soft_probs_BC, None),
        AugmentSettings(mixup_alpha=1.0),
        np.random.default_rng(1),
        seeded(1),
    )
    assert mixed.soft_probs_BC is None
    assert torch.allclose(mixed.hard_probs_BC[:, 1], mixed.images_BCHW.mean((1, 2, 3)))


def test_the_box_is_a_box():
    batch = zeros_and_ones(size=16)
    areas = []
    for seed in range(20):
        mixed = mix(batch, AugmentSettings(cutmix_alpha=1.0), np.random.default_rng(seed), seeded(seed))
        changed_HW = (mixed.images_BCHW != batch.images_BCHW).any(0).any(0)
        rows, columns = changed_HW.any(1), changed_HW.any(0)
        assert torch.equal(changed_HW, rows[:, None] & columns[None, :])
        assert changed_HW.sum() == rows.sum() * columns.sum()
        areas.append(int(changed_HW.sum()))
    assert len(set(areas)) > 10


def test_mixing_is_off_without_an_alpha():
    batch = zeros_and_ones()
    assert mix(batch, AugmentSettings(), np.random.default_rng(0), seeded(0)) is batch


@pytest.mark.parametrize(("probability", "lowest", "highest"), [(0.0, 0, 0), (0.5, 70, 130), (1.0, 200, 200)])
def test_a_share_of_the_batches_is_mixed(probability, lowest, highest):
    batch, random = zeros_and_ones(4, 2), np.random.default_rng(0)
    settings = AugmentSettings(mixup_alpha=1.0, mix_probability=probability)
    mixed = sum(mix(batch, settings, random, seeded(0)) is not batch for _ in range(200))
    assert lowest <= mixed <= highest


def test_with_both_on_each_batch_draws_one():
    batch, random, generator = zeros_and_ones(), np.random.default_rng(0), seeded(0)
    settings = AugmentSettings(mixup_alpha=1.0, cutmix_alpha=1.0)
    blended = [mix(batch, settings, random, generator).images_BCHW.unique().tolist() != [0.0, 1.0] for _ in range(60)]
    assert 15 < sum(blended) < 45
