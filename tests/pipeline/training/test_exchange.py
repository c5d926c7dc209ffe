"""Processes that share each batch: the gradient of the whole batch, the same bits in all and each time, clear errors.

Functions that another process does are local: they are sent by value.
"""

import multiprocessing
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from models.compress.lsq import prepare_lsq
from models.students.families import Network
from pipeline.data.augment import Batch
from pipeline.runtime.device import Device
from pipeline.runtime.errors import MachineError, RequestError
from pipeline.runtime.tensor_file import load_tensors, save_tensors
from pipeline.training.exchange import Exchange, exchange_with_others
from pipeline.training.loop import EpochResult
from pipeline.training.step import TrainStep

CPU = Device(torch.device("cpu"), torch.float32, "cpu")
EVERYTHING = {"optimizer": "muon", "ema_decay": 0.9, "augment": {"shift": 1, "mixup_alpha": 0.4, "cutmix_alpha": 1.0}}


def other_only(act: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """`act` on every loss of the second process."""

    def on_loss(loss: Tensor) -> Tensor:
        return act(loss) if multiprocessing.parent_process() is not None else loss

    return on_loss


def test_averages_by_hand(tmp_path: Path):
    """Part 0 finds a gradient of (1, 2), a statistic of 3 and a loss of 4, part 1 (5, 8), 6 and 10."""
    network = nn.Module()
    network.weight, network.frozen = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.ones(1), requires_grad=False)
    network.register_buffer("statistic", torch.zeros(()))
    network.register_buffer("count", torch.zeros((), dtype=torch.int64))
    found = {0: ([1.0, 2.0], 3.0, 4.0), 1: ([5.0, 8.0], 6.0, 10.0)}

    def take_part(exchange: Exchange) -> None:
        for turn in (1, 2, 3):  # both halves of the file, and one of them again
            gradient, statistic, loss = (turn * torch.tensor(value) for value in found[exchange.part.number])
            network.weight.grad = gradient
            network.statistic.copy_(statistic)
            exchange.average(network, loss)
            values = {"gradient": gradient, "statistic": network.statistic, "loss": loss}
            save_tensors(tmp_path / f"{exchange.part.number}-{turn}", values, {})
        exchange.meet()

    with exchange_with_others(2, network, take_part) as exchange:
        assert exchange is not None
        take_part(exchange)
    for number in (0, 1):
        for turn in (1, 2, 3):
            values, _ = load_tensors(tmp_path / f"{number}-{turn}")
            assert values["gradient"].tolist() == [3.0 * turn, 5.0 * turn]
            assert (float(values["statistic"]), float(values["loss"])) == (4.5 * turn, 7.0 * turn)


def test_two_processes_train_as_one_where_images_do_not_meet(new_probe, tmp_path):
    """Without BatchNorm, dropout and jitter a batch's gradient is the mean of its parts'."""
    plain = {"optimizer": "sgd", "augment": {"flip": False}, "epochs": 3}
    kept = []
    for processes in (1, 2):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 7 * 7, 3))
        probe = new_probe(tmp_path / str(processes), processes=processes, **plain)
        kept.append((probe.train(network).state_dict(), [result.loss for result in probe.results]))
    (one, losses), (two, other_losses) = kept
    assert other_losses == pytest.approx(losses, rel=1e-5)
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-6)


def test_interrupted_and_resumed_is_uninterrupted(student, new_probe, same, tmp_path, capfd):
    """Which two runs of one kind are then, too."""
    network = Network("plain", (4, 8))  # with dropout, and wide enough for Muon
    how = EVERYTHING | {"processes": 2, "epochs": 3}
    whole = new_probe(tmp_path / "whole", **how).train(student(network))
    probe = new_probe(tmp_path / "interrupted", **how)

    def stop(result: EpochResult) -> None:
        if result.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        probe.train(student(network), on_epoch=stop)
    resumed = probe.train(student(network, seed=99))
    assert probe.epochs == [1, 2, 3]
    assert same(resumed, whole)
    assert capfd.readouterr() == ("probe: resumes after epoch 2 of 3\n", "")  # once, and no process complains
    alone = new_probe(tmp_path / "alone", **how | {"processes": 1}).train(student(network))
    assert not same(alone, whole)


def test_both_processes_end_with_the_same_low_bit_weights(student, settings, tmp_path):
    network = prepare_lsq(student(Network("plain", (4, 0))), {"conv2": 16, "classifier": 16}, 3.0)
    how, start = settings(**EVERYTHING), {name: value.clone() for name, value in network.state_dict().items()}
    images = torch.randint(0, 256, (12, 3, 16, 16)).float().to(memory_format=torch.channels_last)
    hard_BC = torch.eye(3).repeat(4, 1)

    def take_part(exchange: Exchange) -> None:
        step = TrainStep(
            network.train(),
            lambda logits_BC, batch: (logits_BC - batch.hard_probs_BC).square().mean(),
            how,
            CPU,
            exchange,
        )
        mine = slice(6 * exchange.part.number, 6 * exchange.part.number + 6)
        for number in range(5):
            step.run(Batch(images[mine].roll(number, 0), hard_BC[mine], None), 0.01, number)
        save_tensors(tmp_path / str(exchange.part.number), network.state_dict(), {})
        exchange.meet()

    with exchange_with_others(2, network, take_part) as exchange:
        assert exchange is not None
        take_part(exchange)
    one, other = (load_tensors(tmp_path / name)[0] for name in "01")
    assert one.keys() == other.keys() == start.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert all(not torch.equal(one[name], start[name]) for name in one)  # weights, steps, statistics, counts


def test_what_another_process_raises_ends_the_training(student, new_probe, tmp_path, capfd):
    def fail(_: Tensor) -> Tensor:
        raise RequestError("the second process refuses")

    probe = new_probe(tmp_path, processes=2)
    with pytest.raises(RequestError, match="the second process refuses") as caught:
        probe.train(student(), on_loss=other_only(fail))
    assert str(caught.value) == "the second process refuses"
    assert probe.epochs == []
    assert capfd.readouterr() == ("", "")


def test_a_loss_that_is_not_finite_in_one_part_is_reported_once(student, new_probe, tmp_path, capfd):
    probe = new_probe(tmp_path, processes=2)
    with pytest.raises(MachineError, match="the loss is not finite: probe, epoch 1, step 1 of 3; this epoch was not"):
        probe.train(student(), on_loss=other_only(lambda loss: loss * torch.nan))
    assert not probe.training.checkpoint.exists()
    assert capfd.readouterr() == ("", "")
