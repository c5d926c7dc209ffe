"""The device is one on which a kernel runs, in a dtype that it is fast at."""

import platform
from collections.abc import Iterator

import pytest
import torch

from pipeline.runtime import device
from pipeline.runtime.device import Device, cpu_name, cuda_fault, pick_device, shared_by_processes, usable_device
from pipeline.runtime.errors import RequestError
from pipeline.runtime.records import CpuArithmetic
from pipeline.runtime.settings import DeviceSettings, StepDevice

TF32_SWITCHES = (torch.backends.cudnn, torch.backends.cuda.matmul)


@pytest.fixture
def cuda_that_works(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A CUDA device that never computes; the TF32 switches, which pick_device sets, are restored."""
    monkeypatch.setattr(device, "cuda_fault", lambda: "")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Abacus")
    before = [switch.allow_tf32 for switch in TF32_SWITCHES]
    for switch in TF32_SWITCHES:
        switch.allow_tf32 = True
    yield
    for switch, value in zip(TF32_SWITCHES, before, strict=True):
        switch.allow_tf32 = value


def measured(dtype: str, *, products: bool) -> CpuArithmetic:
    rates = {"float32": 1.0, "bfloat16": 2.0}
    return CpuArithmetic.read({"cpu": "Abacus", "dtype": dtype, "conv_as_matmul": products, "images_per_second": rates})


@pytest.mark.parametrize(
    ("dtype", "products", "expected"),
    [
        ("float32", False, "float32"),
        ("bfloat16", False, "bfloat16"),
        ("bfloat16", True, "bfloat16 with matrix products"),
    ],
)
def test_an_open_dtype_of_a_cpu_is_the_one_that_was_measured(dtype, products, expected, tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Slide Rule 3000\nflags\t\t: fpu amx_bf16\n")
    monkeypatch.setattr(device, "CPU_FACTS", tmp_path / "cpuinfo")
    picked = pick_device(StepDevice(kind="cpu", arithmetic=measured(dtype, products=products)))
    assert (picked.where.type, picked.dtype, picked.conv_as_matmul) == ("cpu", getattr(torch, dtype), products)
    assert picked.arithmetic == f"torch.{expected}"
    figures = "images per second in a trial: float32 1, bfloat16 2"
    threads = torch.get_num_threads()
    assert picked.description == f"Slide Rule 3000, {threads} threads, {expected} ({figures})"


def test_an_open_dtype_of_a_cpu_that_nobody_measured_is_a_bug():
    with pytest.raises(AssertionError, match="measured before a step builds its device"):
        pick_device(StepDevice(kind="cpu"))


@pytest.mark.parametrize(("dtype", "products"), [("float32", False), ("bfloat16", True), ("float16", False)])
def test_a_dtype_that_is_demanded_is_taken_whatever_was_measured(dtype, products):
    picked = pick_device(StepDevice(kind="cpu", dtype=dtype, arithmetic=measured("bfloat16", products=False)))
    assert (picked.dtype, picked.conv_as_matmul, picked.figures) == (getattr(torch, dtype), products, "")


def test_a_machine_without_cpuinfo(tmp_path, monkeypatch):
    monkeypatch.setattr(device, "CPU_FACTS", tmp_path / "absent")
    assert cpu_name() == (platform.processor() or platform.machine())


def test_what_was_measured_is_not_digested():
    chosen = StepDevice(arithmetic=measured("bfloat16", products=True))
    assert chosen.shaping() == DeviceSettings().shaping() == {"dtype": "auto"}


def test_cuda_is_demanded_where_there_is_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RequestError, match=r"device\.kind: cuda was asked for, .* torch sees no CUDA device") as caught:
        usable_device(DeviceSettings(kind="cuda"))
    assert "\n" not in str(caught.value)


def test_auto_takes_the_cpu_where_no_kernel_runs(monkeypatch):
    monkeypatch.setattr(device, "cuda_fault", lambda: "no kernel image is available")
    assert usable_device(DeviceSettings()).type == "cpu"


def test_the_cpu_is_taken_where_the_settings_ask_for_it(monkeypatch, cuda_that_works):  # noqa: ARG001
    assert usable_device(DeviceSettings(kind="cpu")).type == "cpu"


@pytest.mark.parametrize(("bf16", "expected"), [(True, torch.bfloat16), (False, torch.float16)])
@pytest.mark.parametrize("kind", ["auto", "cuda"])
def test_cuda_in_the_dtype_that_it_has_and_without_tf32(kind, bf16, expected, monkeypatch, cuda_that_works):  # noqa: ARG001
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16 or including_emulation)
    picked = pick_device(StepDevice(kind=kind))
    assert (picked.where.type, picked.dtype, picked.name) == ("cuda", expected, "Abacus")
    assert not any(switch.allow_tf32 for switch in TF32_SWITCHES)


def test_a_kernel_that_fails_is_a_fault_in_one_line(monkeypatch):
    def no_kernel(*_: object, **__: object) -> torch.Tensor:
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nCompile with ...")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "ones", no_kernel)
    assert cuda_fault() == "CUDA error: no kernel image is available for execution on the device"


@pytest.mark.parametrize(("result", "fault"), [(9.0, ""), (0.0, "a 3x3 convolution of ones gave 0.0")])
def test_a_kernel_that_gives_a_wrong_number_is_a_fault(result, fault, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "ones", lambda *_, **__: None)
    monkeypatch.setattr(torch.nn.functional, "conv2d", lambda *_: torch.tensor(result))
    assert cuda_fault() == fault


def test_no_cuda_is_a_fault(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert cuda_fault() == "torch sees no CUDA device"


@pytest.mark.parametrize(("dtype", "inside"), [(torch.float32, torch.float32), (torch.bfloat16, torch.bfloat16)])
def test_autocast(dtype, inside):
    a = torch.ones(2, 2)
    with device.Device(torch.device("cpu"), dtype, "cpu").autocast():
        assert (a @ a).dtype == inside


@pytest.mark.parametrize(
    ("threads", "cores", "workers", "batch_size", "processes", "name"),
    [
        (2, 2, 0, 64, 2, "Slide Rule 3000, 2 processes of 1 thread"),
        (2, 2, 0, 63, 1, "as it was"),  # fewer than 32 images each
        (2, 2, 0, 65, 1, "as it was"),  # parts would differ
        (2, 2, 1, 64, 1, "as it was"),  # the settings want one process
        (1, 2, 0, 64, 1, "as it was"),  # the share of a cell of a study
        (2, 1, 0, 64, 1, "as it was"),
        (8, 8, 0, 64, 2, "Slide Rule 3000, 2 processes of 4 threads"),
        (8, 8, 0, 256, 8, "Slide Rule 3000, 8 processes of 1 thread"),
        (8, 8, 3, 256, 2, "Slide Rule 3000, 2 processes of 4 threads"),  # 256 in 3 parts would differ
        (3, 3, 0, 96, 3, "Slide Rule 3000, 3 processes of 1 thread"),
    ],
)
def test_how_many_processes_share_a_batch(threads, cores, workers, batch_size, processes, name, tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text("model name\t: Slide Rule 3000\n")
    monkeypatch.setattr(device, "CPU_FACTS", tmp_path / "cpuinfo")
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(device, "available_cores", lambda: cores)
    monkeypatch.setattr(device, "worker_count", lambda setting: setting or cores)
    found = shared_by_processes(Device(torch.device("cpu"), torch.float32, "as it was"), batch_size, workers)
    assert (found.processes, found.name) == (processes, name)
    on_gpu = Device(torch.device("cuda"), torch.float32, "a GPU")
    assert shared_by_processes(on_gpu, batch_size, workers) == on_gpu
