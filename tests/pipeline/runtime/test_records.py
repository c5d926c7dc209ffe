"""Records: typed, with the number of their format; metrics begin anew with their training."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.runtime.records import EpochMetrics, Measurement, PackRecord, append_epoch, keep_epochs, read_epochs


def epoch(number: int) -> EpochMetrics:
    return EpochMetrics(stage="teach", member=0, epoch=number, loss=0.5, learning_rate=0.1, seconds=1.0)


def test_what_is_not_known_is_left_out():
    assert epoch(1).written() == {
        "format": 1,
        "stage": "teach",
        "member": 0,
        "epoch": 1,
        "loss": 0.5,
        "learning_rate": 0.1,
        "seconds": 1.0,
    }
    assert EpochMetrics.read(epoch(1).written()) == epoch(1)


def test_another_format_is_refused():
    with pytest.raises(ValidationError, match="Input should be 1"):
        Measurement.read({"format": 2, "precision": "fp16", "packed_bytes": 1})
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Measurement.read({"precision": "fp16", "packed_bytes": 1, "more": 2})


def test_the_shipped_measurement():
    measured = tuple(Measurement(precision=name, packed_bytes=size) for name, size in (("fp16", 9), ("uint8", 5)))
    assert PackRecord(chosen="uint8", measured=measured, ledger=()).shipped.packed_bytes == 5


def test_lines_are_appended_whole(tmp_path: Path):
    path = tmp_path / "new" / "metrics.jsonl"
    for number in (1, 2):
        append_epoch(path, epoch(number))
    assert [json.loads(line) for line in path.read_text().splitlines()] == [epoch(1).written(), epoch(2).written()]
    assert path.read_text().endswith("\n")
    with pytest.raises(ValueError, match="not JSON compliant"):
        append_epoch(path, epoch(3).model_copy(update={"loss": float("nan")}))
    assert read_epochs(path) == [epoch(1), epoch(2)]


@pytest.mark.parametrize(("kept", "expected"), [(0, []), (1, [1]), (3, [1, 2]), (4, [1, 2, 4]), (9, [1, 2, 4])])
def test_a_training_that_goes_on_keeps_its_epochs_alone(tmp_path: Path, kept: int, expected: list[int]):
    path = tmp_path / "metrics.jsonl"
    for number in (1, 2, 4):  # the line of epoch 3 was lost
        append_epoch(path, epoch(number))
    keep_epochs(path, kept)
    assert [metrics.epoch for metrics in read_epochs(path)] == expected


def test_a_line_that_was_cut_short_ends_the_file(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    append_epoch(path, epoch(1))
    with path.open("ab") as stream:
        stream.write(b'{"format": 1, "sta')
    keep_epochs(path, 2)
    assert read_epochs(path) == [epoch(1)]


def test_a_training_without_epochs_has_an_empty_file(tmp_path: Path):
    keep_epochs(tmp_path / "new" / "metrics.jsonl", 0)
    assert (tmp_path / "new" / "metrics.jsonl").read_bytes() == b""
