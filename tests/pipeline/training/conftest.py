"""For the tests of the train loop: a small student, a small training set and a training that is recorded."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
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
from pipeline.runtime.tensor_file import load_tensors
from pipeline.runtime.training_settings import TrainingSettings
from pipeline.training.loop import Early, EpochResult, TrainingPlan, train
from pipeline.training.losses import student_loss

CPU = Device(torch.device("cpu"), torch.float32, "cpu")
CLASSES, SIZE = 3, 16
NORMALISATION = Normalisation((127.0, 127.0, 127.0), (74.0, 74.0, 74.0))
STUDENT = Network("plain", (2, 0))


def training_set(folder: Path, count: int = 12, views: int = 2) -> TrainingSet:
    random, paths = np.random.default_rng(0), []
    for view in range(views):
        paths.append([folder / f"{count}.{view}.npy"])
        np.save(paths[-1][0], random.integers(0, 256, (count, SIZE, SIZE, 3), np.uint8))
    labels_N = torch.tensor([i % CLASSES if i % 4 else -1 for i in range(count)])
    soft_VNC = torch.log_softmax(3 * torch.randn(views, count, CLASSES, generator=torch.Generator().manual_seed(0)), 2)
    return TrainingSet(paths, labels_N, soft_VNC.half(), CLASSES, NORMALISATION, 2.0)


@dataclass
class Probe:
    """Trains in a folder of its own and records the results of epochs. `on_loss` may replace each loss."""

    folder: Path
    settings: TrainingSettings
    seed: int
    identity: str
    processes: int = 1
    results: list[EpochResult] = field(default_factory=list)

    @property
    def training(self) -> TrainingPlan:
        return TrainingPlan("probe", self.settings, self.seed, self.folder / "last.safetensors", self.identity)

    def train(
        self,
        network: nn.Module,
        *,
        on_loss: Callable[[Tensor], Tensor] = lambda loss: loss,
        on_epoch: Callable[[EpochResult], None] = lambda _: None,
        images: int = 12,
        first: int = 0,
        early: Early | None = None,
    ) -> nn.Module:
        self.folder.mkdir(exist_ok=True)

        def loss_of(logits_BC: Tensor, batch: Batch) -> Tensor:
            return on_loss(student_loss(logits_BC, batch, alpha=0.8, temperature=2.0))

        def remember(result: EpochResult) -> None:
            self.results.append(result)
            on_epoch(result)

        device = replace(CPU, processes=self.processes)
        plan = replace(self.training, first=first)
        return train(network, training_set(self.folder, images), loss_of, plan, device, remember, early).network

    def facts(self) -> dict[str, object]:
        return load_tensors(self.training.checkpoint)[1]

    @property
    def epochs(self) -> list[int]:
        return [result.epoch for result in self.results]


@pytest.fixture
def settings() -> Callable[..., TrainingSettings]:
    """settings(name=value, augment={...}, ...) -> those of a short training, changed."""

    def build(*, augment: dict[str, object] | None = None, **changed: object) -> TrainingSettings:
        short = {"epochs": 4, "batch_size": 4, "learning_rate": 0.01, "checkpoint_seconds": 0.0}
        return TrainingSettings.model_validate(short | changed | {"augment": {"shift": 0} | (augment or {})})

    return build


@pytest.fixture
def new_probe(settings: Callable[..., TrainingSettings]) -> Callable[..., Probe]:
    """new_probe(folder, seed=, identity=, processes=, name=value, ...) -> a Probe with settings changed."""

    def build(folder: Path, *, seed: int = 5, identity: str = "one", processes: int = 1, **changed: object) -> Probe:
        return Probe(folder, settings(**changed), seed, identity, processes)

    return build


@pytest.fixture
def student() -> Callable[..., nn.Module]:
    """student(network, seed) -> an untrained network."""

    def build(network: Network = STUDENT, seed: int = 1) -> nn.Module:
        torch.manual_seed(seed)
        return build_student(network.architecture(CLASSES, SIZE))

    return build


@pytest.fixture
def same() -> Callable[[nn.Module, nn.Module], bool]:
    """same(one, other) -> whether they hold the same tensors, to the bit."""

    def compare(one: nn.Module, other: nn.Module) -> bool:
        ours, theirs = one.state_dict(), other.state_dict()
        return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)

    return compare
