"""Views are a pure function of policy, seed, view number and image."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.data.views import ViewTask, build_policy, make_view, view_seed
from pipeline.runtime.engine import map_items

POLICIES = ("teacher", "student")
SIZE = 16


def images(count: int) -> np.ndarray:
    """Smooth images, all different: noise would hide the effects of blur and rotation."""
    random = np.random.default_rng(0)
    corners = random.integers(0, 256, (count, 4, 4, 3), np.uint8)
    return corners.repeat(SIZE // 4, 1).repeat(SIZE // 4, 2)


def view(
    folder: Path,
    images_NHWC: np.ndarray,
    *,
    ids: tuple[str, ...] = (),
    policy: str = "teacher",
    seed: int = 0,
    number: int = 1,
    mixed: bool = False,
) -> np.ndarray:
    clean, out = folder / "clean.npy", folder / "view.npy"
    np.save(clean, images_NHWC)
    ids = ids or tuple(f"training/{i}" for i in range(len(images_NHWC)))
    make_view(ViewTask(clean, ids, policy, seed, number, mixed), out)
    return np.load(out)


@pytest.mark.parametrize(("policy", "kinds"), [("teacher", 7), ("student", 3)])
def test_kinds_of_a_policy(policy, kinds):
    assert len(build_policy(policy, SIZE)) == kinds


@pytest.mark.parametrize("policy", POLICIES)
def test_shape_dtype_and_change(policy, tmp_path):
    clean_NHWC = images(20)
    view_NHWC = view(tmp_path, clean_NHWC, policy=policy)
    assert (view_NHWC.shape, view_NHWC.dtype) == ((20, SIZE, SIZE, 3), np.uint8)
    # at 16 pixels the random crop is now and then the whole image
    assert sum((a != b).any() for a, b in zip(view_NHWC, clean_NHWC, strict=True)) >= 18
    assert np.array_equal(np.load(tmp_path / "clean.npy"), clean_NHWC)


@pytest.mark.parametrize("policy", POLICIES)
def test_made_again_it_is_the_same(policy, tmp_path):
    assert np.array_equal(view(tmp_path, images(8), policy=policy), view(tmp_path, images(8), policy=policy))


def made_below(folder: Path) -> bytes:
    return view(folder, images(50)).tobytes()


def test_the_number_of_processes_changes_no_byte(tmp_path):
    folders = [tmp_path / "0", tmp_path / "1"]
    for folder in folders:
        folder.mkdir()
    in_turn = list(map_items(made_below, folders, 1))
    assert list(map_items(made_below, folders, 2)) == in_turn
    assert len(set(in_turn)) == 1


@pytest.mark.parametrize("policy", POLICIES)
def test_an_image_does_not_depend_on_the_others(policy, tmp_path):
    clean_NHWC = images(20)
    whole = view(tmp_path, clean_NHWC, policy=policy)
    some = [13, 2, 7]
    part = view(tmp_path, clean_NHWC[some], ids=tuple(f"training/{i}" for i in some), policy=policy)
    assert np.array_equal(part, whole[some])


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("changed", [{"number": 2}, {"seed": 1}, {"ids": tuple(f"testing/{i}" for i in range(12))}])
def test_number_seed_and_id_make_another_view(policy, changed, tmp_path):
    clean_NHWC = images(12)
    one, other = view(tmp_path, clean_NHWC, policy=policy), view(tmp_path, clean_NHWC, policy=policy, **changed)
    assert all((a != b).any() for a, b in zip(one, other, strict=True))


def test_policies_make_other_views(tmp_path):
    one, other = (view(tmp_path, images(12), policy=policy) for policy in POLICIES)
    assert all((a != b).any() for a, b in zip(one, other, strict=True))


def test_a_mixed_view_is_made_of_the_plain_view_and_another_image(tmp_path):
    """Of blue images and one that is red: where the red one takes part, its red is seen."""
    clean_NHWC = np.zeros((40, SIZE, SIZE, 3), np.uint8)
    clean_NHWC[:20, ..., 2], clean_NHWC[20:, ..., 0] = 250, 250
    plain, mixed, again = (view(tmp_path, clean_NHWC, policy="student", mixed=m) for m in (False, True, True))
    assert np.array_equal(mixed, again)
    red, blue = mixed[..., 0].mean((1, 2)), mixed[..., 2].mean((1, 2))
    of_both = (red > 80) & (blue > 80)
    assert 5 <= of_both.sum() <= 20  # at most half of the partners are of the other colour
    assert not ((plain[..., 0].mean((1, 2)) > 80) & (plain[..., 2].mean((1, 2)) > 80)).any()
    kept = [(plain[i] == mixed[i]).all(-1).mean() for i in np.flatnonzero(of_both)]
    assert any(0.02 < share < 0.98 for share in kept)  # CutMix: the rest of the image is as it was
    assert any(share == 0 for share in kept)  # mixup: every pixel has changed


def test_the_seed_of_an_image():
    assert view_seed("teacher", 0, 1, "training/0_0") == 3408461641
    seeds = {
        view_seed(policy, seed, number, image_id)
        for policy in POLICIES
        for seed in (0, 1, 11)
        for number in (1, 2, 11)
        for image_id in ("training/1", "training/11", "testing/1")
    }
    assert len(seeds) == 54
    assert all(0 <= seed < 2**32 for seed in seeds)
