"""Views: augmented versions of every image of a split, made once and stored.

So the teacher labels exactly the image that the student sees. A view is a pure function of (policy, seed, view number,
image): each image has a random generator of its own, seeded by those four, so the bytes are the same for any number of
workers and any order. View 0 is the clean image and is not made here.

A mixed view of an image is made of a view of it and a view of another image of its split: the teacher labels what the
student sees, so such views show the teacher's function between images and not only at them (Beyer et al. 2022, arXiv
2106.05237, section 3.2: mixup inside distillation, with the teacher's answer for the mixed image).

Shapes: N images, H = W = image size, uint8 [N, H, W, 3].
"""

import functools
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import albumentations as A
import cv2
import numpy as np

from pipeline.data.mixing import mix_two

cv2.setNumThreads(0)  # the worker processes are the parallelism

POLICIES_VERSION = 1  # raise when a policy below changes: stored views are then remade


@dataclass(frozen=True)
class ViewTask:
    """Everything that determines one stored view."""

    clean: Path  # the .npy file of view 0
    ids: tuple[str, ...]  # one per image, with the split's name before it
    policy: str
    seed: int
    view: int
    mixed: bool = False


@functools.cache
def build_policy(name: str, image_size: int) -> A.Compose:
    """Build the augmentation policy `name`; there are two.

    `teacher`: seven kinds, as the reference trained its teachers. `student`: three kinds; the reference found that more
    harms tiny networks. Both keep the label.
    """
    reflect = cv2.BORDER_REFLECT_101
    policies = {
        "teacher": [
            A.RandomResizedCrop((image_size, image_size), scale=(0.6, 1.0), ratio=(0.8, 1.25)),
            A.HorizontalFlip(p=0.5),
            A.Affine(rotate=(-20, 20), shear=(-8, 8), border_mode=reflect, p=0.7),
            A.Perspective(scale=(0.02, 0.08), border_mode=reflect, p=0.3),
            A.ColorJitter(brightness=0.3, contrast=0.3, saturation=0.3, hue=0.06, p=0.8),
            A.OneOf([A.GaussianBlur(blur_limit=(3, 5)), A.Sharpen(alpha=(0.2, 0.5))], p=0.3),
            A.CoarseDropout(num_holes_range=(1, 2), hole_height_range=(0.1, 0.3), hole_width_range=(0.1, 0.3), p=0.4),
        ],
        "student": [
            A.HorizontalFlip(p=0.5),
            A.Rotate(limit=15, border_mode=reflect, p=1.0),
            A.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.05, p=0.8),
        ],
    }
    return A.Compose(policies[name])


def make_view(task: ViewTask, out: Path) -> None:
    """Write one view of every image to the .npy file `out`."""
    clean_NHWC = np.load(task.clean, mmap_mode="r")
    view_NHWC = create_image_array(out, len(clean_NHWC), clean_NHWC.shape[1])
    policy = build_policy(task.policy, clean_NHWC.shape[1])
    for i, image_id in enumerate(task.ids):
        seed = view_seed(task.policy, task.seed, task.view, image_id)
        view_NHWC[i] = _augmented(policy, clean_NHWC[i], seed)
        if task.mixed:
            random = np.random.default_rng(seed)
            partner = int(random.integers(len(clean_NHWC)))
            partner_HWC = _augmented(policy, clean_NHWC[partner], int(random.integers(2**32)))
            view_NHWC[i] = mix_two(view_NHWC[i], partner_HWC, random)
    view_NHWC.flush()


def _augmented(policy: A.Compose, image_HWC: np.ndarray, seed: int) -> np.ndarray:
    policy.set_random_seed(seed)
    return policy(image=np.ascontiguousarray(image_HWC))["image"]


def view_seed(policy: str, seed: int, view: int, image_id: str) -> int:
    """The seed of one image's generator, 32 bits, equal on every machine and Python."""
    text = f"{policy}\n{seed}\n{view}\n{image_id}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "little")


def create_image_array(path: Path, count: int, image_size: int) -> np.memmap:
    """Create the file and map it for writing. Raises OSError when the disk has no room for all of it.

    A mapped file is sparse at first; a write into it on a full disk would kill the process with a signal.
    """
    images_NHWC = np.lib.format.open_memmap(path, "w+", np.uint8, (count, image_size, image_size, 3))
    if hasattr(os, "posix_fallocate"):  # not on macOS
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return images_NHWC
