"""What this machine could do at most: its measured matrix-product rate and copy bandwidth, and what a network asks."""

import time
from collections.abc import Callable

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pipeline.runtime.device import Device

COPY_BYTES = 2**28
REPEATS = 7


def matrix_flops_per_second(device: Device) -> float:
    """Best rate of a square matrix product in the device's dtype; a multiplication and an addition are two FLOPs."""
    size = 8192 if device.where.type == "cuda" else 2048
    a, b = (torch.randn(size, size, device=device.where, dtype=device.dtype) for _ in range(2))
    return 2 * size**3 / _best_seconds(lambda: a @ b, device)


def copy_bytes_per_second(device: Device) -> float:
    """Best rate of a copy within the device's memory; a byte read and written counts twice."""
    source = torch.ones(COPY_BYTES, dtype=torch.uint8, device=device.where)
    target = torch.empty_like(source)
    return 2 * COPY_BYTES / _best_seconds(lambda: target.copy_(source), device)


def training_flops(network: nn.Module, image_size: int) -> float:
    """FLOPs of a forward and a backward pass of one image, by torch's own counter."""
    device = next(network.parameters()).device
    images_BCHW = torch.zeros(2, 3, image_size, image_size, device=device)
    with FlopCounterMode(display=False) as counter:
        network.train()(images_BCHW).sum().backward()
    network.zero_grad()
    return counter.get_total_flops() / len(images_BCHW)


def _best_seconds(work: Callable[[], object], device: Device) -> float:
    seconds = []
    for _ in range(REPEATS):
        _wait(device)
        start = time.perf_counter()
        work()
        _wait(device)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _wait(device: Device) -> None:
    if device.where.type == "cuda":
        torch.cuda.synchronize()
