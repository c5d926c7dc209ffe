"""Arrays of images on the disk: uint8 [N, H, W, 3] in .npy files, whose room is taken before anything is written."""

import os
from pathlib import Path

import numpy as np


def create_image_array(path: Path, count: int, image_size: int) -> np.memmap:
    """Create the file and map it for writing. Raises OSError when the disk has no room for all of it.

    A mapped file is sparse at first; a write into it on a full disk would kill the process with a signal.
    """
    images_NHWC = np.lib.format.open_memmap(path, "w+", np.uint8, (count, image_size, image_size, 3))
    if hasattr(os, "posix_fallocate"):  # not on macOS
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return images_NHWC
