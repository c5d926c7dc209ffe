"""The images of a contest as their files are: the short side, from the headers of a sample."""

import io
import statistics
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from pipeline.contest.contest import Record, read_contest
from pipeline.contest.decode import FORMATS
from pipeline.contest.open_source import open_source
from pipeline.contest.source import Source
from pipeline.runtime.console import say
from pipeline.runtime.data_settings import DataSettings
from pipeline.stages.planning.sizes import USUAL, largest_size

MOST_OPENED = 200


def sample(records: Sequence[Record], most: int) -> list[str]:
    """The files of at most so many records, evenly spread."""
    count = min(most, len(records))
    return [records[i * len(records) // count].file for i in range(count)]


def short_side(source: Source, records: Sequence[Record]) -> int:
    """Median short side of a sample, in pixels; only headers are read. 0 where none can be read."""
    sides = image_sides(source, records)
    return int(statistics.median(sides)) if sides else 0


def image_sides(source: Source, records: Sequence[Record]) -> list[int]:
    """Short sides of a sample, in pixels, ascending; only headers are read, and what has none is left out."""
    return sorted(side for file in sample(records, MOST_OPENED) if (side := _side_in_header(source.read(file))))


def automatic_size(data: Path, own: DataSettings) -> int:
    """The image size of a run without minutes: 64, or less for smaller images. Says which, in one line."""
    source = open_source(data, own.zip_encoding)
    contest = read_contest(source, own)
    side = short_side(source, contest.splits["training"])
    size = min(USUAL, largest_size(side))
    say(f"data.image_size auto: {size} pixels (short side of the images {side}; without --minutes at most {USUAL})")
    return size


def _side_in_header(content: bytes) -> int:
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            return min(image.size)
    except Exception:  # broken images are counted and named when they are decoded
        return 0
