"""The bench measures what it says it does; that a figure is large is not tested, a test that times is none."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from torch import nn

from pipeline.bench import run_bench as bench
from pipeline.bench.machine_limit import training_flops
from pipeline.bench.own_loop import own_training_set, train_rates
from pipeline.bench.plain_loop import Photos, PlainLoop
from pipeline.bench.run_bench import Effort, bench_lines, run_bench
from pipeline.bench.workload import Workload, build_workload
from pipeline.contest.source import open_source
from pipeline.runtime.device import Device
from pipeline.runtime.load_settings import load_settings
from pipeline.runtime.settings import Settings
from pipeline.training.losses import member_loss

CPU = Device(torch.device("cpu"), torch.float32, "cpu")
SMALL = Effort(images=8, repeats=2, seconds=0.0, workers=0)


@pytest.fixture
def settings() -> Settings:
    return load_settings("smoke", ["device.kind=cpu", "device.dtype=float32", "data.image_size=16"])


@pytest.fixture
def workload(tiny_contest: Callable[..., Path], settings: Settings, tmp_path: Path) -> Workload:
    (tmp_path / "work").mkdir()
    return build_workload(open_source(tiny_contest()), settings.data, 50, tmp_path / "work")


def test_the_workload_is_the_contests_training_images(workload: Workload):
    assert len(workload.files) == len(workload.labels) == 50  # the tiny contest has 42: some come twice
    assert workload.labels[:3] == [0, 0, 0]
    assert workload.classes == 3
    clean_NHWC, view_NHWC = map(np.load, workload.views)
    assert clean_NHWC.shape == view_NHWC.shape == (50, 16, 16, 3)
    with PIL.Image.open(workload.files[7]) as image:
        assert np.array_equal(np.asarray(image), clean_NHWC[7])
    assert np.array_equal(clean_NHWC[42:], clean_NHWC[:8])
    assert not np.array_equal(view_NHWC, clean_NHWC)
    assert min(workload.decoded_per_second, workload.viewed_per_second) > 0


def opened(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    files: list[object] = []
    whole = PIL.Image.open

    def remember(file: object, *rest: object, **options: object) -> object:
        files.append(file)
        return whole(file, *rest, **options)  # pyright: ignore

    monkeypatch.setattr(PIL.Image, "open", remember)
    return files


def tiny_network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))


def test_our_loop_opens_no_image(workload: Workload, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    files, called = opened(monkeypatch), []
    rates = train_rates(
        tiny_network(),
        own_training_set(workload, soft=False),
        member_loss,
        8,
        CPU,
        tmp_path,
        [lambda: called.append(1)] * 2,
    )
    assert files == []
    assert len(rates) == len(called) == 2


def test_the_plain_loop_opens_every_image_of_a_batch(workload: Workload, monkeypatch: pytest.MonkeyPatch):
    files, network = opened(monkeypatch), tiny_network()
    before = [parameter.clone() for parameter in network.parameters()]
    photos = Photos(workload.files, workload.labels, workload.image_size)
    loop = PlainLoop(network, photos, 8, 0, torch.device("cpu"))
    assert loop.train_rate(0.0) > 0
    assert len(files) == 6 * 8  # three steps that are left out and three that count
    assert all(not torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))
    assert loop.inference_rate(0.0) > 0
    assert len(files) == 12 * 8


def test_flops_by_hand():
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False))
    forward = 2 * 3 * 4 * 9 * 16 * 16
    assert training_flops(network, 16) == 2 * forward  # the images need no gradient: forward and weights alone


def test_bench_of_a_contest(settings: Settings, tiny_contest: Callable[..., Path], capsys: pytest.CaptureFixture[str]):
    found = run_bench(tiny_contest(), settings, SMALL)
    assert set(found) == {"student", "teacher", "export", "prepare", "memory", "limit", "machine"}
    for name in ("student", "teacher", "export"):
        row = found[name]
        assert row["ratio"] == pytest.approx(row["ours"] / row["plain"], rel=0.02)
        assert min(row["plain"], row["ours"]) > 0
    for name in ("student", "teacher"):
        limit = found["limit"]["matrix_tflops"] * 1e12
        share = found[name]["ours"] * found[name]["gflops_per_image"] * 1e9 / limit
        assert found[name]["share_of_limit"] == pytest.approx(share, rel=0.05, abs=2e-4)
    assert found["machine"]["device"].endswith(", float32")
    assert found["memory"]["process_bytes"] > 2**27  # torch alone takes more than 128 MiB
    lines = bench_lines(found)
    assert [line.split()[0] for line in lines[1:4]] == ["student", "teacher", "export"]
    assert f"{found['student']['ratio']:.2f}" in lines[1].split()
    assert "preparing 8 images of tiny" in capsys.readouterr().out


def test_bench_from_the_command_line(run_cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked: list[tuple[object, ...]] = []

    def remember(data: Path | None, settings: Settings, effort: Effort) -> dict[str, object]:
        asked.append((data, settings.device.dtype, effort))
        return json.loads((Path(__file__).parent / "bench.json").read_text())

    monkeypatch.setattr(bench, "run_bench", remember)
    out_file = tmp_path / "found.json"
    argv = ["bench", "--json", out_file, "--set", "device.dtype=float32"]
    code, out, err = run_cli(argv, tmp_path)
    assert code == 0, err
    assert asked == [(None, "float32", Effort())]
    assert json.loads(out_file.read_text())["student"]["ratio"] == 5.0
    assert "student" in out
    (tmp_path / "data").mkdir()
    assert run_cli(argv, tmp_path)[0] == 0
    assert asked[1][0] == tmp_path / "data"
