"""From a row of the settings to a network, and the normalisation that it expects."""

from dataclasses import asdict
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor, nn

from pipeline.contest.facts import ContestFacts
from pipeline.contest.submission_format import SubmissionFormat
from pipeline.runtime.artifacts import Artifacts
from pipeline.runtime.atomic import write_json
from pipeline.runtime.errors import MachineError, RequestError
from pipeline.runtime.folder import RunFolder
from pipeline.runtime.request import Job, Request
from pipeline.runtime.settings import Settings
from pipeline.runtime.tensor_file import load_tensors, save_tensors
from pipeline.runtime.training_settings import MemberSettings
from pipeline.stages.carry_out import run_wave
from pipeline.stages.teacher.teach import teach
from pipeline.training import loop
from pipeline.training.members import (
    build_member,
    inference_member,
    load_member,
    member_normalisation,
    supplied_member,
)

SIZE = 16
TINY = {"network": "reference-cnn", "options": {"width": 1}}
FACTS = ContestFacts(
    name="soup",
    classes=("a", "b", "c"),
    ids={"training": (), "validation": (), "testing": ()},
    labels={"training": (), "validation": (), "testing": ()},
    submission=SubmissionFormat(("Id", "Label"), (), (), ("a", "b", "c")),
    test_labels=(),
    undecodable=(),
    skipped=(),
    mean=(140, 114, 87),
    std=(69, 70, 71),
)


def row(**changed: object) -> MemberSettings:
    return MemberSettings.model_validate(TINY | changed)


def saved_weights(path: Path, **tensors: Tensor) -> Path:
    torch.manual_seed(7)
    network = build_member(row(), FACTS, SIZE, pretrained=False)
    save_tensors(path, network.state_dict() | tensors, {})
    return path


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def refused(message: str, **changed: object) -> None:
    with pytest.raises(RequestError, match=message) as caught:
        supplied_member(found := row(**changed), Path(found.weights), FACTS, SIZE)
    assert "\n" not in str(caught.value)


def test_supplied_weights_are_loaded(tmp_path):
    path = saved_weights(tmp_path / "mine.safetensors")
    torch.manual_seed(8)
    network = supplied_member(row(weights=str(path)), path, FACTS, SIZE)
    assert equal(network.state_dict(), load_tensors(path)[0])
    assert network(torch.zeros(2, 3, SIZE, SIZE)).shape == (2, 3)


def test_a_supplied_member_does_not_train(tmp_path, monkeypatch, capsys):
    def no_training(*_: object) -> nn.Module:
        raise AssertionError("it trains")

    monkeypatch.setattr(loop, "train", no_training)
    path = saved_weights(tmp_path / "mine.safetensors")
    values = {"data": {"image_size": SIZE}, "teach": {"members": [TINY | {"weights": str(path)}]}}
    run = RunFolder(tmp_path, "soup")
    request = Request(name="soup", data="nowhere", preset="none", settings=Settings.model_validate(values))
    artifacts = Artifacts(run)
    write_json(artifacts.contest.path, asdict(FACTS))
    stat = artifacts.contest.path.stat()
    recorded = {"size_bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": "of the contest"}
    write_json(run.receipt("prepare-decode"), {"outputs": {"contest.json": recorded}})
    for _ in range(2):
        for wave in teach(Job(run, request)):
            run_wave(wave)
    assert equal(load_tensors(artifacts.member(0).path)[0], load_tensors(path)[0])
    assert capsys.readouterr().out == "teach-00: done before, skipped\n"


def test_supplied_weights_of_other_shapes(tmp_path):
    path = saved_weights(tmp_path / "mine.safetensors", **{"head.5.bias": torch.zeros(5)})
    refused(
        r"mine\.safetensors: does not fit reference-cnn: size mismatch for head\.5\.bias: .*\[5\].*\[3\]",
        weights=str(path),
    )


def test_supplied_weights_of_another_network(tmp_path):
    save_tensors(tmp_path / "other.safetensors", {"stem.weight": torch.zeros(2)}, {})
    refused(
        r"other\.safetensors: does not fit reference-cnn: Missing key.*features\.0\.weight",
        weights=str(tmp_path / "other.safetensors"),
    )


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a zip", b"\xff" * 64])
def test_supplied_weights_that_are_no_safetensors(content, tmp_path):
    path = tmp_path / "mine.pth"
    path.write_bytes(content)
    refused(r"mine\.pth: damaged or not a safetensors file", weights=str(path))


def test_a_member_is_loaded_from_its_file(tmp_path):
    path = saved_weights(tmp_path / "member.safetensors")
    torch.manual_seed(8)
    network, normalisation = load_member(path, row(), FACTS, SIZE)
    assert equal(network.network.state_dict(), load_tensors(path)[0])
    assert (normalisation.mean, normalisation.std) == (FACTS.mean, FACTS.std)


def test_a_member_predicts_at_the_size_that_it_trained_on_last(tmp_path):
    network = build_member(row(), FACTS, 32, pretrained=False)
    save_tensors(tmp_path / "member.safetensors", network.state_dict(), {})
    full, half = (
        load_member(tmp_path / "member.safetensors", row(sizes=sizes), FACTS, 32)[0].eval() for sizes in ((), (32, 16))
    )
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    smaller = torch.nn.functional.interpolate(images, (16, 16), mode="bilinear", antialias=True)
    assert torch.equal(half(images), full(smaller))
    assert not torch.allclose(half(images), full(images))
    supplied = row(sizes=(32, 16), weights="mine.safetensors")  # the size that it trained on last is not known
    assert torch.equal(inference_member(half.network, supplied)(images), full(images))


def test_a_member_that_started_from_published_weights_is_loaded(tmp_path, monkeypatch):
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, *, pretrained, **own: create(name, **own))  # noqa: ARG005
    of_published = MemberSettings(network="resnet18", pretrained=True, options={"channels": (8, 8, 8, 8)})
    network = build_member(of_published, FACTS, 32, pretrained=True)
    save_tensors(tmp_path / "member.safetensors", network.state_dict(), {})
    assert network.conv1.kernel_size == (7, 7)
    asked: list[bool] = []
    monkeypatch.setattr(
        timm, "create_model", lambda name, *, pretrained, **own: asked.append(pretrained) or create(name, **own)
    )
    again, normalisation = load_member(tmp_path / "member.safetensors", of_published, FACTS, 32)
    assert asked == [False]  # published weights are not fetched again
    assert equal(again.network.state_dict(), network.state_dict())
    assert normalisation.mean == pytest.approx([255 * value for value in network.pretrained_cfg["mean"]])


def test_a_member_from_scratch_expects_the_contests_statistics():
    network = build_member(row(network="test_resnet", options={}), FACTS, SIZE, pretrained=False)
    normalisation = member_normalisation(row(network="test_resnet", options={}), network, FACTS)
    assert (normalisation.mean, normalisation.std) == ((140, 114, 87), (69, 70, 71))


def test_a_member_of_published_weights_expects_its_own():
    network = nn.Identity()
    network.pretrained_cfg = {"mean": (0.5, 0.4, 0.2), "std": (0.2, 0.4, 1.0)}
    normalisation = member_normalisation(row(network="test_resnet", options={}, pretrained=True), network, FACTS)
    assert normalisation.mean == pytest.approx((127.5, 102.0, 51.0))
    assert normalisation.std == pytest.approx((51.0, 102.0, 255.0))


def test_an_unknown_option_is_a_request_error():
    with pytest.raises(RequestError, match=r"teach\.members: reference-cnn: .*'depth'"):
        build_member(row(options={"depth": 3}), FACTS, SIZE, pretrained=False)


def test_weights_that_cannot_be_fetched_are_a_machine_error(monkeypatch):
    def offline(*_: object, **__: object) -> nn.Module:
        raise OSError("no route to host\nand more")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(
        MachineError,
        match=r"teach\.members: published weights of resnet18: no route to host; set pretrained = false, or supply",
    ) as caught:
        build_member(MemberSettings(network="resnet18", pretrained=True), FACTS, SIZE, pretrained=True)
    assert "\n" not in str(caught.value)
