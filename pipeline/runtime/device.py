"""Device and dtype of the arithmetic. A GPU counts only where a kernel runs on it."""

import contextlib
import dataclasses
import platform
from dataclasses import dataclass
from pathlib import Path

import torch

from pipeline.runtime.engine import available_cores, worker_count
from pipeline.runtime.errors import RequestError
from pipeline.runtime.settings import DeviceSettings, StepDevice

CPU_FACTS = Path("/proc/cpuinfo")
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
    conv_as_matmul: bool = False  # convolutions of small feature maps as matrix products, in training
    figures: str = ""  # of the trial that chose the arithmetic
    processes: int = 1  # that share each batch of a training, with equal parts of it and of the threads

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """The mixed precision of training; nothing for float32."""
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.where.type, self.dtype)

    @property
    def arithmetic(self) -> str:
        """What decides the bits of a training on it, for the identity of a checkpoint."""
        return f"{self.dtype} with matrix products" if self.conv_as_matmul else f"{self.dtype}"

    @property
    def description(self) -> str:
        """Name and arithmetic, and how that was chosen, for receipts and manifests."""
        arithmetic = self.arithmetic.removeprefix("torch.")
        return f"{self.name}, {arithmetic}" + (f" ({self.figures})" if self.figures else "")


def pick_device(settings: StepDevice) -> Device:
    """The device of a step, in the dtype that the settings demand, else in the one that it is fast at.

    Raises RequestError as `usable_device` does. On a CPU an open dtype was measured before.
    """
    where = usable_device(settings)
    if where.type == "cpu":
        return _cpu(settings)
    _exact_float32()
    dtype = _cuda_dtype() if settings.dtype == "auto" else getattr(torch, settings.dtype)
    return Device(where, dtype, torch.cuda.get_device_name(), settings.graphs)


def usable_device(settings: DeviceSettings) -> torch.device:
    """CUDA when a kernel runs, else the CPU. Raises RequestError when the settings demand `cuda` and no kernel runs.

    `torch.cuda.is_available()` is not enough: it is true for a wheel without kernels for the card, which fails at the
    first kernel (Kaggle's P100 in 2026).
    """
    fault = "" if settings.kind == "cpu" else cuda_fault()
    if settings.kind == "cuda" and fault:
        raise RequestError(f"device.kind: cuda was asked for, but no CUDA kernel runs here: {fault}; use auto or cpu")
    return torch.device("cpu" if settings.kind == "cpu" or fault else "cuda")


def needs_trial(settings: DeviceSettings) -> bool:
    """Whether the arithmetic has to be measured: on a CPU, where the settings leave the dtype open."""
    return settings.dtype == "auto" and usable_device(settings).type == "cpu"


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
    name = f"{cpu_name()}, {processes} processes of {threads} thread{'s' if threads > 1 else ''}"
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


def _cuda_dtype() -> torch.dtype:
    # is_bf16_supported() counts emulation by default; cuDNN has no bf16 convolution before Ampere
    bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if bf16 else torch.float16


def _cpu(settings: StepDevice) -> Device:
    where, name = torch.device("cpu"), f"{cpu_name()}, {torch.get_num_threads()} threads"
    if settings.dtype != "auto":
        dtype = getattr(torch, settings.dtype)
        return Device(where, dtype, name, conv_as_matmul=dtype == torch.bfloat16)
    chosen = settings.arithmetic
    assert chosen, "the arithmetic of a CPU is measured before a step builds its device"
    dtype = getattr(torch, chosen.dtype)
    return Device(where, dtype, name, conv_as_matmul=chosen.conv_as_matmul, figures=chosen.figures)


def cpu_name() -> str:
    """The name of the processor, as far as the system knows it."""
    try:
        lines = CPU_FACTS.read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
