"""The bench measures what it says it does; that a figure is large is not tested, a test that times is none."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from torch import nn

from pipeline.bench import own_loop, side_by_side
from pipeline.bench import run_bench as bench
from pipeline.bench.machine_limit import training_flops
from pipeline.bench.own_loop import Timing, member_rates, student_rates
from pipeline.bench.plain_loop import Photos, PlainLoop
from pipeline.bench.run_bench import Effort, bench_lines, run_bench
from pipeline.bench.side_by_side import meet, side_by_side_rates
from pipeline.bench.workload import Workload, build_workload
from pipeline.contest.open_source import open_source
from pipeline.runtime.device import Device
from pipeline.runtime.load_settings import load_settings
from pipeline.runtime.records import CpuArithmetic
from pipeline.runtime.settings import Settings, StepDevice
from pipeline.training import loop as training
from pipeline.training.loop import EpochResult

CPU = Device(torch.device("cpu"), torch.float32, "cpu")
SMALL = Effort(images=8, repeats=2, seconds=0.0, workers=0)


@pytest.fixture
def settings() -> Settings:
    return load_settings("smoke", ["device.kind=cpu", "device.dtype=float32", "device.workers=1", "data.image_size=16"])


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


@pytest.mark.parametrize("rates", [student_rates, member_rates])
def test_our_loop_opens_no_image(workload: Workload, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rates):
    files, called = opened(monkeypatch), []
    found = rates(tiny_network(), workload, Timing(8, 2, lambda: called.append(1)), CPU, tmp_path)
    assert files == []
    assert len(found) == len(called) == 2
    assert min(found) > 0


def test_an_epoch_is_warmed_up_and_what_comes_before_each_is_not_timed(workload: Workload, tmp_path: Path, monkeypatch):
    """Two epochs of six batches take a second and two; whatever is done before them takes none of that."""
    seconds, order = iter((9.0, 1.0, 2.0)), []

    def run_epoch(loop, epoch: int) -> EpochResult:
        order.append("epoch")
        return EpochResult(loop.kept, epoch + 1, 0.0, 0.0, next(seconds))

    monkeypatch.setattr(training._Loop, "run_epoch", run_epoch)
    timing = Timing(8, 2, lambda: order.append("before"))
    assert student_rates(tiny_network(), workload, timing, CPU, tmp_path) == [48.0, 24.0]
    assert order == ["epoch", "before", "epoch", "before", "epoch"]


def test_a_member_may_train_on_some_of_the_images(workload: Workload, tmp_path: Path, monkeypatch):
    sets = []
    monkeypatch.setattr(own_loop, "train", lambda _, training_set, *__: sets.append(training_set))
    for images in (None, 20):
        member_rates(tiny_network(), workload, Timing(8, 1, lambda: None), CPU, tmp_path, images)
    assert [found.steps_per_epoch(8) for found in sets] == [6, 2]
    assert sets[1].rows_N.tolist() == list(range(20))


def test_members_side_by_side_are_added_up(workload: Workload, monkeypatch: pytest.MonkeyPatch):
    rates, tasks = {0: [10.0, 30.0], 1: [1.0, 2.0]}, []

    def work(task: side_by_side.MemberTask) -> list[float]:
        tasks.append(task)
        return rates[task.number]

    monkeypatch.setattr(side_by_side, "map_items", lambda _, items, *__: map(work, items))
    found = side_by_side_rates("resnet18", workload, StepDevice(kind="cpu", dtype="float32"), 8, 2, 2)
    assert found == [11.0, 32.0]
    assert [(task.number, task.processes, task.epochs) for task in tasks] == [(0, 2, 2), (1, 2, 2)]


def test_members_train_in_processes_that_begin_their_epochs_at_once(workload: Workload):
    device = StepDevice(kind="cpu", dtype="float32")
    found = side_by_side_rates("test_resnet", workload, device, 8, 2, 2)
    assert len(found) == 2
    assert min(found) > 0


def test_who_comes_first_waits(tmp_path: Path):
    first, second = (meet(tmp_path, number, 2) for number in range(2))
    order: list[str] = []

    def come_twice() -> None:
        for _ in range(2):
            first()
            order.append("first")

    thread = threading.Thread(target=come_twice)
    thread.start()
    for _ in range(2):
        time.sleep(0.05)
        order.append("second comes")
        second()
    thread.join(timeout=10)
    assert order[0] == "second comes"
    assert order.count("first") == 2
    assert order[-1] == "first"


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
    assert set(found) == {"student", "teacher", "members", "export", "prepare", "memory", "limit", "machine"}
    assert found["members"]["processes"] == 1
    for name in ("student", "teacher", "members", "export"):
        row = found[name]
        assert row["ratio"] == pytest.approx(row["ours"] / row["plain"], rel=0.02)
        assert min(row["plain"], row["ours"]) > 0
    for name in ("student", "teacher", "members"):
        limit = found["limit"]["matrix_tflops"] * 1e12
        share = found[name]["ours"] * found[name]["gflops_per_image"] * 1e9 / limit
        assert found[name]["share_of_limit"] == pytest.approx(share, rel=0.05, abs=2e-4)
    assert found["machine"]["device"].endswith(", float32")
    assert found["memory"]["process_bytes"] > 2**27  # torch alone takes more than 128 MiB
    lines = bench_lines(found)
    assert [line.split()[0] for line in lines[1:5]] == ["student", "teacher", "members", "export"]
    assert found["machine"]["others_share"] is None or 0 <= found["machine"]["others_share"] <= 1
    assert f"{found['student']['ratio']:.2f}" in lines[1].split()
    assert "preparing 8 images of tiny" in capsys.readouterr().out


@pytest.mark.parametrize(("share", "last"), [(0.38, "other processes took 38% of the cores"), (0.01, "machine: ")])
def test_the_table_ends_with_what_other_processes_took(share: float, last: str):
    found = json.loads((Path(__file__).parent / "bench.json").read_text())
    found["machine"]["others_share"] = share
    assert bench_lines(found)[-1].startswith(last)


def test_an_open_dtype_is_measured_and_the_figures_stand_in_the_record(tiny_contest, monkeypatch):
    rates = {"float32": 1.0, "bfloat16": 2.0}

    def measure(cpu: str) -> CpuArithmetic:
        return CpuArithmetic(cpu=cpu, dtype="bfloat16", conv_as_matmul=False, images_per_second=rates)

    monkeypatch.setattr(bench, "measure_arithmetic", measure)
    open_dtype = load_settings("smoke", ["device.kind=cpu", "device.workers=1", "data.image_size=16"])
    device = run_bench(tiny_contest(), open_dtype, SMALL)["machine"]["device"]
    assert device.endswith(", bfloat16 (images per second in a trial: float32 1, bfloat16 2)")


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
