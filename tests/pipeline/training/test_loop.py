"""The one train loop: it learns, its results are those of its epochs, and nothing is read back within one."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from models.students.families import Network
from pipeline.data.batches import Normalisation, TrainingSet
from pipeline.runtime.device import Device
from pipeline.training.inference import predict_log_probs
from pipeline.training.loop import Early, TrainingPlan, train
from pipeline.training.losses import member_loss
from pipeline.training.metrics import accuracy
from pipeline.training.schedule import learning_rate_at

CPU = Device(torch.device("cpu"), torch.float32, "cpu")
CLASSES, SIZE = 3, 16
NORMALISATION = Normalisation((127.0, 127.0, 127.0), (74.0, 74.0, 74.0))


def test_one_batch_is_learned_by_heart(settings, student, tmp_path):
    random = np.random.default_rng(0)
    images_NHWC, labels = random.integers(0, 256, (8, SIZE, SIZE, 3), np.uint8), [0, 1, 2, 0, 1, 2, 0, 1]
    np.save(tmp_path / "view.npy", images_NHWC)
    one_batch = TrainingSet([[tmp_path / "view.npy"]], torch.tensor(labels), None, CLASSES, NORMALISATION)
    how = settings(epochs=60, batch_size=8, augment={"flip": False}, weight_decay=0.0, checkpoint_seconds=1e9)
    losses: list[float] = []
    kept = train(
        student(Network("plain", (4, 0))),
        one_batch,
        member_loss,
        TrainingPlan("probe", how, 0, tmp_path / "last.safetensors", "one"),
        CPU,
        lambda result: losses.append(result.loss),
    ).network
    assert losses[0] > 0.8
    assert losses[-1] < 0.05
    assert accuracy(predict_log_probs(kept, images_NHWC, NORMALISATION, CPU), np.array(labels)) == 1.0
    assert not kept.training


def test_the_result_of_an_epoch(student, new_probe, tmp_path):
    losses: list[float] = []

    def remember(loss: Tensor) -> Tensor:
        losses.append(loss.item())
        return loss

    probe = new_probe(tmp_path)
    network = student()
    kept = probe.train(network, on_loss=remember)
    assert len(losses) == 12
    for result, of_epoch in zip(probe.results, np.array(losses).reshape(4, 3), strict=True):
        last = 3 * result.epoch - 1
        assert result.loss == pytest.approx(of_epoch.mean(), rel=1e-6)
        assert result.learning_rate == learning_rate_at(last, total_steps=12, peak=0.01, warmup_fraction=0.1)
        assert result.network is kept
    assert kept is network  # without a decay there is no EMA


def test_the_ema_is_kept(student, new_probe, same, tmp_path):
    network = student()
    kept = new_probe(tmp_path, ema_decay=0.9).train(network)
    assert kept is not network
    assert not same(kept, network)
    assert not kept.training
    assert int(kept.get_submodule("conv1_norm").num_batches_tracked) == 12


class HostReads(TorchDispatchMode):
    """Counts how often a number is read from a tensor, by any name: item(), float(), bool(), ..."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)
        return func(*args, **(kwargs or {}))


def test_nothing_is_read_back_within_an_epoch(student, new_probe, tmp_path):
    counts = []
    for images in (8, 40):  # 2 steps and 10
        with HostReads() as reads:
            changed = {"epochs": 3, "ema_decay": 0.9, "augment": {"mixup_alpha": 0.2, "cutmix_alpha": 0.2, "shift": 1}}
            new_probe(tmp_path / str(images), **changed).train(student(), images=images)
        counts.append(reads.count)
    assert counts[0] == counts[1]
    assert 6 <= counts[0] <= 8  # two per epoch: the first bad step and the mean loss


def test_a_training_may_begin_late_in_its_schedule(student, new_probe, tmp_path):
    probe = new_probe(tmp_path)
    probe.train(student(), first=2)
    assert probe.epochs == [3, 4]
    rates = [learning_rate_at(last, total_steps=12, peak=0.01, warmup_fraction=0.1) for last in (8, 11)]
    assert [result.learning_rate for result in probe.results] == rates


def test_the_network_is_kept_early_and_goes_on_unchanged(student, new_probe, tmp_path):
    kept: list[dict[str, Tensor]] = []

    def keep(network: nn.Module) -> None:
        kept.append({name: value.clone() for name, value in network.state_dict().items()})

    whole, short = new_probe(tmp_path / "whole"), new_probe(tmp_path / "short")
    network = student()
    last = whole.train(network, early=Early(2, keep)).state_dict()
    plain = short.train(student())
    torch.testing.assert_close(dict(last), dict(plain.state_dict()), rtol=0, atol=0)
    assert len(kept) == 1
    assert any((kept[0][name] != last[name]).any() for name in last)


def test_the_norm_penalty_pulls_the_scales_to_zero(student, new_probe, tmp_path):
    def scales(penalty: float) -> Tensor:
        probe = new_probe(tmp_path / str(penalty), norm_penalty=penalty, optimizer="sgd", weight_decay=0.0)
        trained = probe.train(student())
        return torch.cat([module.weight for module in trained.modules() if isinstance(module, nn.BatchNorm2d)])

    without, light, strong = (scales(penalty).abs().mean().item() for penalty in (0.0, 0.1, 1.0))
    assert without > light > strong
