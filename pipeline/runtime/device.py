"""Device and dtype of the arithmetic. A GPU counts only where a kernel runs on it."""

import contextlib
import dataclasses
import platform
from dataclasses import dataclass
from pathlib import Path

import torch

from pipeline.runtime.engine import available_cores, worker_count
from pipeline.runtime.errors import RequestError
from pipeline.runtime.settings import DeviceSettings

CPU_FLAGS = Path("/proc/cpuinfo")
# BatchNorm normalises with the statistics of a part, which so few images still give; fewer also cost more each, because
# the update of the weights takes a process as long as for all of them.
FEWEST_IMAGES_OF_A_PART = 32


@dataclass(frozen=True)
class Device:
    """A device on which a kernel ran, and the dtype of training and of the members' predictions."""

    where: torch.device
    dtype: torch.dtype  # float32, bfloat16 or float16; weights are always float32
    name: str
    graphs: bool = False  # whole training steps as CUDA graphs
    processes: int = 1  # that share each batch of a training, with equal parts of it and of the threads

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """The mixed precision of training; nothing for float32."""
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.where.type, self.dtype)

    @property
    def description(self) -> str:
        """Name and dtype, for receipts and manifests."""
        return f"{self.name}, {str(self.dtype).removeprefix('torch.')}"


def pick_device(settings: DeviceSettings) -> Device:
    """CUDA when a kernel runs, else the CPU. Raises RequestError when the settings demand `cuda` and no kernel runs.

    `torch.cuda.is_available()` is not enough: it is true for a wheel without kernels for the card, which fails at the
    first kernel (Kaggle's P100 in 2026).
    """
    fault = "" if settings.kind == "cpu" else cuda_fault()
    if settings.kind == "cuda" and fault:
        raise RequestError(f"device.kind: cuda was asked for, but no CUDA kernel runs here: {fault}; use auto or cpu")
    if settings.kind == "cpu" or fault:
        return Device(
            torch.device("cpu"), _dtype(settings, _cpu_dtype()), f"{_cpu_name()}, {torch.get_num_threads()} threads"
        )
    _exact_float32()
    return Device(torch.device("cuda"), _dtype(settings, _cuda_dtype()), torch.cuda.get_device_name(), settings.graphs)


def shared_by_processes(device: Device, batch_size: int, workers: int) -> Device:
    """The device as a student's training uses it: a CPU's threads go to processes with a part of each batch.

    Two processes of one thread train 1.7 times as many images as one of two threads (`engine`). At most `workers` of
    them (0: one per core), each with as many images, at least 32; on a GPU one.
    """
    most = min(threads_at_most(), worker_count(workers), batch_size // FEWEST_IMAGES_OF_A_PART)
    processes = max((count for count in range(1, most + 1) if batch_size % count == 0), default=1)
    if device.where.type != "cpu" or processes == 1:
        return device
    threads = threads_at_most() // processes
    name = f"{_cpu_name()}, {processes} processes of {threads} thread{'s' if threads > 1 else ''}"
    return dataclasses.replace(device, name=name, processes=processes)


def threads_at_most() -> int:
    """Threads of this process that can work at once."""
    return min(torch.get_num_threads(), available_cores())


def cuda_fault() -> str:
    """Empty when a convolution on the GPU gives the right number, else why not, in one line."""
    if not torch.cuda.is_available():
        return "torch sees no CUDA device"
    try:
        ones = torch.ones(1, 1, 3, 3, device="cuda")
        result = float(torch.nn.functional.conv2d(ones, ones))
    except RuntimeError as error:  # what a missing kernel image raises
        return str(error).splitlines()[0]
    return "" if result == 9.0 else f"a 3x3 convolution of ones gave {result}"


def _exact_float32() -> None:
    """Turn TF32 off, so that GPU and CPU give the same CSV."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


def _dtype(settings: DeviceSettings, native: torch.dtype) -> torch.dtype:
    return native if settings.dtype == "auto" else getattr(torch, settings.dtype)


def _cuda_dtype() -> torch.dtype:
    # is_bf16_supported() counts emulation by default; cuDNN has no bf16 convolution before Ampere
    bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if bf16 else torch.float16


def _cpu_dtype() -> torch.dtype:
    # without these instructions bf16 convolutions are many times slower than fp32
    try:
        flags = CPU_FLAGS.read_text().split()
    except OSError:
        return torch.float32
    return torch.bfloat16 if {"avx512_bf16", "amx_bf16"} & set(flags) else torch.float32


def _cpu_name() -> str:
    try:
        names = [
            line.partition(":")[2].strip()
            for line in CPU_FLAGS.read_text().splitlines()
            if line.startswith("model name")
        ]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
