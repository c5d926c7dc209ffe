"""Image files decoded into one uint8 array, and the mean and deviation of its channels."""

import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pipeline.contest.source import Source
from pipeline.runtime.errors import RequestError

FILES_PER_TASK = 32
MOST_LISTED = 10
PIXELS_PER_CHUNK = 2**22
# Recognised by content: contests hold GIFs named .jpg. Phones' MPO opens as JPEG. EPS would run a program.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")


def decode_images(
    source: Source,
    files: Sequence[str],
    image_size: int,
    out: np.ndarray,
    *,
    workers: int,
    on_done: Callable[[int], None],
) -> None:
    """Decode files into out, in their order; the bytes are the same for any number of workers (threads).

    out: uint8 [len(files), image_size, image_size, 3], may be a memmap. on_done: called in this thread with the number
    of images just decoded. Raises RequestError that counts and names broken images, OSError when reading fails.
    """
    assert out.shape == (len(files), image_size, image_size, 3), f"out has shape {out.shape}"
    assert out.dtype == np.uint8, f"out has dtype {out.dtype}"

    def decode_span(span: range) -> list[str]:
        return [broken for row in span for broken in _decode_row(source, files[row], out[row])]

    spans = [range(start, min(start + FILES_PER_TASK, len(files))) for start in range(0, len(files), FILES_PER_TASK)]
    broken: list[str] = []
    pool = ThreadPoolExecutor(workers)
    with warnings.catch_warnings():  # entered once, in this thread: it is not safe to enter in the workers
        warnings.filterwarnings("ignore", module=r"PIL(\.|$)")
        try:
            for span, broken_of_span in zip(spans, pool.map(decode_span, spans), strict=True):
                broken += broken_of_span
                on_done(len(span))
        finally:
            pool.shutdown(cancel_futures=True)
    if broken:
        raise RequestError(_describe(broken, len(files), source))


def decode_image(content: bytes, image_size: int) -> np.ndarray:
    """One image as uint8 [image_size, image_size, 3] RGB: first frame, upright by EXIF, on white, antialiased.

    Raises whatever Pillow raises when the bytes are not a whole image.
    """
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        image.load()
        upright_rgb = _to_rgb(_upright(image))
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


def _decode_row(source: Source, file: str, out_HWC: np.ndarray) -> Iterator[str]:
    """Decode one image; yields "file (reason)" when it is broken."""
    try:
        content = source.read(file)
    except RequestError as error:  # a damaged entry of a zip; OSError of a failing disk goes on
        yield f"{file} ({error})"
        return
    try:
        out_HWC[:] = decode_image(content, out_HWC.shape[0])
    except MemoryError:
        raise
    except Exception as error:  # Pillow raises nearly anything on foreign bytes, DecompressionBombError too
        yield f"{file} ({_reason(content, error)})"


def _reason(content: bytes, error: Exception) -> str:
    if not content:
        return "0 bytes"
    if isinstance(error, UnidentifiedImageError):  # its own text is the address of a BytesIO
        return "not an image"
    return " ".join(str(error).split()) or type(error).__name__


def _describe(broken: Sequence[str], images: int, source: Source) -> str:
    more = ", ..." if len(broken) > MOST_LISTED else ""
    names = ", ".join(broken[:MOST_LISTED])
    return f"{source.path}: {len(broken)} of {images} images are broken: {names}{more}; expected whole images"


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # only the EXIF is damaged, the pixels are loaded: as stored, as viewers do it
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits in I;16 or I: Pillow's own conversion clips at 255
        return Image.fromarray((np.asarray(image) // 256).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ValueError("its pixels are fractions, of no known range")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")
