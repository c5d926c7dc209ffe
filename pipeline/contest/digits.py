"""The embedded contest: scikit-learn's 1,797 scanned handwritten digits, written as image files in layout 1.

Real scans of 8x8 pixels (UCI "Optical Recognition of Handwritten Digits"): the program runs without network and data.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

VALIDATION_IMAGES, TESTING_IMAGES = 360, 360
INK_LEVELS = 16  # a pixel of a scan is 0..16


def write_digits(folder: Path) -> None:
    """Write training/{label}_{n}.png, validation/{label}_{n}.png and testing/{n}.png below `folder`."""
    ink_NP, labels_N = load_digits(return_X_y=True)
    grey_NHW = (np.asarray(ink_NP).reshape(-1, 8, 8) * (255 / INK_LEVELS)).round().astype(np.uint8)
    order = np.arange(len(labels_N))
    rest, testing = train_test_split(order, test_size=TESTING_IMAGES, stratify=labels_N, random_state=0)
    training, validation = train_test_split(rest, test_size=VALIDATION_IMAGES, stratify=labels_N[rest], random_state=0)
    names = {f"training/{labels_N[i]}_{i}": i for i in training}
    names |= {f"validation/{labels_N[i]}_{i}": i for i in validation}
    names |= {f"testing/{place:04d}": i for place, i in enumerate(testing)}
    for name, i in names.items():
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(grey_NHW[i]).save(path)
