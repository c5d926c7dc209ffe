"""The one train loop: it learns, it repeats itself to the bit, and it survives interruption."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from models.networks import Network
from models.students import build_student
from pipeline.data.batches import Batch, Normalisation, TrainingSet
from pipeline.data.tensor_file import load_tensors, save_tensors
from pipeline.errors import MachineError
from pipeline.learning.device import Device
from pipeline.learning.inference import accuracy, predict_log_probs
from pipeline.learning.losses import member_loss, student_loss
from pipeline.learning.schedule import learning_rate_at
from pipeline.learning.training import EpochReport, Training, build_optimizer, train
from pipeline.settings import TrainingSettings

CPU = Device(torch.device("cpu"), torch.float32, "cpu")
CLASSES, SIZE = 3, 16
NORMALISATION = Normalisation((127.0, 127.0, 127.0), (74.0, 74.0, 74.0))
STUDENT = Network("plain", (2, 0))
DROPOUT_STUDENT = Network("plain", (2, 8))  # with a hidden layer comes dropout, of channels and of its units
STUDENT_LOSS = partial(student_loss, alpha=0.8, temperature=2.0)
ADAMW = {"ema_decay": 0.99, "shift": 1}
SGD = {"optimizer": "sgd", "mixup_alpha": 0.4, "cutmix_alpha": 1.0, "learning_rate": 0.05}

Loss = Callable[[Tensor, Batch], Tensor]


def settings(**changed: object) -> TrainingSettings:
    return TrainingSettings.model_validate(
        {"epochs": 4, "batch_size": 4, "learning_rate": 0.01, "shift": 0, "checkpoint_seconds": 0.0} | changed
    )


def training_set(folder: Path, count: int = 12, views: int = 2) -> TrainingSet:
    random, paths = np.random.default_rng(0), []
    for view in range(views):
        paths.append([folder / f"{count}.{view}.npy"])
        np.save(paths[-1][0], random.integers(0, 256, (count, SIZE, SIZE, 3), np.uint8))
    labels_N = torch.tensor([i % CLASSES if i % 4 else -1 for i in range(count)])
    soft_VNC = torch.log_softmax(3 * torch.randn(views, count, CLASSES, generator=torch.Generator().manual_seed(0)), 2)
    return TrainingSet(paths, labels_N, soft_VNC.half(), CLASSES, NORMALISATION, 2.0)


def student(network: Network = STUDENT, seed: int = 1) -> nn.Module:
    torch.manual_seed(seed)
    return build_student(network, classes=CLASSES, image_size=SIZE)


@dataclass
class Probe:
    """Trains in a folder of its own, and remembers the reports."""

    folder: Path
    settings: TrainingSettings = field(default_factory=settings)
    seed: int = 5
    identity: str = "one"
    reports: list[EpochReport] = field(default_factory=list)

    @property
    def training(self) -> Training:
        return Training("probe", self.settings, self.seed, self.folder / "last.safetensors", self.identity)

    def train(
        self,
        network: nn.Module,
        *,
        loss_of: Loss = STUDENT_LOSS,
        on_epoch: Callable[[EpochReport], None] = lambda _: None,
        images: int = 12,
    ) -> nn.Module:
        self.folder.mkdir(exist_ok=True)

        def remember(report: EpochReport) -> None:
            self.reports.append(report)
            on_epoch(report)

        return train(network, training_set(self.folder, images), loss_of, self.training, CPU, remember).network

    def facts(self) -> dict[str, object]:
        return load_tensors(self.training.checkpoint)[1]

    @property
    def epochs(self) -> list[int]:
        return [report.epoch for report in self.reports]


def stop_at_epoch(number: int) -> Callable[[EpochReport], None]:
    def stop(report: EpochReport) -> None:
        if report.epoch == number:
            raise KeyboardInterrupt

    return stop


def at_step(number: int, act: Callable[[Tensor], Tensor]) -> Loss:
    """The student's loss, but for `act` at the step of that number, counted from 1."""
    steps = 0

    def loss_of(logits_BC: Tensor, batch: Batch) -> Tensor:
        nonlocal steps
        steps += 1
        loss = STUDENT_LOSS(logits_BC, batch)
        return act(loss) if steps == number else loss

    return loss_of


def interrupt(loss: Tensor) -> Tensor:
    raise KeyboardInterrupt(loss)


def same(one: nn.Module, other: nn.Module) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_one_batch_is_learned_by_heart(tmp_path):
    random = np.random.default_rng(0)
    images_NHWC, labels = random.integers(0, 256, (8, SIZE, SIZE, 3), np.uint8), [0, 1, 2, 0, 1, 2, 0, 1]
    np.save(tmp_path / "view.npy", images_NHWC)
    one_batch = TrainingSet([[tmp_path / "view.npy"]], torch.tensor(labels), None, CLASSES, NORMALISATION)
    how = settings(epochs=60, batch_size=8, flip=False, weight_decay=0.0, checkpoint_seconds=1e9)
    losses: list[float] = []
    kept = train(
        student(Network("plain", (4, 0))),
        one_batch,
        member_loss,
        Training("probe", how, 0, tmp_path / "last.safetensors", "one"),
        CPU,
        lambda report: losses.append(report.loss),
    )
    assert losses[0] > 0.8
    assert losses[-1] < 0.05
    assert accuracy(predict_log_probs(kept, images_NHWC, NORMALISATION, CPU), np.array(labels)) == 1.0
    assert not kept.training


@pytest.mark.parametrize(("network", "changed"), [(STUDENT, ADAMW), (DROPOUT_STUDENT, SGD)], ids=["adamw", "sgd"])
def test_one_seed_gives_one_file(network, changed, tmp_path):
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        kept = Probe(tmp_path / name, settings(**changed), seed=seed).train(student(network))
        save_tensors(tmp_path / f"{name}.safetensors", kept.state_dict(), {})
        torch.rand(3)  # what is drawn elsewhere does not matter
    a, b, c = ((tmp_path / f"{name}.safetensors").read_bytes() for name in "abc")
    assert a == b
    assert a != c


@pytest.mark.parametrize("where", ["between epochs", "within an epoch"])
@pytest.mark.parametrize(("network", "changed"), [(STUDENT, ADAMW), (DROPOUT_STUDENT, SGD)], ids=["adamw", "sgd"])
def test_interrupted_and_resumed_is_uninterrupted(network, changed, where, tmp_path, capsys):
    whole = Probe(tmp_path / "whole", settings(**changed)).train(student(network))
    probe = Probe(tmp_path / "interrupted", settings(**changed))
    # step 8 is the second of epoch 3
    stop = {"on_epoch": stop_at_epoch(2)} if where == "between epochs" else {"loss_of": at_step(8, interrupt)}
    with pytest.raises(KeyboardInterrupt):
        probe.train(student(network), **stop)
    assert probe.epochs == [1, 2]
    capsys.readouterr()
    resumed = probe.train(student(network, seed=99))
    assert probe.epochs == [1, 2, 3, 4]
    assert capsys.readouterr().out == "probe: resumes after epoch 2 of 4\n"
    assert same(resumed, whole)


def test_a_finished_training_is_not_done_again(tmp_path):
    probe = Probe(tmp_path, settings(**ADAMW))
    kept = probe.train(student())
    again = probe.train(student(seed=99))
    assert probe.epochs == [1, 2, 3, 4]
    assert same(kept, again)


def test_a_checkpoint_of_another_training_is_ignored(tmp_path, capsys):
    expected = Probe(tmp_path / "expected", identity="two").train(student())
    Probe(tmp_path / "shared", settings(learning_rate=0.5), identity="one").train(student(seed=99))
    capsys.readouterr()
    probe = Probe(tmp_path / "shared", identity="two")
    kept = probe.train(student())
    assert probe.epochs == [1, 2, 3, 4]
    assert capsys.readouterr().out == ""
    assert same(kept, expected)
    assert probe.facts()["identity"] == "two"


@pytest.mark.parametrize("damage", ["cut", "empty", "text"])
def test_a_damaged_checkpoint_is_said_and_training_starts_over(damage, tmp_path, capsys):
    probe = Probe(tmp_path, settings(epochs=2))
    expected = probe.train(student())
    data = probe.training.checkpoint.read_bytes()
    probe.training.checkpoint.write_bytes({"cut": data[:-1], "empty": b"", "text": b"no tensors here"}[damage])
    capsys.readouterr()
    assert same(probe.train(student()), expected)
    assert capsys.readouterr().out == "probe: its checkpoint is damaged, training from the start\n"
    assert probe.epochs == [1, 2, 1, 2]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite(value, tmp_path):
    probe = Probe(tmp_path)
    where = re.escape("the loss is not finite: probe, epoch 2, step 2 of 3; this epoch was not saved")
    with pytest.raises(MachineError, match=where) as caught:
        probe.train(student(), loss_of=at_step(5, lambda loss: loss * value))
    assert "\n" not in str(caught.value)
    assert probe.epochs == [1]
    tensors, facts = load_tensors(probe.training.checkpoint)
    assert facts["epochs_done"] == 1
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())
    whole = Probe(tmp_path / "whole").train(student())
    assert same(probe.train(student(seed=99)), whole)


def test_the_first_step_that_is_not_finite_is_the_one_named(tmp_path):
    with pytest.raises(MachineError, match="epoch 1, step 1 of 3"):
        Probe(tmp_path).train(student(), loss_of=lambda logits_BC, batch: STUDENT_LOSS(logits_BC, batch) * torch.nan)


def test_what_an_epoch_reports(tmp_path):
    losses: list[float] = []

    def loss_of(logits_BC: Tensor, batch: Batch) -> Tensor:
        loss = STUDENT_LOSS(logits_BC, batch)
        losses.append(loss.item())
        return loss

    probe = Probe(tmp_path)
    network = student()
    kept = probe.train(network, loss_of=loss_of)
    assert len(losses) == 12
    for report, of_epoch in zip(probe.reports, np.array(losses).reshape(4, 3), strict=True):
        last = 3 * report.epoch - 1
        assert report.loss == pytest.approx(of_epoch.mean(), rel=1e-6)
        assert report.learning_rate == learning_rate_at(last, total_steps=12, peak=0.01, warmup_fraction=0.1)
        assert report.network is kept
    assert kept is network  # no average is kept without a decay


def test_the_average_is_what_is_kept(tmp_path):
    network = student()
    kept = Probe(tmp_path, settings(ema_decay=0.9)).train(network)
    assert kept is not network
    assert not same(kept, network)
    assert not kept.training
    assert int(kept.get_submodule("conv1_norm").num_batches_tracked) == 12


@pytest.mark.parametrize(("seconds", "saved"), [(0.0, [1, 2, 3, 4]), (1e9, [4])])
def test_how_often_it_is_saved(seconds, saved, tmp_path):
    probe, seen = Probe(tmp_path, settings(checkpoint_seconds=seconds)), []
    probe.train(
        student(),
        on_epoch=lambda _: seen.append(probe.facts()["epochs_done"] if probe.training.checkpoint.is_file() else None),
    )
    assert [epochs for epochs in dict.fromkeys(seen) if epochs] == saved


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_weight_decay_is_for_matrices_and_filters_only(optimizer):
    network = student()
    built = build_optimizer(network, settings(optimizer=optimizer, weight_decay=0.3))
    assert isinstance(built, {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[optimizer])
    decay = {parameter: group["weight_decay"] for group in built.param_groups for parameter in group["params"]}
    names = {name: decay.pop(parameter) for name, parameter in network.named_parameters()}
    assert not decay
    decayed = {name for name, value in names.items() if value == 0.3}
    assert decayed == {*(f"conv{number}.weight" for number in range(1, 8)), "classifier.weight"}
    assert all(names[name] == 0.0 for name in names.keys() - decayed)
    assert "conv1_norm.weight" in names


class HostReads(TorchDispatchMode):
    """Counts how often a number is read from a tensor, by whatever name: item(), float(), bool(), ..."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)
        return func(*args, **(kwargs or {}))


def test_nothing_is_read_back_within_an_epoch(tmp_path):
    counts = []
    for images in (8, 40):  # 2 steps and 10
        with HostReads() as reads:
            changed = {"epochs": 3, "ema_decay": 0.9, "mixup_alpha": 0.2, "cutmix_alpha": 0.2, "shift": 1}
            Probe(tmp_path / str(images), settings(**changed)).train(student(), images=images)
        counts.append(reads.count)
    assert counts[0] == counts[1]
    assert 6 <= counts[0] <= 8  # two per epoch: the first bad step and the mean loss
