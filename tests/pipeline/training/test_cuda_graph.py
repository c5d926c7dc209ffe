"""A captured step is used only when its results are those of the eager step. The capture is faked: no GPU is needed."""

import copy
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.students.build import build_student
from models.students.families import Network
from pipeline.data.augment import Batch
from pipeline.data.batches import Normalisation, TrainingSet
from pipeline.runtime.device import Device
from pipeline.runtime.training_settings import TrainingSettings
from pipeline.training import loop
from pipeline.training.cuda_graph import CudaGraphStep, fastest_step
from pipeline.training.loop import TrainingPlan, train
from pipeline.training.losses import member_loss
from pipeline.training.step import TrainStep

Work = Callable[[], None]
CPU = Device(torch.device("cpu"), torch.float32, "cpu")


def faithful(work: Work) -> Work:
    """Stands for a graph that replays the captured work, on the memory that it was captured with."""
    return work


def new_step(optimizer: str = "adamw", device: Device = CPU, ema_decay: float = 0.9) -> TrainStep:
    torch.manual_seed(0)
    network = nn.Sequential(build_student(Network("plain", (2, 0)).architecture(3, 16)), nn.Dropout(0.2))
    settings = TrainingSettings(optimizer=optimizer, ema_decay=ema_decay)  # pyright: ignore[reportArgumentType]
    return TrainStep(network.train(), member_loss, settings, device)


def batch(seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    hard_BC = nn.functional.one_hot(torch.arange(6) % 3, 3).float()
    return Batch(torch.randn(6, 3, 16, 16, generator=generator), hard_BC, None)


def clones(tensors: list[Tensor]) -> list[Tensor]:
    return [tensor.clone() for tensor in tensors]


def equal(left: list[Tensor], right: list[Tensor]) -> bool:
    return len(left) == len(right) and all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "muon"])
@pytest.mark.parametrize("steps_before", [0, 3])
def test_the_trial_changes_nothing(optimizer: str, steps_before: int, capsys: pytest.CaptureFixture[str]):
    step = new_step(optimizer)
    for number in range(steps_before):
        step.run(batch(number), 1e-3, number)
    before, random = clones(step.state()), torch.get_rng_state()
    runner = fastest_step(step, batch(), "student", faithful)
    assert isinstance(runner, CudaGraphStep)
    assert capsys.readouterr().out == ""
    assert torch.equal(torch.get_rng_state(), random)
    after = step.state()
    if steps_before == 0:  # moments that are zero stand where there were none
        assert not any(tensor.any() for tensor in after[len(before) - 3 : -3])
        after = after[: len(before) - 3] + after[-3:]
    assert equal(before, after)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "muon"])
def test_replayed_steps_are_the_eager_steps(optimizer: str):
    eager, replayed = new_step(optimizer), new_step(optimizer)
    runner = fastest_step(replayed, batch(), "student", faithful)
    assert runner is not replayed
    for either, run in ((eager, eager.run), (replayed, runner.run)):
        torch.manual_seed(1)  # for dropout
        either.begin_epoch()
        for number in range(5):
            run(batch(number), 1e-2 / (1 + number), number)
    assert equal(eager.state(), replayed.state())
    assert eager.read() == replayed.read()
    assert eager.read().mean_loss > 0


def does_nothing(_step: TrainStep, _work: Work) -> Work:
    return lambda: None


def keeps_its_first_rate(step: TrainStep, work: Work) -> Work:
    def replay() -> None:
        step.schedule(1e-3, 0)
        work()

    return replay


def does_it_twice(_step: TrainStep, work: Work) -> Work:
    return lambda: (work(), work(), None)[-1]


def forgets_the_ema(step: TrainStep, work: Work) -> Work:
    def replay() -> None:
        assert step.ema
        kept = copy.deepcopy(step.ema.network.state_dict())
        work()
        step.ema.network.load_state_dict(kept)

    return replay


@pytest.mark.parametrize(
    ("capture", "why"),
    [
        (does_nothing, "its losses are 0.0000, expected "),
        (does_it_twice, "its losses are "),
        (keeps_its_first_rate, "its weights move by "),
        (forgets_the_ema, "its weights move by "),
    ],
)
@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "muon"])
def test_a_graph_with_other_results_is_not_used(
    optimizer: str, capture: Callable[[TrainStep, Work], Work], why: str, capsys: pytest.CaptureFixture[str]
):
    step = new_step(optimizer)
    before = clones(step.state())
    assert fastest_step(step, batch(), "member 3", functools.partial(capture, step)) is step
    out = capsys.readouterr().out
    assert out.startswith(f"member 3: no CUDA graph ({why}")
    assert out.endswith("); training goes on step by step\n")
    assert equal(before[:-3], step.state()[: len(before) - 3])


def test_a_capture_that_fails_is_reported_in_one_line(capsys: pytest.CaptureFixture[str]):
    def fail(_: Work) -> Work:
        raise RuntimeError("operation not permitted when stream is capturing\nCompile with TORCH_USE_CUDA_DSA")

    step = new_step()
    assert fastest_step(step, batch(), "student", fail) is step
    expected = (
        "student: no CUDA graph (operation not permitted when stream is capturing); training goes on step by step\n"
    )
    assert capsys.readouterr().out == expected


def test_scaled_losses_are_not_captured(capsys: pytest.CaptureFixture[str]):
    step = new_step(device=Device(torch.device("cpu"), torch.float16, "cpu"))
    assert fastest_step(step, batch(), "student", faithful) is step
    assert capsys.readouterr().out == "student: float16 with scaled losses, so no CUDA graph\n"


def test_a_training_captures_once_and_its_weights_are_the_same(
    tmp_path: Path, student: Callable[[], nn.Module], monkeypatch: pytest.MonkeyPatch, small_set: TrainingSet
):
    captured: list[Work] = []

    def counting(work: Work) -> Work:
        captured.append(work)
        return work

    monkeypatch.setattr(loop, "fastest_step", functools.partial(fastest_step, capture=counting))
    kept = []
    for graphs in (False, True):
        device = Device(torch.device("cpu"), torch.float32, "cpu", graphs)
        how = TrainingSettings(epochs=3, batch_size=4, ema_decay=0.9)
        where = TrainingPlan("student", how, 0, tmp_path / f"{graphs}.safetensors", "same")
        kept.append(train(student(), small_set, member_loss, where, device, lambda _: None).network.state_dict())
        assert len(captured) == int(graphs)
    assert all(torch.equal(value, kept[1][name]) for name, value in kept[0].items())


@pytest.fixture
def small_set(tmp_path: Path) -> TrainingSet:
    views = [[tmp_path / f"{view}.npy"] for view in range(2)]
    for view, [path] in enumerate(views):
        np.save(path, np.random.default_rng(view).integers(0, 256, (12, 16, 16, 3), np.uint8))
    statistics = Normalisation((127.0, 127.0, 127.0), (74.0, 74.0, 74.0))
    return TrainingSet(views, torch.arange(12) % 3, None, 3, statistics)
