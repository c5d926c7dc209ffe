"""A whole training step as one CUDA graph: a small network's kernels end sooner than Python can launch them.

Forward, loss, backward, update and EMA are captured once and replayed on batches that are copied into the same memory.
The graph is used only when a trial gives the results of the eager step; otherwise one line reports why it is not.
Source of the idea: "Accelerating PyTorch with CUDA Graphs" (pytorch.org, 2021) and torch.cuda.graph's documentation.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.data.augment import Batch
from pipeline.runtime.console import say
from pipeline.training.step import TrainStep

TRIAL_STEPS = 3
WARM_UP_STEPS = 3  # kernels are chosen and workspaces made before the capture
# Sums on a GPU come in any order, and Adam's first steps turn tiny differences into large ones; a wrong step
# (a baked-in learning rate, a batch that is not read) differs by far more than this.
LARGEST_DIFFERENCE = 0.3  # of the changes that the trial makes, relative
LARGEST_LOSS_DIFFERENCE = 0.02  # relative

Replay = Callable[[], None]


class CudaGraphStep:
    """Like TrainStep.run, but replayed. Every batch must have the first one's shapes."""

    def __init__(self, step: TrainStep, batch: Batch, capture: Callable[[Replay], Replay]) -> None:
        self.step, self.batch = step, copy_of(batch)
        self.replay = capture(lambda: step.work(self.batch))

    def run(self, batch: Batch, rate: float, step: int) -> None:
        """Take a step; see TrainStep.run."""
        self.step.schedule(rate, step)
        for own, new in zip(tensors_of(self.batch), tensors_of(batch), strict=True):
            own.copy_(new)
        self.replay()


def capture_graph(work: Replay) -> Replay:
    """Record what `work` does on the GPU and return a function that replays it.

    Warmed up on a stream of its own, as torch.cuda.graph's documentation asks; thread_local, because the next view is
    being copied by another thread meanwhile.
    """
    side, current = torch.cuda.Stream(), torch.cuda.current_stream()
    side.wait_stream(current)
    with torch.cuda.stream(side):
        for _ in range(WARM_UP_STEPS):
            work()
    current.wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        work()
    return graph.replay


def fastest_step(
    step: TrainStep, batch: Batch, label: str, capture: Callable[[Replay], Replay] = capture_graph
) -> TrainStep | CudaGraphStep:
    """The step as a graph, or the eager step where the capture fails or its results differ. Changes no weight."""
    if step.scaler.is_enabled():  # it reads back whether a gradient overflowed
        say(f"{label}: float16 with scaled losses, so no CUDA graph")
        return step
    random = torch.cuda.get_rng_state() if batch.images_BCHW.is_cuda else torch.get_rng_state()
    fresh, start = not step.optimizer.state, _weights(step)
    before = [tensor.clone() for tensor in step.state()]
    try:
        if fresh:  # moments exist only after a step, and a graph needs them at their final addresses
            step.run(batch, 0.0, 0)
            _restore(step, before)
        before = [tensor.clone() for tensor in step.state()]
        expected = _trial(step, step.run, batch, before, random)
        graphed = CudaGraphStep(step, batch, capture)
        problem = _difference(start, expected, _trial(step, graphed.run, batch, before, random))
    except (RuntimeError, NotImplementedError) as error:
        graphed, problem = step, (str(error).splitlines() or ["unknown"])[0]
    _restore(step, before)
    _set_random(batch, random)
    if problem:
        say(f"{label}: no CUDA graph ({problem}); training goes on step by step")
        return step
    return graphed


def tensors_of(batch: Batch) -> list[Tensor]:
    """The batch's tensors, in order."""
    return [t for t in (batch.images_BCHW, batch.hard_probs_BC, batch.soft_probs_BC) if t is not None]


def copy_of(batch: Batch) -> Batch:
    """A batch in memory of its own, laid out alike."""
    soft = None if batch.soft_probs_BC is None else batch.soft_probs_BC.clone()
    return Batch(batch.images_BCHW.clone(), batch.hard_probs_BC.clone(), soft)


@dataclass(frozen=True)
class _Trial:
    """Result of a few steps: their counts, the weights and their EMA."""

    loss: float
    counts: tuple[int, int]
    weights: list[list[Tensor]]


def _trial(
    step: TrainStep, run: Callable[[Batch, float, int], None], batch: Batch, before: list[Tensor], random: Tensor
) -> _Trial:
    """Take a few steps from `before`, at a rate that changes from step to step, on images that do too."""
    _restore(step, before)
    _set_random(batch, random)
    step.begin_epoch()
    for number in range(TRIAL_STEPS):
        rolled = Batch(batch.images_BCHW.roll(number, 0), batch.hard_probs_BC, batch.soft_probs_BC)
        run(rolled, 1e-3 / (1 + number), number)
    *_, loss, count, bad_step = step.state()
    return _Trial(float(loss), (int(count), int(bad_step)), _weights(step))


def _weights(step: TrainStep) -> list[list[Tensor]]:
    networks = [step.network] + ([step.ema.network] if step.ema else [])
    return [[parameter.detach().clone() for parameter in network.parameters()] for network in networks]


def _difference(start: list[list[Tensor]], expected: _Trial, found: _Trial) -> str:
    """How two trials differ; empty where they agree."""
    if not abs(expected.loss - found.loss) <= LARGEST_LOSS_DIFFERENCE * abs(expected.loss):
        return f"its losses are {found.loss:.4f}, expected {expected.loss:.4f}"
    if expected.counts != found.counts:
        return "it counts other steps"
    for begin, end, other in zip(start, expected.weights, found.weights, strict=True):
        moved = _norm([e - b for e, b in zip(end, begin, strict=True)])
        apart = _norm([e - o for e, o in zip(end, other, strict=True)])
        if not apart <= LARGEST_DIFFERENCE * moved:
            return f"its weights move by {apart / moved:.2f} of a step differently"
    return ""


def _norm(tensors: list[Tensor]) -> float:
    return sum(float(tensor.square().sum()) for tensor in tensors) ** 0.5


def _restore(step: TrainStep, before: list[Tensor]) -> None:
    """Restore the state; moments that did not exist before become zero, which is how they begin."""
    with torch.no_grad():
        for tensor, value in zip(step.state(), _padded(step, before), strict=True):
            tensor.copy_(value)


def _padded(step: TrainStep, before: list[Tensor]) -> list[Tensor]:
    now = step.state()
    if len(now) == len(before):
        return before
    counts = before[-3:]
    moments = [torch.zeros_like(tensor) for tensor in now[len(before) - 3 : -3]]
    return [*before[:-3], *moments, *counts]


def _set_random(batch: Batch, state: Tensor) -> None:
    if batch.images_BCHW.is_cuda:
        torch.cuda.set_rng_state(state)
    else:
        torch.set_rng_state(state)
