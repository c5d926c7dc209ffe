"""Where the arithmetic happens, and in which precision: what really runs, not what is said to be available."""

import contextlib
import platform
from dataclasses import dataclass
from pathlib import Path

import torch

from pipeline.runtime.errors import RequestError
from pipeline.runtime.settings import DeviceSettings

CPU_FLAGS = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Device:
    """A device that was proved to run a kernel, and the dtype of training and of the members' answers."""

    where: torch.device
    dtype: torch.dtype  # float32, bfloat16 or float16; weights are float32 always
    name: str
    graphs: bool = False  # whole training steps as CUDA graphs

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
    """CUDA when a real kernel runs, else the CPU. Raises RequestError when `cuda` is demanded and none runs.

    A wheel without kernels for the card says that CUDA is available and fails at the first kernel (Kaggle's P100 in
    2026), so `torch.cuda.is_available()` alone is not believed.
    """
    fault = "" if settings.kind == "cpu" else cuda_fault()
    if settings.kind == "cuda" and fault:
        raise RequestError(f"device.kind: cuda was asked for, but no CUDA kernel runs here: {fault}")
    if settings.kind == "cpu" or fault:
        return Device(torch.device("cpu"), _dtype(settings, _cpu_dtype()), _cpu_name())
    _exact_float32()
    return Device(torch.device("cuda"), _dtype(settings, _cuda_dtype()), torch.cuda.get_device_name(), settings.graphs)


def cuda_fault() -> str:
    """Empty when a convolution on the GPU gives the right number, else why not, in one line."""
    if not torch.cuda.is_available():
        return "torch sees no CUDA device"
    try:
        ones = torch.ones(1, 1, 3, 3, device="cuda")
        answer = float(torch.nn.functional.conv2d(ones, ones))
    except RuntimeError as error:  # what a missing kernel image raises
        return str(error).splitlines()[0]
    return "" if answer == 9.0 else f"a 3x3 convolution of ones gave {answer}"


def _exact_float32() -> None:
    """Float32 means float32: no TF32, so that GPU and CPU give one CSV."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


def _dtype(settings: DeviceSettings, native: torch.dtype) -> torch.dtype:
    return native if settings.dtype == "auto" else getattr(torch, settings.dtype)


def _cuda_dtype() -> torch.dtype:
    # is_bf16_supported() counts emulation unless told not to; cuDNN has no bf16 convolution before Ampere
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
    return f"{names[0] if names else platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"
