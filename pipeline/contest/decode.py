"""Image files decoded into one uint8 array, and the mean and deviation of its channels."""

import contextlib
import io
import os
import re
import struct
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from pipeline.contest.match_ids import shown
from pipeline.contest.source import Source
from pipeline.runtime.errors import RequestError

FILES_PER_TASK = 32
PIXELS_PER_CHUNK = 2**22
# Recognised by content: contests hold GIFs named .jpg. Phones' MPO opens as JPEG. EPS would run a program.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "PPM")
GREY = 128
BITS = (8, 10, 12, 14, 16)
MOST_BITS = BITS[-1]
MOST_SAMPLED = 64  # images, for the bits in use
TIFF_SAMPLES = 277  # the tag of the number of bands


@dataclass(frozen=True)
class Broken:
    """An image that could not be decoded: its row, its file, and why."""

    row: int
    file: str
    reason: str


def decode_images(
    source: Source,
    files: Sequence[str],
    image_size: int,
    out: np.ndarray,
    *,
    workers: int,
    on_done: Callable[[int], None],
    bits: int | None = None,
) -> list[Broken]:
    """Decode files into out, in their order; the bytes are the same for any number of workers (threads).

    out: uint8 [len(files), image_size, image_size, 3], may be a memmap. on_done: called in this thread with the number
    of images just decoded. bits: of images with 16 bits the ones in use, by default those of a sample of these files.
    Returns the broken images in order, whose rows are left as they were. Raises OSError when reading fails.
    """
    assert out.shape == (len(files), image_size, image_size, 3), f"out has shape {out.shape}"
    assert out.dtype == np.uint8, f"out has dtype {out.dtype}"

    used_bits = image_bits(source, files) if bits is None else bits

    def decode_span(span: range) -> list[Broken]:
        return [
            Broken(row, files[row], reason)
            for row in span
            for reason in _decode_row(source, files[row], out[row], used_bits)
        ]

    spans = [range(start, min(start + FILES_PER_TASK, len(files))) for start in range(0, len(files), FILES_PER_TASK)]
    broken: list[Broken] = []
    pool = ThreadPoolExecutor(workers)
    # entered once, in this thread: it is not safe to enter in the workers
    with warnings.catch_warnings(), _libraries_silenced():
        warnings.filterwarnings("ignore", module=r"PIL(\.|$)")
        try:
            for span, broken_of_span in zip(spans, pool.map(decode_span, spans), strict=True):
                broken += broken_of_span
                on_done(len(span))
        finally:
            pool.shutdown(cancel_futures=True)
    return broken


def refuse_broken(broken: Sequence[Broken], images: int, source: Source, remedy: str = "") -> None:
    """Raise RequestError where images are broken; images: how many there were. remedy: what else can be done."""
    if broken:
        names = shown([f"{found.file} ({found.reason})" for found in broken])
        counted = f"{len(broken)} of {images} images are broken"
        raise RequestError(f"{source.path}: {counted}: {names}; expected whole images{remedy}")


def decode_what_is_there(source: Source, broken: Sequence[Broken], out: np.ndarray) -> list[Broken]:
    """Decode the parts of broken images that are there, the rest grey; returns those of which nothing is.

    For test images, which must be answered. One thread: Pillow has one switch for all of them.
    """
    hopeless = []
    with truncated_images():
        for found in broken:
            out[found.row] = GREY
            if any(_decode_row(source, found.file, out[found.row], MOST_BITS)):
                hopeless.append(found)
    return hopeless


@contextlib.contextmanager
def _libraries_silenced() -> Iterator[None]:
    """Keep what C libraries write to file descriptor 2 off the screen: libtiff's warnings, one per unknown tag."""
    try:
        kept = os.dup(2)
    except OSError:  # it is closed: nothing can be written there
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    sys.stderr.flush()
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextlib.contextmanager
def truncated_images() -> Iterator[None]:
    """Let Pillow decode images whose end is missing."""
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def image_bits(source: Source, files: Sequence[str]) -> int:
    """Of images with 16 bits per pixel, the bits that are in use: a camera of 12 bits leaves the upper four empty.

    By the largest pixel of a sample of the files; 16 where none has 16 bits.
    """
    largest = 0
    step = max(1, len(files) // MOST_SAMPLED)
    for file in files[::step]:
        with contextlib.suppress(Exception):  # broken images are counted and named when they are decoded
            largest = max(largest, _largest_of_16_bits(source.read(file)))
    return next((bits for bits in BITS if 0 < largest < 2**bits), MOST_BITS)


def _largest_of_16_bits(content: bytes) -> int:
    """The largest pixel of an image with 16 bits per pixel; 0 for others, of which only the header is read."""
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        return int(np.asarray(image).max()) if image.mode.startswith("I") else 0


def decode_image(content: bytes, image_size: int, bits: int = 16) -> np.ndarray:
    """One image as uint8 [image_size, image_size, 3] RGB: first frame, upright by EXIF, on white, antialiased.

    bits: of an image with 16 bits per pixel the ones in use, whose upper eight are taken. Raises whatever Pillow raises
    when the bytes are not a whole image.
    """
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        image.load()
        upright_rgb = _to_rgb(_upright(image), bits)
    if upright_rgb.size != (image_size, image_size):
        upright_rgb = upright_rgb.resize((image_size, image_size), Image.Resampling.BILINEAR)
    return np.asarray(upright_rgb)


def channel_statistics(images_NHWC: np.ndarray) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Mean and standard deviation of each channel as integers in units of 1/255, the deviation at least 1.

    images_NHWC: uint8 [N, H, W, 3], N >= 1, may be a memmap. Exact, from histograms over chunks.
    """
    assert images_NHWC.size, "no images"
    counts = np.zeros((3, 256), np.int64)
    images_per_chunk = max(1, PIXELS_PER_CHUNK // (images_NHWC.shape[1] * images_NHWC.shape[2]))
    for start in range(0, len(images_NHWC), images_per_chunk):
        chunk = images_NHWC[start : start + images_per_chunk]
        for channel in range(3):
            counts[channel] += np.bincount(chunk[..., channel].ravel(), minlength=256)
    shares = counts / counts.sum(axis=1, keepdims=True)
    means = shares @ np.arange(256)
    deviations = np.sqrt((shares * (np.arange(256) - means[:, None]) ** 2).sum(axis=1))
    red, green, blue = (round(float(mean)) for mean in means)
    red_std, green_std, blue_std = (max(1, round(float(deviation))) for deviation in deviations)
    return (red, green, blue), (red_std, green_std, blue_std)


def _decode_row(source: Source, file: str, out_HWC: np.ndarray, bits: int) -> Iterator[str]:
    """Decode one image; yields the reason when it is broken."""
    try:
        content = source.read(file)
    except RequestError as error:  # a damaged entry of a zip; OSError of a failing disk goes on
        yield str(error)
        return
    try:
        out_HWC[:] = decode_image(content, out_HWC.shape[0], bits)
    except MemoryError:
        raise
    except Exception as error:  # Pillow raises nearly anything on foreign bytes, DecompressionBombError too
        yield _reason(content, error)


def _reason(content: bytes, error: Exception) -> str:
    if not content:
        return "0 bytes"
    if isinstance(error, UnidentifiedImageError):  # its own text is the address of a BytesIO
        bands = tiff_bands(content)
        return f"{bands} bands, expected 1, 3 or 4: export it as RGB" if bands > 4 else "not an image"
    if isinstance(error, Image.DecompressionBombError):
        found, limit = (f"{int(digits):,}" for digits in re.findall(r"[0-9]+", str(error))[:2])
        return f"{found} pixels, expected at most {limit}: shrink it"
    return " ".join(str(error).split()) or type(error).__name__


def tiff_bands(content: bytes) -> int:
    """The number of bands that a TIFF's first directory states; 0 for anything else."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(content[:4])
    if order is None or len(content) < 8:
        return 0
    try:
        (start,) = struct.unpack_from(f"{order}I", content, 4)
        (entries,) = struct.unpack_from(f"{order}H", content, start)
        for entry in range(entries):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", content, start + 2 + 12 * entry)
            if tag == TIFF_SAMPLES:
                return int(value)
    except struct.error:  # the directory lies outside the file
        return 0
    return 0


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # only the EXIF is damaged, the pixels are loaded: as stored, as viewers do it
        return image


def _to_rgb(image: Image.Image, bits: int) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits in I;16 or I: Pillow's own conversion clips at 255
        return Image.fromarray((np.asarray(image) >> (bits - 8)).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ValueError("its pixels are fractions, of no known range: save it with 8 bits")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")
