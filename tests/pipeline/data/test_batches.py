"""Batches: their labels, views, order and size. The colour of an image identifies it and its view."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.data.augment import Batch
from pipeline.data.batches import (
    WHOLE_BATCH,
    EpochBatches,
    FinalPhase,
    Normalisation,
    Part,
    TrainingSet,
    epoch_seed,
    soften,
    view_of_epoch,
)
from pipeline.runtime.training_settings import AugmentSettings, TrainingSettings

AS_THEY_ARE = Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
CPU = torch.device("cpu")
CLASSES = 3
LABELS = (0, 1, 2, -1, 1, 0, 2, -1, 0, 1, 2, 0)
SHIFTED = AugmentSettings(flip=True, shift=2)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def training_set(
    folder: Path, *, views: int = 3, soft: bool = True, temperature: float = 1.0, labels: tuple[int, ...] = LABELS
) -> TrainingSet:
    """Two files per view; image i of view v is of one colour: red i, green v. Its soft label depends on both."""
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
    from_set: TrainingSet,
    *,
    seed: int = 0,
    batch_size: int = 4,
    augment: AugmentSettings = SHIFTED,
    part: Part = WHOLE_BATCH,
    **settings: float,
) -> Iterator[EpochBatches]:
    how = TrainingSettings(batch_size=batch_size, augment=augment, **settings)
    batches = EpochBatches(from_set, how, seed, CPU, part)
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


def test_parts_are_the_batch_in_its_order(tmp_path):
    a_set, parts = training_set(tmp_path), []
    for part in (WHOLE_BATCH, Part(0, 2), Part(1, 2)):
        with opened(a_set, augment=AugmentSettings(flip=False, shift=0), part=part) as batches:
            parts.append(list(batches.epoch(3)))
    for whole, first, second in zip(*parts, strict=True):
        assert torch.equal(torch.cat([first.images_BCHW, second.images_BCHW]), whole.images_BCHW)
        assert torch.equal(torch.cat([first.hard_probs_BC, second.hard_probs_BC]), whole.hard_probs_BC)
        assert torch.equal(torch.cat([first.soft_probs_BC, second.soft_probs_BC]), whole.soft_probs_BC)


def test_parts_flip_and_shift_by_draws_of_their_own(tmp_path):
    np.save(tmp_path / "same.npy", np.tile(np.arange(64, dtype=np.uint8).reshape(1, 8, 8, 1), (64, 1, 1, 3)))
    labels_N = torch.zeros(64, dtype=torch.int64)
    a_set, seen = TrainingSet([[tmp_path / "same.npy"]], labels_N, None, 1, AS_THEY_ARE), []
    for part in (Part(0, 2), Part(1, 2), Part(1, 2)):
        with opened(a_set, batch_size=64, part=part) as batches:
            seen.append(next(iter(batches.epoch(0))).images_BCHW)
    assert seen[0].shape == (32, 3, 8, 8)
    assert not torch.equal(seen[0], seen[1])
    assert torch.equal(seen[1], seen[2])


def test_parts_mix_with_one_share_and_partners_of_their_own(tmp_path):
    """Image i is red i, so whole numbers of red tell the share of mixup and the partners."""
    a_set, mixed = training_set(tmp_path), AugmentSettings(flip=False, shift=0, mixup_alpha=1.0)
    shares = []
    for number in (0, 1):
        with opened(a_set, augment=AugmentSettings(flip=False, shift=0), part=Part(number, 2)) as batches:
            plain = [batch.images_BCHW[:, 0, 0, 0] for epoch in range(8) for batch in batches.epoch(epoch)]
        with opened(a_set, augment=mixed, part=Part(number, 2)) as batches:
            found = [batch.images_BCHW[:, 0, 0, 0] for epoch in range(8) for batch in batches.epoch(epoch)]
        # two images: the partner of each is itself or the other one
        shares.append([float((b[0] - a[1]) / (a[0] - a[1])) for a, b in zip(plain, found, strict=True)])
    mixes = [(one, other) for one, other in zip(*shares, strict=True) if one != 1.0 and other != 1.0]
    assert mixes
    assert all(one == pytest.approx(other, rel=1e-5) for one, other in mixes)


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_the_final_phase_gives_the_chosen_images_their_share(tmp_path, share):
    final_phase = FinalPhase(torch.tensor([3, 7, 11, 5]), fraction=0.5, share=share)
    with opened(replace(training_set(tmp_path), final_phase=final_phase), epochs=4) as batches:
        epochs = [list(batches.epoch(epoch)) for epoch in range(4)]
    seen = [images_seen(of_epoch) for of_epoch in epochs]
    assert sorted(seen[0]) == sorted(seen[1]) == list(range(12))
    for of_epoch in seen[2:]:
        chosen = [image for image in of_epoch if image in (3, 5, 7, 11)]
        assert (len(chosen), len(of_epoch)) == (12 * share, 12)  # as many steps as before
        assert sorted(set(chosen)) == [3, 5, 7, 11]
        assert {chosen.count(image) for image in chosen} == ({3} if share == 1.0 else {1, 2})
    for batch in epochs[2]:
        for i, hard in zip(images_seen([batch]), batch.hard_probs_BC, strict=True):
            assert hard.sum() == (LABELS[i] >= 0)


def test_the_final_phase_has_clean_images_and_their_soft_labels(tmp_path):
    a_set, final_phase = training_set(tmp_path), FinalPhase(torch.tensor([3]), fraction=0.5, share=0.5)
    with opened(replace(a_set, final_phase=final_phase), epochs=6) as batches:
        epochs = [list(batches.epoch(epoch)) for epoch in range(6)]
    views = [{int(green) for batch in of_epoch for green in batch.images_BCHW[:, 1].flatten()} for of_epoch in epochs]
    assert sorted(view for of_epoch in views[:3] for view in of_epoch) == [0, 1, 2]
    assert views[3:] == [{0}] * 3
    soft_NC = soften(a_set.soft_log_probs_VNC[0], 1.0)
    for batch in epochs[3]:
        assert torch.equal(batch.soft_probs_BC, soft_NC[images_seen([batch])])


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


@pytest.mark.parametrize("final_phase", [None, FinalPhase(torch.tensor([3, 7]), fraction=0.5, share=0.5)])
def test_an_epoch_is_a_function_of_seed_and_number(tmp_path, final_phase):
    a_set = replace(training_set(tmp_path), final_phase=final_phase)
    augment = AugmentSettings(shift=2, mixup_alpha=0.4, cutmix_alpha=1.0, mix_probability=0.7)
    settings = {"augment": augment, "epochs": 4}
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
    image_HWC = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)
    np.save(tmp_path / "view.npy", np.stack([image_HWC] * 4))
    one_view = TrainingSet([[tmp_path / "view.npy"]], torch.tensor([0, 1, 2, 0]), None, CLASSES, AS_THEY_ARE)
    with opened(one_view, augment=AugmentSettings(shift=1)) as batches:
        images = {
            image.contiguous().numpy().tobytes()
            for epoch in range(4)
            for batch in batches.epoch(epoch)
            for image in batch.images_BCHW
        }
    assert len(images) > 8  # of 18


def test_the_final_phase_neither_shifts_nor_mixes_and_still_flips(tmp_path):
    image_HWC = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)
    np.save(tmp_path / "view.npy", np.stack([image_HWC] * 4))
    final_phase = FinalPhase(torch.tensor([3]), fraction=0.5, share=0.5)
    one_view = TrainingSet([[tmp_path / "view.npy"]], torch.tensor([0, 1, 2, -1]), None, CLASSES, AS_THEY_ARE)
    augment = AugmentSettings(shift=1, mixup_alpha=1.0)
    with opened(replace(one_view, final_phase=final_phase), augment=augment, epochs=10) as batches:
        images = [image for epoch in range(5, 10) for batch in batches.epoch(epoch) for image in batch.images_BCHW]
    expected = torch.from_numpy(image_HWC).permute(2, 0, 1).float()
    flipped = [torch.equal(image, expected.flip(2)) for image in images]
    assert 0 < sum(flipped) < len(images)
    assert all(is_flipped or torch.equal(image, expected) for image, is_flipped in zip(images, flipped, strict=True))


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


def test_only_the_rows_of_the_set_are_trained_on(tmp_path):
    whole = training_set(tmp_path, soft=False)
    some = TrainingSet(
        whole.views, whole.hard_labels_N, None, CLASSES, AS_THEY_ARE, rows_N=torch.tensor([1, 4, 7, 8, 11])
    )
    assert some.images == 5
    assert some.steps_per_epoch(2) == 2
    batches = EpochBatches(some, TrainingSettings(batch_size=5, augment=AugmentSettings(flip=False, shift=0)), 0, CPU)
    seen = [
        sorted(int(red) for batch in batches.epoch(epoch) for red in batch.images_BCHW[:, 0, 0, 0]) for epoch in (0, 1)
    ]
    batches.close()
    assert seen == [[1, 4, 7, 8, 11]] * 2


def test_images_of_a_mixed_view_have_no_label_of_their_own(tmp_path):
    a_set = replace(training_set(tmp_path, views=2), mixed_views=(1,))
    masses = {}
    with opened(a_set) as batches:
        for epoch in range(2):
            of_epoch = list(batches.epoch(epoch))
            view = int(of_epoch[0].images_BCHW[0, 1, 0, 0])
            masses[view] = sum(float(batch.hard_probs_BC.sum()) for batch in of_epoch)
            assert all(torch.allclose(batch.soft_probs_BC.sum(1), torch.ones(4), atol=1e-3) for batch in of_epoch)
    assert masses == {0: 10.0, 1: 0.0}  # 10 of the 12 images have a label


@pytest.mark.parametrize("cutmix_alpha", [0.0, 1.0])
def test_every_batch_of_an_epoch_has_its_size(tmp_path, cutmix_alpha):
    np.save(tmp_path / "view.npy", np.zeros((6, 32, 32, 3), np.uint8))
    growing = TrainingSet([[tmp_path / "view.npy"]], torch.zeros(6).long(), None, 2, AS_THEY_ARE, sizes=(16, 32))
    settings = TrainingSettings(epochs=4, batch_size=3, augment=AugmentSettings(cutmix_alpha=cutmix_alpha))
    batches = EpochBatches(growing, settings, 0, torch.device("cpu"))
    found = [{batch.images_BCHW.shape[2:] for batch in batches.epoch(epoch)} for epoch in range(4)]
    batches.close()
    assert found == [{(16, 16)}, {(16, 16)}, {(32, 32)}, {(32, 32)}]
