"""Views are read whole and in order, two of them in memory."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.data.view_reader import ViewReader, read_view, view_shape

CPU = torch.device("cpu")


def write_views(folder: Path, views: int) -> tuple[list[list[Path]], list[np.ndarray]]:
    """Two files per view, of 3 and 2 images."""
    paths, whole = [], []
    for view in range(views):
        parts = [np.random.default_rng([view, n]).integers(0, 256, (n, 4, 4, 3), np.uint8) for n in (3, 2)]
        paths.append([folder / f"{split}.{view}.npy" for split in ("training", "testing")])
        for path, part in zip(paths[-1], parts, strict=True):
            np.save(path, part)
        whole.append(np.concatenate(parts))
    return paths, whole


def same(images_NHWC: Tensor, expected_NHWC: np.ndarray) -> bool:
    return np.array_equal(images_NHWC.numpy(), expected_NHWC)


@pytest.mark.parametrize("order", [[0, 1, 2, 0], [2, 2, 2], [0, 2, 1, 1, 0]])
def test_the_requested_view_is_read_also_when_another_was_read_ahead(tmp_path: Path, order: list[int]):
    paths, whole = write_views(tmp_path, 3)
    reader = ViewReader(paths, CPU)
    for view, following in zip(order, [*order[1:], 0], strict=True):
        assert same(reader.read(view, following), whole[view])
    assert same(reader.read(1, 1), whole[1])  # 0 had been read ahead
    reader.close()


def test_two_views_are_in_memory_however_many_there_are(tmp_path: Path):
    paths, whole = write_views(tmp_path, 6)
    reader = ViewReader(paths, CPU)
    places = set()
    for view in range(6):
        images_NHWC = reader.read(view, (view + 1) % 6)
        places.add(images_NHWC.data_ptr())
        assert same(images_NHWC, whole[view])  # the next one is being read into other memory
    assert len(places) == 2
    reader.close()


def test_shape_of_files_put_together(tmp_path: Path):
    assert view_shape(write_views(tmp_path, 1)[0][0]) == (5, 4, 4, 3)


def test_a_file_cut_short_is_a_bug(tmp_path: Path):
    [paths], _ = write_views(tmp_path, 1)
    paths[1].write_bytes(paths[1].read_bytes()[:-1])
    with pytest.raises(AssertionError, match=r"testing\.0\.npy is shorter than its header states"):
        read_view(paths, torch.empty((5, 4, 4, 3), dtype=torch.uint8))
