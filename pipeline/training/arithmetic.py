"""The arithmetic of training on a CPU, chosen by a trial of about a second.

The CPU's flags do not decide it. Bare steps of ResNet-18, in images per second, on an EPYC with AVX-512 bf16 and no
AMX: 43 to 48 in float32, 61 to 100 in bf16, 75 to 93 in bf16 with matrix products. With AMX bf16 is 3 times as fast as
float32, and without bf16 instructions many times slower.

B images of a batch, C channels, h = w = side of a feature map.
"""

import statistics
import time
from collections.abc import Callable, Mapping

import torch
from threadpoolctl import threadpool_limits
from torch import nn

from pipeline.runtime.device import Device
from pipeline.runtime.records import CpuArithmetic
from pipeline.training.conv_as_matmul import use_conv_as_matmul

FLOAT32, BFLOAT16, PRODUCTS = "float32", "bfloat16", "bfloat16 with matrix products"
CHOICES = {
    name: Device(torch.device("cpu"), dtype, "trial", conv_as_matmul=name == PRODUCTS)
    for name, dtype in ((FLOAT32, torch.float32), (BFLOAT16, torch.bfloat16), (PRODUCTS, torch.bfloat16))
}
CLEARLY_FASTER = 1.15  # a smaller gain is within the noise of a busy machine
FASTER = 1.05  # of matrix products: they gain most in the wide layers, and the trial is of all
ROUNDS = 5
HOPELESS = 4.0  # times the seconds of the fastest choice
BATCH = 32
WIDTHS, SIDE = (64, 128, 256, 512), 32  # ResNet-18's, and maps from 16x16 to 4x4: three sizes of equal work


def measure_arithmetic(cpu: str) -> CpuArithmetic:
    """Time the choices on this CPU, called `cpu`, and choose; the global random state stays as it is.

    With one thread, as members train: many threads would wait for each other in so small a network.
    """
    with threadpool_limits(1), torch.random.fork_rng(devices=[]):
        seconds = alternate({name: _trial_step(device) for name, device in CHOICES.items()})
    return choose_arithmetic(cpu, {name: BATCH / value for name, value in seconds.items()})


def choose_arithmetic(cpu: str, images_per_second: Mapping[str, float]) -> CpuArithmetic:
    """float32, unless bfloat16 is clearly faster; convolutions, unless matrix products are."""
    rates = dict(images_per_second)
    products = rates[PRODUCTS] >= FASTER * rates[BFLOAT16]
    rate = rates[PRODUCTS if products else BFLOAT16]
    rounded = {name: round(value, 1) for name, value in rates.items()}
    if rate < CLEARLY_FASTER * rates[FLOAT32]:
        return CpuArithmetic(cpu=cpu, dtype="float32", conv_as_matmul=False, images_per_second=rounded)
    return CpuArithmetic(cpu=cpu, dtype="bfloat16", conv_as_matmul=products, images_per_second=rounded)


def alternate(
    works: Mapping[str, Callable[[], None]], clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Median seconds of each work by name; they take turns, so that what slows the machine down slows all of them.

    The first round warms up. A work that is hopelessly slow in it is not done again, and has the seconds of that round.
    """
    seconds = {name: [_seconds_of(work, clock)] for name, work in works.items()}
    longest = HOPELESS * min(values[0] for values in seconds.values())
    hopeful = [name for name in works if seconds[name][0] <= longest]
    for _ in range(ROUNDS):
        for name in hopeful:
            seconds[name].append(_seconds_of(works[name], clock))
    return {name: statistics.median(values[1:] or values) for name, values in seconds.items()}


def _seconds_of(work: Callable[[], None], clock: Callable[[], float]) -> float:
    start = clock()
    work()
    return clock() - start


def _trial_step(device: Device) -> Callable[[], None]:
    """Forward and backward of a small network as the train loop does them."""
    network = _trial_network().to(memory_format=torch.channels_last)
    if device.conv_as_matmul:
        use_conv_as_matmul(network)
    images_BChw = torch.randn(BATCH, 3, SIDE, SIDE).to(memory_format=torch.channels_last)

    def step() -> None:
        with device.autocast():
            loss = network(images_BChw).float().square().mean()
        network.zero_grad()
        loss.backward()

    return step


def _trial_network() -> nn.Module:
    blocks: list[nn.Module] = []
    for number, (inputs, outputs) in enumerate(zip((3, *WIDTHS), WIDTHS, strict=False)):
        stride = 1 if number == 1 else 2
        blocks += [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*blocks)
