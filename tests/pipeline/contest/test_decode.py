import io
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from pipeline.contest.decode import (
    channel_statistics,
    decode_image,
    decode_images,
    decode_what_is_there,
    image_bits,
    refuse_broken,
    tiff_bands,
)
from pipeline.contest.open_source import open_source
from pipeline.contest.source import Source
from pipeline.runtime.errors import RequestError

RANDOM = np.random.default_rng(0)
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def encoded(image: Image.Image, image_format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def noise(height: int, width: int) -> Image.Image:
    return Image.fromarray(RANDOM.integers(0, 256, (height, width, 3), np.uint8))


def quarters() -> Image.Image:
    """2x2 pixels: red, green above blue, white."""
    return Image.fromarray(np.array([[RED, GREEN], [BLUE, WHITE]], np.uint8))


def decode(source: Source, files: Sequence[str], *, size: int = 8, workers: int = 2) -> np.ndarray:
    out = np.zeros((len(files), size, size, 3), np.uint8)
    broken = decode_images(source, files, size, out, workers=workers, on_done=lambda _: None)
    refuse_broken(broken, len(files), source)
    return out


def test_workers_do_not_change_a_bit(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        for n in range(100):
            archive.writestr(f"{n}.jpg", encoded(noise(20 + n % 7, 30), "JPEG"))
    source = open_source(tmp_path / "c.zip")
    one, four = (decode(source, source.names(), workers=workers) for workers in (1, 4))
    assert np.array_equal(one, four)
    assert len({image.tobytes() for image in one}) == 100


def test_memmap_and_progress(tmp_path: Path):
    for n in range(70):
        (tmp_path / f"{n}.png").write_bytes(encoded(Image.new("RGB", (8, 8), (n, 0, 0))))
    files = [f"{n}.png" for n in reversed(range(70))]
    out = np.lib.format.open_memmap(tmp_path / "out.npy", "w+", np.uint8, (70, 8, 8, 3))
    done: list[int] = []
    decode_images(open_source(tmp_path), files, 8, out, workers=2, on_done=done.append)
    assert out[:, 0, 0, 0].tolist() == list(reversed(range(70)))
    assert sum(done) == 70


def test_equal_size_is_untouched():
    image = noise(8, 8)
    assert np.array_equal(decode_image(encoded(image), 8), np.asarray(image))


def test_resize_is_antialiased():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    small = decode_image(encoded(Image.fromarray(stripes)), 8)
    assert small.shape == (8, 8, 3)
    assert abs(small.astype(int) - 127).max() < 12


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        (1, [[RED, GREEN], [BLUE, WHITE]]),
        (2, [[GREEN, RED], [WHITE, BLUE]]),
        (3, [[WHITE, BLUE], [GREEN, RED]]),
        (6, [[BLUE, RED], [WHITE, GREEN]]),
        (8, [[GREEN, WHITE], [RED, BLUE]]),
    ],
)
def test_exif_rotation(orientation: int, expected: list):
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert decode_image(encoded(quarters(), exif=exif), 2).tolist() == [[list(p) for p in row] for row in expected]


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
def test_broken_exif_is_no_broken_image(image_format: str):
    content = encoded(Image.new("RGB", (8, 8), WHITE), image_format, exif=b"Exif\0\0garbage")
    assert decode_image(content, 8).min() > 250


def test_16_bit_is_scaled_not_clipped():
    levels = np.array([[0, 255, 256], [32768, 65280, 65535], [511, 512, 1000]], np.uint16)
    decoded = decode_image(encoded(Image.fromarray(levels)), 3)
    assert decoded[..., 0].tolist() == (levels // 256).tolist()
    assert (decoded == decoded[..., :1]).all()


def test_pixels_that_are_fractions_have_no_known_range():
    with pytest.raises(ValueError, match="its pixels are fractions, of no known range"):
        decode_image(encoded(Image.new("F", (2, 2), 0.5), "TIFF"), 2)


def test_grey_and_bilevel():
    assert decode_image(encoded(Image.new("L", (2, 2), 77)), 2).tolist() == [[[77] * 3] * 2] * 2
    assert decode_image(encoded(Image.new("1", (2, 2), 1)), 2).tolist() == [[[255] * 3] * 2] * 2


def test_alpha_is_composited_on_white():
    half_red = Image.new("RGBA", (2, 2), (255, 0, 0, 128))
    half_grey = Image.new("LA", (2, 2), (0, 128))
    assert decode_image(encoded(half_red), 2)[0, 0].tolist() == [255, 127, 127]
    assert decode_image(encoded(half_grey), 2)[0, 0].tolist() == [127, 127, 127]


def test_palette_with_and_without_alpha():
    palette = quarters().quantize(4)
    assert np.array_equal(decode_image(encoded(palette), 2), np.asarray(quarters()))
    red_index = palette.getpixel((0, 0))
    alpha = bytes(0 if index == red_index else 255 for index in range(4))
    assert decode_image(encoded(palette, transparency=alpha), 2)[0].tolist() == [list(WHITE), list(GREEN)]
    assert decode_image(encoded(palette, transparency=red_index), 2)[0].tolist() == [list(WHITE), list(GREEN)]


def test_colour_key_of_plain_rgb_is_white():
    assert decode_image(encoded(quarters(), transparency=RED), 2)[0].tolist() == [list(WHITE), list(GREEN)]


def test_cmyk():
    cyan = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    red, green, blue = decode_image(encoded(cyan, "JPEG", quality=95), 8)[4, 4].tolist()
    assert red < 60
    assert min(green, blue) > 150


@pytest.mark.parametrize("image_format", ["GIF", "WEBP", "PNG", "MPO", "TIFF"])
def test_first_frame_of_an_animation(image_format: str):
    frames = [Image.new("RGB", (4, 4), colour) for colour in (WHITE, (0, 0, 0))]
    content = encoded(frames[0], image_format, save_all=True, append_images=frames[1:])
    assert decode_image(content, 4).min() > 250


def broken_folder(top: Path) -> Path:
    whole = encoded(noise(64, 64), "JPEG")
    contents = [b"", b"<html>not found</html>", whole[: len(whole) // 2]]
    for n in range(12):
        (top / f"bad{n:02}.jpg").write_bytes(contents[n % 3])
    (top / "good.jpg").write_bytes(whole)
    return top


def test_all_broken_images_are_counted_and_some_named(tmp_path: Path):
    source = open_source(broken_folder(tmp_path))
    with pytest.raises(RequestError, match="12 of 13 images are broken") as caught:
        decode(source, source.names())
    message = str(caught.value)
    assert "bad00.jpg (0 bytes), bad01.jpg (not an image), bad02.jpg (" in message
    assert "truncated" in message
    assert 3 <= message.count("bad") < 10  # in at most 120 characters
    assert "\n" not in message


def test_truncated_images_are_broken_in_every_format():
    image = noise(64, 64)
    for image_format in ("JPEG", "PNG", "WEBP", "BMP", "GIF"):
        content = encoded(image, image_format)
        with pytest.raises(Exception, match=r"\w"):
            decode_image(content[: len(content) // 2], 8)


def test_damaged_zip_entry_is_a_broken_image(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("a.png", encoded(quarters()))
    content = (tmp_path / "c.zip").read_bytes().replace(b"IHDR", b"IHDS")
    (tmp_path / "c.zip").write_bytes(content)
    with pytest.raises(RequestError, match=r"1 of 1 images are broken: a\.png .*CRC"):
        decode(open_source(tmp_path / "c.zip"), ["a.png"])


def test_decompression_bomb_is_broken_and_a_warning_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "a.png").write_bytes(encoded(Image.new("RGB", (100, 100))))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 6000)
    assert decode(open_source(tmp_path), ["a.png"]).shape == (1, 8, 8, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4000)
    with pytest.raises(RequestError, match=r"a\.png \(10,000 pixels, expected at most 8,000: shrink it\)"):
        decode(open_source(tmp_path), ["a.png"])


def test_a_failing_disk_is_not_a_broken_image(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(encoded(quarters()))
    source = open_source(tmp_path)
    (tmp_path / "a.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"a\.png"):
        decode(source, ["a.png"])


def test_channel_statistics_by_hand():
    images = np.zeros((2, 1, 2, 3), np.uint8)
    images[..., 0] = [[[0, 10]], [[20, 30]]]
    images[..., 2] = 200
    assert channel_statistics(images) == ((15, 0, 200), (11, 1, 1))


def test_channel_statistics_in_chunks_equal_numpy(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pipeline.contest.decode.PIXELS_PER_CHUNK", 200)
    images = RANDOM.integers(0, 200, (37, 8, 8, 3), np.uint8)
    means, deviations = channel_statistics(images)
    assert means == tuple(images.mean(axis=(0, 1, 2)).round().astype(int))
    assert deviations == tuple(images.std(axis=(0, 1, 2)).round().astype(int))


@pytest.mark.parametrize(
    ("used", "largest", "expected"), [(12, 4095, 255), (12, 2048, 128), (16, 65535, 255), (10, 1023, 255)]
)
def test_of_16_bits_those_in_use_are_read(tmp_path: Path, used: int, largest: int, expected: int):
    """By the largest pixel of all images, so that a dark image among them stays dark."""
    for name, value in (("bright", largest), ("dark", largest // 16), ("full", 2**used - 1)):
        Image.fromarray(np.full((8, 8), value, np.uint16)).save(tmp_path / f"{name}.png")
    source = open_source(tmp_path)
    assert image_bits(source, source.names()) == used
    bright, dark, full = decode(source, ["bright.png", "dark.png", "full.png"])
    assert (int(bright.max()), int(dark.max()), int(full.max())) == (expected, expected // 16, 255)


def test_bits_of_images_that_have_eight(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(encoded(quarters()))
    (tmp_path / "b.png").write_bytes(b"")
    assert image_bits(open_source(tmp_path), ["a.png", "b.png"]) == 16


def test_what_is_there_of_a_broken_image_is_decoded(tmp_path: Path):
    whole = encoded(noise(64, 64), "JPEG", quality=95)
    (tmp_path / "half.jpg").write_bytes(whole[: len(whole) * 9 // 10])
    (tmp_path / "nothing.jpg").write_bytes(b"nothing")
    source, out = open_source(tmp_path), np.zeros((2, 8, 8, 3), np.uint8)
    broken = decode_images(source, source.names(), 8, out, workers=1, on_done=lambda _: None)
    assert [found.file for found in broken] == ["half.jpg", "nothing.jpg"]
    hopeless = decode_what_is_there(source, broken, out)
    assert [(found.row, found.file, found.reason) for found in hopeless] == [(1, "nothing.jpg", "not an image")]
    difference_HW = abs(out[0].astype(int) - decode_image(whole, 8)).max(2)
    assert difference_HW[:5].max() == 0  # but for the last rows, which the antialiasing mixes with grey
    assert difference_HW[7].max() > 0
    assert (out[1] == 128).all()
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def tiff_of_bands(bands: int, order: str = "<") -> bytes:
    """A TIFF directory that states the number of bands, after which nothing else matters here."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(f"{order}IHHHIH2x", 8, 1, 277, 3, 1, bands) + b"\0" * 8


@pytest.mark.parametrize("order", ["<", ">"])
def test_images_of_many_bands_are_named(tmp_path: Path, order: str):
    assert tiff_bands(tiff_of_bands(13, order)) == 13
    assert tiff_bands(b"II*\0\xff\xff\xff\xff") == tiff_bands(b"") == tiff_bands(b"\xff\xd8\xff") == 0
    (tmp_path / "a.tif").write_bytes(tiff_of_bands(13, order))
    with pytest.raises(RequestError, match=r"a\.tif \(13 bands, expected 1, 3 or 4: export it as RGB\)"):
        decode(open_source(tmp_path), ["a.tif"])


def test_fractions_are_named(tmp_path: Path):
    Image.fromarray(np.zeros((8, 8), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(
        RequestError, match=r"a\.tif \(its pixels are fractions, of no known range: save it with 8 bits\)"
    ):
        decode(open_source(tmp_path), ["a.tif"])


@pytest.mark.parametrize(
    ("ending", "image_format"), [("avif", "AVIF"), ("ppm", "PPM"), ("jfif", "JPEG"), ("pgm", "PPM")]
)
def test_more_kinds_of_images(tmp_path: Path, ending: str, image_format: str):
    image = Image.new("L" if ending == "pgm" else "RGB", (8, 8), 130 if ending == "pgm" else (200, 10, 10))
    (tmp_path / f"a.{ending}").write_bytes(encoded(image, image_format))
    found = decode(open_source(tmp_path), [f"a.{ending}"])[0, 0, 0]
    assert abs(int(found[0]) - (130 if ending == "pgm" else 200)) < 8
