"""Soft labels: written, read, and refused where they do not belong to the contest or its views."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipeline.data.soft_labels import SoftLabels, check_soft_labels, load_soft_labels, save_soft_labels
from pipeline.runtime.errors import RequestError
from pipeline.runtime.tensor_file import save_tensors

CLASSES = ("0", "1", "10")
IDS = {"training": ("0_1", "1_2"), "testing": ("0001",)}
DIGESTS = {"training": ("a" * 64, "b" * 64), "testing": ("c" * 64, "d" * 64)}


def make_labels() -> SoftLabels:
    generator = torch.Generator().manual_seed(0)
    log_probs = {
        split: torch.randn(2, len(ids), 3, generator=generator).log_softmax(2).half() for split, ids in IDS.items()
    }
    return SoftLabels(CLASSES, IDS, log_probs, DIGESTS, "student", 5)


def check(labels: SoftLabels) -> None:
    views = {split: list(digests) for split, digests in DIGESTS.items()}
    check_soft_labels(labels, "labels.safetensors", CLASSES, IDS, views)


def test_round_trip(tmp_path: Path):
    path, labels = tmp_path / "labels.safetensors", make_labels()
    save_soft_labels(path, labels)
    found = load_soft_labels(path)
    assert replace(found, log_probs_VNC={}) == replace(labels, log_probs_VNC={})
    assert found.log_probs_VNC.keys() == IDS.keys()
    for split in IDS:
        assert found.log_probs_VNC[split].dtype == torch.float16
        assert torch.equal(found.log_probs_VNC[split], labels.log_probs_VNC[split])
    check(found)


def test_the_same_labels_give_the_same_bytes(tmp_path: Path):
    labels = make_labels()
    save_soft_labels(tmp_path / "1", labels)
    save_soft_labels(tmp_path / "2", replace(labels, log_probs_VNC=dict(reversed(labels.log_probs_VNC.items()))))
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_more_views_than_needed_are_accepted():
    views = {split: list(digests[:1]) for split, digests in DIGESTS.items()}
    check_soft_labels(make_labels(), "labels", CLASSES, IDS, views)


def test_rows_that_do_not_sum_to_one_are_refused() -> None:
    for wrong in (torch.zeros(2, 2, 3), torch.full((2, 2, 3), torch.nan)):
        labels = make_labels()
        labels = replace(labels, log_probs_VNC=labels.log_probs_VNC | {"training": wrong})
        with pytest.raises(RequestError, match=r"rows of training sum to 1 within (2|nan), expected 0\.01"):
            check(labels)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"classes": ("0", "1")}, r"made for classes 0, 1 \(2\), the contest has 0, 1, 10 \(3\)"),
        ({"classes": ("0", "10", "1")}, r"made for classes 0, 10, 1 \(3\), the contest has 0, 1, 10 \(3\)"),
        (
            {"ids": IDS | {"training": ("0_1", "1_3")}},
            r"made for other training images: found id '1_3', expected '1_2'",
        ),
        ({"ids": IDS | {"testing": ("0001", "0002")}}, r"made for other testing images: found id 2 ids, expected 1"),
        (
            {"view_digests": DIGESTS | {"training": ("a" * 64, "x" * 64)}},
            r"its view 1 of training has digest xxxxxxxxxxxx, here it is bbbbbbbbbbbb: the teacher saw other images "
            r"\(policy 'student', seed 5, none mixed\)",
        ),
        (
            {
                "view_digests": DIGESTS | {"testing": ("c" * 64,)},
                "log_probs_VNC": {
                    split: torch.full((len(ids), len(ids), 3), 1 / 3).log() for split, ids in IDS.items()
                },
            },
            r"has 1 views of testing, 2 are wanted \(views\.student_views\)",
        ),
        ({"log_probs_VNC": {"training": torch.full((2, 2, 3), 1 / 3).log()}}, r"has no soft labels for testing"),
    ],
)
def test_labels_of_something_else_are_refused(changes: dict[str, object], match: str):
    with pytest.raises(RequestError, match=rf"^labels\.safetensors: {match}$"):
        check(replace(make_labels(), **changes))  # pyright: ignore


def test_another_number_of_ids_is_reported_as_a_number():
    labels = replace(make_labels(), ids=IDS | {"training": ("0_1",)})
    with pytest.raises(RequestError, match=r"made for other training images: found .*1 ids, expected 2"):
        check(labels)


def test_a_missing_file_is_refused(tmp_path: Path):
    with pytest.raises(RequestError, match=r"gone\.safetensors: no such soft labels file"):
        load_soft_labels(tmp_path / "gone.safetensors")


def test_a_foreign_safetensors_file_is_refused(tmp_path: Path):
    save_tensors(tmp_path / "a.safetensors", {"weight": torch.zeros(2)}, {"network": "resnet18"})
    with pytest.raises(RequestError, match=r"a\.safetensors: a safetensors file, but not of soft labels"):
        load_soft_labels(tmp_path / "a.safetensors")


@pytest.mark.parametrize("part", ["empty", "text", "half", "head"])
def test_damaged_files_are_refused_in_one_line(tmp_path: Path, part: str):
    path = tmp_path / "a.safetensors"
    save_soft_labels(path, make_labels())
    whole = path.read_bytes()
    parts = {"empty": b"", "text": b"Id,Label\n1,2\n", "half": whole[:-10], "head": b"\xff" * 8 + whole[8:]}
    path.write_bytes(parts[part])
    with pytest.raises(RequestError, match=r"a\.safetensors: damaged or not a safetensors file") as caught:
        load_soft_labels(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "facts",
    [
        {"format": "soft labels 1"},
        {"format": "soft labels 1", "classes": 3, "ids": {}, "view_digests": {}, "policy": "student", "seed": 0},
        {"format": "soft labels 1", "classes": [], "ids": {"a": 3}, "view_digests": {}, "policy": "", "seed": 0},
        [],
    ],
)
def test_soft_labels_without_their_facts_are_refused(tmp_path: Path, facts: dict[str, object]):
    save_tensors(tmp_path / "a.safetensors", {"log_probs/testing": torch.zeros(1, 1, 2)}, facts)
    with pytest.raises(RequestError, match=r"a\.safetensors: .*not .*soft labels"):
        load_soft_labels(tmp_path / "a.safetensors")


def test_tensors_of_another_shape_than_their_ids_are_refused():
    labels = make_labels()
    for wrong in (torch.zeros(2, 1, 3), torch.zeros(1, 2, 3), torch.zeros(2, 2, 4), torch.zeros(2, 2)):
        with pytest.raises(RequestError, match=r"labels\.safetensors: soft labels of training have shape"):
            check(replace(labels, log_probs_VNC=labels.log_probs_VNC | {"training": wrong.half()}))
