"""Images that stand in a contest twice: the same pixels, or nearly the same by a difference hash.

N images, uint8 [N, H, W, 3], decoded and resized as a run sees them. A difference hash has 64 bits: whether each pixel
of the image shrunk to 8 rows and 9 columns is brighter than the one to its left (Krawetz 2013, "Kind of like that").
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

MOST_BITS = 4  # in which the hashes of near duplicates differ
BANDS = MOST_BITS + 1  # so two such hashes agree in at least one band
MOST_IN_BUCKET = 500  # hashes that agree in a band; more are pictures without features, and are not compared
LEAST_CONTRAST = 4.0  # standard deviation of the shrunk image: below it a hash is noise


@dataclass(frozen=True)
class Image:
    """One image among all: its split, row and class (-1 unknown)."""

    split: str
    row: int
    label: int


@dataclass(frozen=True)
class Duplicates:
    """Pairs of images. same: equal pixels; near: nearly equal. The first of a pair comes first in its contest."""

    same: tuple[tuple[Image, Image], ...]
    near: tuple[tuple[Image, Image], ...]


def find_duplicates(
    images: Mapping[str, np.ndarray],
    labels: Mapping[str, Sequence[int]],
    left_out: Mapping[str, Collection[int]] | None = None,
) -> Duplicates:
    """Duplicates within and across splits. images: by split; labels: of each image, -1 where it is unknown.

    left_out: rows of each split that are not compared, such as those of images that could not be decoded.
    Of images that stand there several times each is paired with the first. Never compares all pairs.
    """
    known = [Image(split, row, label) for split in images for row, label in enumerate(labels[split])]
    digests = [digest for images_NHWC in images.values() for digest in row_digests(images_NHWC)]
    first: dict[bytes, int] = {}
    same = []
    for place, digest in enumerate(digests):
        if left_out and known[place].row in left_out.get(known[place].split, ()):
            continue
        if first.setdefault(digest, place) != place:
            same.append((known[first[digest]], known[place]))
    alone = np.array(sorted(first.values()), np.int64)
    hashes_N = np.concatenate([difference_hashes(images_NHWC) for images_NHWC in images.values()])
    pairs = [(int(alone[one]), int(alone[other])) for one, other in near_pairs(hashes_N[alone])]
    return Duplicates(tuple(same), tuple((known[one], known[other]) for one, other in pairs))


def row_digests(images_NHWC: np.ndarray) -> Iterator[bytes]:
    """A digest of the pixels of each image."""
    for image_HWC in images_NHWC:
        yield hashlib.blake2b(np.ascontiguousarray(image_HWC).tobytes(), digest_size=16).digest()


def difference_hashes(images_NHWC: np.ndarray) -> np.ndarray:
    """The difference hash of each image, uint64 [N]; 0 where it has no contrast."""
    hashes_N = np.zeros(len(images_NHWC), np.uint64)
    for row, image_HWC in enumerate(images_NHWC):
        grey_HW = cv2.cvtColor(np.ascontiguousarray(image_HWC), cv2.COLOR_RGB2GRAY)
        small_HW = cv2.resize(grey_HW, (9, 8), interpolation=cv2.INTER_AREA)
        if small_HW.std() >= LEAST_CONTRAST:
            bits = (small_HW[:, 1:] > small_HW[:, :-1]).ravel()
            hashes_N[row] = np.frombuffer(np.packbits(bits).tobytes(), ">u8")[0]
    return hashes_N


def near_pairs(hashes_N: np.ndarray) -> list[tuple[int, int]]:
    """Places of hashes that differ in at most MOST_BITS bits, ascending; 0 is no hash.

    By buckets: hashes that differ in so few bits agree in one of the bands, so only those that share a band are
    compared.
    """
    pairs: set[tuple[int, int]] = set()
    usable = np.flatnonzero(hashes_N)
    for band_N in _bands(hashes_N[usable]):
        order = np.argsort(band_N, kind="stable")
        edges = np.flatnonzero(np.diff(band_N[order])) + 1
        for places in np.split(order, edges):
            bucket = usable[places]
            if 2 <= len(bucket) <= MOST_IN_BUCKET:
                pairs |= set(_close(hashes_N, np.sort(bucket)))
    return sorted(pairs)


def _bands(hashes_N: np.ndarray) -> Iterator[np.ndarray]:
    """The hashes cut into bands of 12 or 13 bits."""
    edges = [round(64 * band / BANDS) for band in range(BANDS + 1)]
    for low, high in pairwise(edges):
        yield (hashes_N >> np.uint64(low)) & np.uint64((1 << (high - low)) - 1)


def _close(hashes_N: np.ndarray, bucket: np.ndarray) -> Iterator[tuple[int, int]]:
    """Pairs within a bucket that differ in at most MOST_BITS bits."""
    differences = hashes_N[bucket][:, None] ^ hashes_N[bucket][None, :]
    for one, other in np.argwhere(np.triu(np.bitwise_count(differences) <= MOST_BITS, 1)):
        yield int(bucket[one]), int(bucket[other])
