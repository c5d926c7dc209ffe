"""The bench: plain loop and this project's, alternating in one process; medians, as a table and as JSON."""

import dataclasses
import platform
import resource
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models.students.build import build_student
from models.students.families import STUDENTS
from models.teachers.build import build_teacher
from pipeline.bench.machine_limit import copy_bytes_per_second, matrix_flops_per_second, training_flops
from pipeline.bench.other_processes import others_lines, read_cpu_seconds, share_since
from pipeline.bench.own_loop import (
    Timing,
    inference_rate,
    loading_rate,
    member_rates,
    own_training_set,
    student_rates,
)
from pipeline.bench.plain_loop import Photos, PlainLoop
from pipeline.bench.side_by_side import side_by_side_rates
from pipeline.bench.workload import Workload, build_workload
from pipeline.contest.digits import write_digits
from pipeline.contest.open_source import open_source
from pipeline.runtime.console import say, table
from pipeline.runtime.device import Device, cpu_name, needs_trial, pick_device, shared_by_processes
from pipeline.runtime.engine import available_cores, worker_count
from pipeline.runtime.settings import DeviceSettings, Settings, StepDevice
from pipeline.training.arithmetic import measure_arithmetic

BATCH_SIZE = 256
STUDENT, TEACHER = "reference-student", "resnet18"
MEASURED = ("student", "teacher", "members", "export")  # rows of both loops; members on a CPU alone
Rates = dict[str, float]


@dataclass(frozen=True)
class Effort:
    """How much is measured. images: training images that take part, 0: as many as give steady rates on the device."""

    images: int = 0
    repeats: int = 3  # of each alternation
    seconds: float = 8.0  # of the plain loop in each
    workers: int = dataclasses.field(default_factory=available_cores)  # that feed the plain loop


def run_bench(data: Path | None, settings: Settings, effort: Effort) -> dict[str, Any]:
    """Measure everything and return it, with a line per part meanwhile. Without data, on the embedded digits."""
    before = read_cpu_seconds()
    step_device = _measured(settings.device)
    device = pick_device(step_device)
    images = effort.images or (8 if device.where.type == "cpu" else 64) * BATCH_SIZE
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        if data is None:
            data = Path(folder) / "digits"
            write_digits(data)
        say(f"bench: preparing {images:,} images of {data.name}")
        workload = build_workload(open_source(data, settings.data.zip_encoding), settings.data, images, Path(folder))
        bench = _Bench(workload, device, effort, Path(folder))
        say(f"bench: training {STUDENT} at batch {bench.batch_size}")
        shared = shared_by_processes(device, bench.batch_size, settings.device.workers)
        found: dict[str, Any] = {"student": bench.training(bench.student, student_rates, shared, soft=True)}
        say(f"bench: training {TEACHER} for small images")
        found["teacher"] = bench.training(bench.teacher, member_rates, device, soft=False)
        if device.where.type == "cpu":  # on a GPU members take turns, each as the teacher above
            processes = worker_count(settings.device.workers)
            say(f"bench: training {processes} x {TEACHER} side by side")
            found["members"] = bench.members(step_device, settings.teach.batch_size, processes)
        say(f"bench: soft labels from {TEACHER}")
        found["export"] = bench.inference(bench.teacher)
    found["prepare"] = {
        "decoded_per_second_and_core": round(workload.decoded_per_second, 1),
        "views_per_second_and_core": round(workload.viewed_per_second, 1),
    }
    limit = matrix_flops_per_second(device)
    for trained in (row for row in found.values() if "gflops_per_image" in row):
        trained["share_of_limit"] = round(trained["ours"] * trained["gflops_per_image"] * 1e9 / limit, 4)
    found["limit"] = {
        "matrix_tflops": round(limit / 1e12, 3),
        "copy_gbytes_per_second": round(copy_bytes_per_second(device) / 1e9, 2),
    }
    machine = _machine(device) | {"others_share": share_since(before)}
    return found | {"memory": _memory(device), "machine": machine}


@dataclass(frozen=True)
class _Bench:
    """The same networks and images in both loops."""

    workload: Workload
    device: Device
    effort: Effort
    folder: Path

    @property
    def batch_size(self) -> int:
        return min(BATCH_SIZE, len(self.workload.files))

    def student(self) -> nn.Module:
        classes, size = self.workload.classes, self.workload.image_size
        return build_student(STUDENTS[STUDENT].architecture(classes, size))

    def teacher(self) -> nn.Module:
        return build_teacher(TEACHER, classes=self.workload.classes, image_size=self.workload.image_size)

    def training(
        self, build: Callable[[], nn.Module], rates: Callable[..., list[float]], device: Device, *, soft: bool
    ) -> Rates:
        """Rates of both train loops, the loader's share of our time, and the FLOPs of an image."""
        network, plain_loop, plain = build(), self._plain(build()), []
        flops = training_flops(network, self.workload.image_size)
        timing = Timing(
            self.batch_size, self.effort.repeats, lambda: plain.append(plain_loop.train_rate(self.effort.seconds))
        )
        ours = rates(network, self.workload, timing, device, self.folder)
        training_set = own_training_set(self.workload, soft=soft)
        loading = loading_rate(training_set, self.batch_size, self.device, 1 + self.effort.repeats)
        share = {"loading_share": round(statistics.median(ours) / loading, 4)}
        return _rates(plain, ours) | share | {"gflops_per_image": round(flops / 1e9, 4)}

    def members(self, device: StepDevice, batch_size: int, processes: int) -> Rates:
        """Rates of as many members at once as there are processes, added up; the plain loop's before and after."""
        plain_loop, images = self._plain(self.teacher()), len(self.workload.files)
        plain = [plain_loop.train_rate(self.effort.seconds)]
        batch_size, epochs = min(batch_size, images), self.effort.repeats
        ours = side_by_side_rates(TEACHER, self.workload, device, batch_size, epochs, processes)
        plain.append(plain_loop.train_rate(self.effort.seconds))
        flops = training_flops(self.teacher(), self.workload.image_size)
        return _rates(plain, ours) | {"processes": processes, "gflops_per_image": round(flops / 1e9, 4)}

    def inference(self, build: Callable[[], nn.Module]) -> Rates:
        """Rates of both ways to predict with a network."""
        network = build().to(self.device.where).to(memory_format=torch.channels_last)
        plain_loop, plain, ours = self._plain(build()), [], []
        for _ in range(self.effort.repeats):
            ours.append(inference_rate(network, self.workload, self.device))
            plain.append(plain_loop.inference_rate(self.effort.seconds))
        return _rates(plain, ours)

    def _plain(self, network: nn.Module) -> PlainLoop:
        photos = Photos(self.workload.files, self.workload.labels, self.workload.image_size)
        return PlainLoop(network, photos, self.batch_size, self.effort.workers, self.device.where)


def _measured(settings: DeviceSettings) -> StepDevice:
    """From what a new run's steps would build their device."""
    arithmetic = measure_arithmetic(cpu_name()) if needs_trial(settings) else None
    return StepDevice(**dict(settings), arithmetic=arithmetic)


def bench_lines(found: dict[str, Any]) -> list[str]:
    """The figures as a table."""
    prepare, limit, memory = found["prepare"], found["limit"], found["memory"]
    rows = [_cells(name, found[name]) for name in MEASURED if name in found]
    for name, rate in (("decoding", "decoded_per_second_and_core"), ("views", "views_per_second_and_core")):
        rows.append((f"{name}, one core", "", f"{prepare[rate]:,.1f}", "", "", ""))
    lines = table(("images per second", "plain", "ours", "ratio", "loading", "of limit"), rows)
    lines.append(f"limit: {limit['matrix_tflops']} TFLOP/s, {limit['copy_gbytes_per_second']} GB/s copied")
    lines.append(f"peak memory: process {memory['process_bytes']:,}, device {memory['device_bytes']:,} bytes")
    machine = found["machine"]
    lines.append(f"machine: {machine['device']}, {machine['cores']} cores, torch {machine['torch']}")
    return lines + others_lines(machine["others_share"])


def _cells(name: str, row: dict[str, Any]) -> tuple[str, ...]:
    shares = [f"{row[name]:.1%}" if name in row else "" for name in ("loading_share", "share_of_limit")]
    return (name, f"{row['plain']:,.1f}", f"{row['ours']:,.1f}", f"{row['ratio']:.2f}", *shares)


def _rates(plain: list[float], ours: list[float]) -> Rates:
    rates = {"plain": round(statistics.median(plain), 2), "ours": round(statistics.median(ours), 2)}
    return rates | {"ratio": round(statistics.median(ours) / statistics.median(plain), 3)}


def _memory(device: Device) -> dict[str, int]:
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2): kilobytes on Linux, bytes on macOS
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    on_device = torch.cuda.max_memory_allocated() if device.where.type == "cuda" else 0
    return {"process_bytes": peak, "device_bytes": on_device}


def _machine(device: Device) -> dict[str, Any]:
    return {
        "device": device.description,
        "cores": available_cores(),
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }
