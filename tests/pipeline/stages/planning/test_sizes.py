"""The image size where no number states it, and the side of images as their files are."""

from pathlib import Path

import pytest
from PIL import Image

from pipeline.contest.contest import Record
from pipeline.contest.open_source import open_source
from pipeline.runtime.data_settings import DataSettings
from pipeline.runtime.errors import RequestError
from pipeline.stages.planning.image_files import sample, short_side
from pipeline.stages.planning.sizes import candidates, largest_size, with_size
from pipeline.stages.planning.stated import preset_settings


@pytest.mark.parametrize(
    ("side", "size"), [(8, 32), (0, 32), (32, 32), (47, 32), (48, 48), (100, 96), (223, 208), (224, 224), (4000, 224)]
)
def test_no_size_is_above_the_images_own_or_outside_the_bounds(side: int, size: int):
    assert largest_size(side) == size


@pytest.mark.parametrize(
    ("side", "sizes"), [(8, (32,)), (64, (32, 48, 64)), (90, (32, 48, 64)), (130, (32, 48, 64, 96, 128))]
)
def test_a_plan_chooses_among_sizes_up_to_the_images_own(side: int, sizes: tuple[int, ...]):
    assert candidates(side) == sizes


def test_a_sample_is_spread_evenly():
    records = [Record(str(i), f"{i}.png", 0) for i in range(10)]
    assert sample(records, 4) == ["0.png", "2.png", "5.png", "7.png"]
    assert sample(records, 20) == [record.file for record in records]


def test_the_side_is_the_median_of_short_sides_and_skips_what_is_no_image(tmp_path: Path):
    for number, size in enumerate([(30, 90), (70, 50), (60, 60)]):
        Image.new("RGB", size).save(tmp_path / f"{number}.png")
    (tmp_path / "3.png").write_bytes(b"no image")
    records = [Record(str(i), f"{i}.png", 0) for i in range(4)]
    assert short_side(open_source(tmp_path), records) == 50
    assert short_side(open_source(tmp_path), records[3:]) == 0


def test_members_keep_the_sizes_that_are_not_larger():
    values = {"data": {"image_size": "auto"}, "teach": {"sizes": [32, 48, 64], "members": [{"sizes": [64]}, {}]}}
    assert with_size(values, 48) == {
        "data": {"image_size": 48},
        "teach": {"sizes": [32, 48], "members": [{"sizes": []}, {}]},
    }


def test_an_automatic_size_is_asked_for_once_all_else_is_valid():
    asked: list[int] = []

    def answer(_: DataSettings) -> int:
        asked.append(1)
        return 48

    settings = preset_settings("cpu", ["data.image_size=auto"], "", answer)
    assert (settings.data.image_size, settings.teach.sizes, asked) == (48, (32, 48), [1])
    with pytest.raises(RequestError, match=r"distill\.epochs: .*greater than or equal to 1"):
        preset_settings("cpu", ["data.image_size=auto", "distill.epochs=0"], "", answer)
    with pytest.raises(RequestError, match=r"data\.image_size: auto is of a run; expected a number of pixels"):
        preset_settings("cpu", ["data.image_size=auto"], "frontier", answer)
    assert preset_settings("cpu", [], "", answer).data.image_size == 64
    assert asked == [1]
