"""Batches: jitter, mixing, views and order. Pictures of one colour tell where they came from."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.data.batches import (
    Batch,
    EpochBatches,
    Normalisation,
    TrainingSet,
    epoch_seed,
    jitter,
    mix,
    soften,
    view_of_epoch,
)
from pipeline.settings import TrainingSettings

AS_THEY_ARE = Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
CPU = torch.device("cpu")
CLASSES = 3
LABELS = (0, 1, 2, -1, 1, 0, 2, -1, 0, 1, 2, 0)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(count: int, height: int, width: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8))


def windows(image_HWC: Tensor, shift: int) -> dict[bytes, tuple[int, int]]:
    """Every crop of the reflected image, by its bytes: how far down and right the crop lies."""
    height, width, _ = image_HWC.shape
    padded = np.pad(image_HWC.numpy(), ((shift, shift), (shift, shift), (0, 0)), mode="reflect")
    return {
        padded[row : row + height, column : column + width].tobytes(): (row - shift, column - shift)
        for row, column in itertools.product(range(2 * shift + 1), repeat=2)
    }


def test_flip_alone_gives_the_image_or_its_mirror():
    images_BHWC = noise(100, 4, 5)
    before = images_BHWC.clone()
    flipped = jitter(images_BHWC, True, 0, seeded(0))
    assert flipped.dtype == torch.uint8
    mirrored = [torch.equal(out, image.flip(1)) for out, image in zip(flipped, images_BHWC, strict=True)]
    same = [torch.equal(out, image) for out, image in zip(flipped, images_BHWC, strict=True)]
    assert all(a != b for a, b in zip(same, mirrored, strict=True))
    assert 30 < sum(mirrored) < 70
    assert torch.equal(images_BHWC, before)


@pytest.mark.parametrize(("height", "width", "shift"), [(5, 7, 2), (5, 5, 4), (3, 4, 6)])
def test_shift_reflects_as_numpy_does(height, width, shift):
    images_BHWC = noise(20, height, width).repeat(20, 1, 1, 1)
    moved = jitter(images_BHWC, False, shift, seeded(0))
    assert moved.dtype == torch.uint8
    seen = set()
    for out, image in zip(moved, images_BHWC, strict=True):
        offset = windows(image, shift).get(out.contiguous().numpy().tobytes())
        assert offset is not None
        seen.add(offset)
    assert {row for row, _ in seen} <= set(range(-shift, shift + 1))
    if shift == 2:  # every offset occurs; longer shifts see some crops twice
        assert len(seen) == 25


def test_an_image_is_moved_as_a_whole_and_then_mirrored():
    images_BHWC = noise(200, 6, 6)
    moved = jitter(images_BHWC, True, 1, seeded(0))
    mirrored = 0
    for out, image in zip(moved, images_BHWC, strict=True):
        crops = windows(image, 1)
        plain, flipped = (x.contiguous().numpy().tobytes() in crops for x in (out, out.flip(1)))
        assert plain != flipped
        mirrored += flipped
    assert 60 < mirrored < 140


def test_no_jitter_is_no_change():
    images_BHWC = noise(3, 4, 4)
    assert jitter(images_BHWC, False, 0, seeded(0)) is images_BHWC


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
    """Pictures of zeros with label 0 and of ones with label 1, in turn; every fourth has no label."""
    value_B = torch.arange(count) % 2
    soft_BC = torch.stack([1 - value_B, value_B], 1).float()
    hard_BC = soft_BC * (torch.arange(count) % 4 != 3)[:, None]
    images = value_B.float()[:, None, None, None].expand(count, 3, size, size)
    return Batch(images.contiguous(memory_format=torch.channels_last), hard_BC, soft_BC)


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
@pytest.mark.parametrize("seed", range(5))
def test_labels_are_mixed_by_the_share_of_the_pixels(kind, seed):
    batch = zeros_and_ones()
    mixed = mix(batch, TrainingSettings(**{f"{kind}_alpha": 1.0}), np.random.default_rng(seed), seeded(seed))
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
def test_hard_labels_are_mixed_likewise_and_carry_their_mass(kind):
    batch = zeros_and_ones()
    hard = Batch(batch.images_BCHW, batch.hard_probs_BC, batch.hard_probs_BC)
    settings = TrainingSettings(**{f"{kind}_alpha": 1.0})
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
        TrainingSettings(mixup_alpha=1.0),
        np.random.default_rng(1),
        seeded(1),
    )
    assert mixed.soft_probs_BC is None
    assert torch.allclose(mixed.hard_probs_BC[:, 1], mixed.images_BCHW.mean((1, 2, 3)))


def test_the_box_is_a_box():
    batch = zeros_and_ones(size=16)
    areas = []
    for seed in range(20):
        mixed = mix(batch, TrainingSettings(cutmix_alpha=1.0), np.random.default_rng(seed), seeded(seed))
        changed_HW = (mixed.images_BCHW != batch.images_BCHW).any(0).any(0)
        rows, columns = changed_HW.any(1), changed_HW.any(0)
        assert torch.equal(changed_HW, rows[:, None] & columns[None, :])
        assert changed_HW.sum() == rows.sum() * columns.sum()
        areas.append(int(changed_HW.sum()))
    assert len(set(areas)) > 10


def test_mixing_is_off_without_an_alpha():
    batch = zeros_and_ones()
    assert mix(batch, TrainingSettings(), np.random.default_rng(0), seeded(0)) is batch


@pytest.mark.parametrize(("probability", "lowest", "highest"), [(0.0, 0, 0), (0.5, 70, 130), (1.0, 200, 200)])
def test_a_share_of_the_batches_is_mixed(probability, lowest, highest):
    batch, random = zeros_and_ones(4, 2), np.random.default_rng(0)
    settings = TrainingSettings(mixup_alpha=1.0, mix_probability=probability)
    mixed = sum(mix(batch, settings, random, seeded(0)) is not batch for _ in range(200))
    assert lowest <= mixed <= highest


def test_with_both_on_each_batch_draws_one():
    batch, random, generator = zeros_and_ones(), np.random.default_rng(0), seeded(0)
    settings = TrainingSettings(mixup_alpha=1.0, cutmix_alpha=1.0)
    blended = [mix(batch, settings, random, generator).images_BCHW.unique().tolist() != [0.0, 1.0] for _ in range(60)]
    assert 15 < sum(blended) < 45


def test_soften_by_hand():
    # 0.8 : 0.2 is 4 : 1; at temperature 2 that is 2 : 1
    log_probs_NC = torch.tensor([[0.8, 0.2], [0.5, 0.5]]).log()
    assert soften(log_probs_NC, 1.0)[0].tolist() == pytest.approx([0.8, 0.2])
    assert soften(log_probs_NC, 2.0).flatten().tolist() == pytest.approx([2 / 3, 1 / 3, 0.5, 0.5])
    assert soften(log_probs_NC.half(), 2.0).dtype == torch.float32


@pytest.mark.parametrize("views", [1, 2, 5])
def test_every_view_once_per_round(views):
    rounds = [[view_of_epoch(turn * views + i, views, seed=3) for i in range(views)] for turn in range(12)]
    assert all(sorted(order) == list(range(views)) for order in rounds)
    if views == 5:
        assert len({tuple(order) for order in rounds}) > 8
        assert rounds != [[view_of_epoch(turn * 5 + i, 5, seed=4) for i in range(5)] for turn in range(12)]


def training_set(
    folder: Path, *, views: int = 3, soft: bool = True, temperature: float = 1.0, labels: tuple[int, ...] = LABELS
) -> TrainingSet:
    """Two files per view; image i of view v is of one colour: red i, green v. Its soft label is told by both."""
    count, paths = len(labels), []
    for view in range(views):
        images_NHWC = np.zeros((count, 4, 4, 3), np.uint8)
        images_NHWC[..., 0] = np.arange(count)[:, None, None]
        images_NHWC[..., 1] = view
        paths.append([folder / f"{split}.{view}.npy" for split in ("a", "b")])
        np.save(paths[-1][0], images_NHWC[:5])
        np.save(paths[-1][1], images_NHWC[5:])
    log_probs = torch.log_softmax(torch.randn(views, count, CLASSES, generator=seeded(0)), 2).half() if soft else None
    return TrainingSet(paths, torch.tensor(labels), log_probs, CLASSES, AS_THEY_ARE, temperature)


@contextmanager
def opened(
    from_set: TrainingSet, *, seed: int = 0, batch_size: int = 4, shift: int = 2, **settings: float
) -> Iterator[EpochBatches]:
    batches = EpochBatches(
        from_set, TrainingSettings(batch_size=batch_size, shift=shift, flip=True, **settings), seed, CPU
    )
    try:
        yield batches
    finally:
        batches.close()


def images_seen(batches: list[Batch]) -> list[int]:
    return [int(image[0, 0, 0]) for batch in batches for image in batch.images_BCHW]


def as_bytes(batches: list[Batch]) -> list[bytes]:
    return [
        tensor.contiguous().numpy().tobytes()
        for batch in batches
        for tensor in (batch.images_BCHW, batch.hard_probs_BC, batch.soft_probs_BC)
        if tensor is not None
    ]


def test_every_image_once_per_epoch_with_its_own_labels(tmp_path):
    a_set = training_set(tmp_path, temperature=2.0)
    orders = []
    with opened(a_set) as batches:
        for epoch in range(6):
            of_epoch = list(batches.epoch(epoch))
            assert [batch.images_BCHW.shape for batch in of_epoch] == [(4, 3, 4, 4)] * 3
            orders.append(images_seen(of_epoch))
            assert sorted(orders[-1]) == list(range(12))
            view = view_of_epoch(epoch, 3, seed=0)
            soft_NC = soften(a_set.soft_log_probs_VNC[view], 2.0)
            for batch in of_epoch:
                assert (batch.images_BCHW[:, 1] == view).all()
                for i, hard, soft in zip(images_seen([batch]), batch.hard_probs_BC, batch.soft_probs_BC, strict=True):
                    assert hard.tolist() == [float(LABELS[i] == c) for c in range(CLASSES)]
                    assert torch.equal(soft, soft_NC[i])
    assert len(set(map(tuple, orders))) == 6


def test_a_remainder_is_left_out_of_the_epoch(tmp_path):
    with opened(training_set(tmp_path), batch_size=5) as batches:
        assert batches.steps == 2
        seen = images_seen(list(batches.epoch(0)))
        assert len(seen) == len(set(seen)) == 10
        left_out = {tuple(set(range(12)) - set(images_seen(list(batches.epoch(epoch))))) for epoch in range(5)}
    assert len(left_out) > 1


def test_a_set_smaller_than_a_batch_is_one_batch(tmp_path):
    with opened(training_set(tmp_path, labels=LABELS[:7]), batch_size=8) as batches:
        assert batches.steps == 1
        (batch,) = batches.epoch(0)
    assert sorted(images_seen([batch])) == list(range(7))
    assert batch.hard_probs_BC.shape == (7, CLASSES)


def test_an_epoch_is_a_function_of_seed_and_number(tmp_path):
    a_set = training_set(tmp_path)
    settings = {"mixup_alpha": 0.4, "cutmix_alpha": 1.0, "mix_probability": 0.7}
    with opened(a_set, **settings) as batches:
        through = [as_bytes(list(batches.epoch(epoch))) for epoch in range(4)]
    with opened(a_set, **settings) as batches:
        assert [as_bytes(list(batches.epoch(epoch))) for epoch in (2, 3)] == through[2:]
        assert as_bytes(list(batches.epoch(1))) == through[1]  # not the view that was read ahead
        assert as_bytes(list(batches.epoch(3))) == through[3]
    with opened(a_set, seed=1, **settings) as batches:
        assert as_bytes(list(batches.epoch(2))) != through[2]
    assert len({tuple(epoch) for epoch in through}) == 4


def test_jitter_is_live(tmp_path):
    picture_HWC = noise(1, 4, 4)[0].numpy()
    np.save(tmp_path / "view.npy", np.stack([picture_HWC] * 4))
    one_view = TrainingSet([[tmp_path / "view.npy"]], torch.tensor([0, 1, 2, 0]), None, CLASSES, AS_THEY_ARE)
    with opened(one_view, shift=1) as batches:
        pictures = {
            image.contiguous().numpy().tobytes()
            for epoch in range(4)
            for batch in batches.epoch(epoch)
            for image in batch.images_BCHW
        }
    assert len(pictures) > 8  # of 18


def test_smoothed_labels_by_hand(tmp_path):
    with opened(training_set(tmp_path, soft=False), label_smoothing=0.3) as batches:
        for batch in batches.epoch(0):
            assert batch.soft_probs_BC is None
            for i, hard in zip(images_seen([batch]), batch.hard_probs_BC, strict=True):
                expected = [0.8 if LABELS[i] == c else 0.1 for c in range(CLASSES)] if LABELS[i] >= 0 else [0.0] * 3
                assert hard.tolist() == pytest.approx(expected)


def test_the_seed_of_an_epoch():
    assert epoch_seed(0, 0) == 7896617691693857887
    seeds = {epoch_seed(seed, epoch) for seed in range(20) for epoch in range(20)}
    assert len(seeds) == 400
    assert all(0 <= seed < 2**63 for seed in seeds)
