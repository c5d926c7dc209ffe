"""The one train loop is reproducible to the bit, resumes to the bit, and saves nothing that is not finite."""

import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from models.students.families import Network
from pipeline.runtime.errors import MachineError
from pipeline.runtime.tensor_file import load_tensors, save_tensors
from pipeline.training.loop import EpochResult

STUDENT = Network("plain", (2, 0))
DROPOUT_STUDENT = Network("plain", (2, 8))  # with a hidden layer comes dropout, of channels and of its units
ADAMW = {"ema_decay": 0.99, "augment": {"shift": 1}}
SGD = {"optimizer": "sgd", "augment": {"mixup_alpha": 0.4, "cutmix_alpha": 1.0}, "learning_rate": 0.05}
MUON = {"optimizer": "muon", "ema_decay": 0.9, "learning_rate": 0.01}
KINDS = [
    pytest.param(STUDENT, ADAMW, id="adamw"),
    pytest.param(DROPOUT_STUDENT, SGD, id="sgd"),
    pytest.param(Network("plain", (4, 0)), MUON, id="muon"),  # wide enough for hidden filters
]


def stop_at_epoch(number: int) -> Callable[[EpochResult], None]:
    def stop(result: EpochResult) -> None:
        if result.epoch == number:
            raise KeyboardInterrupt

    return stop


def at_step(number: int, act: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """`act` on the loss of one step, counted from 1; all other losses are not changed."""
    steps = 0

    def on_loss(loss: Tensor) -> Tensor:
        nonlocal steps
        steps += 1
        return act(loss) if steps == number else loss

    return on_loss


def interrupt(loss: Tensor) -> Tensor:
    raise KeyboardInterrupt(loss)


@pytest.mark.parametrize(("network", "changed"), KINDS)
def test_one_seed_gives_one_file(student, new_probe, network, changed, tmp_path):
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        kept = new_probe(tmp_path / name, seed=seed, **changed).train(student(network))
        save_tensors(tmp_path / f"{name}.safetensors", kept.state_dict(), {})
        torch.rand(3)  # random numbers drawn elsewhere do not matter
    a, b, c = ((tmp_path / f"{name}.safetensors").read_bytes() for name in "abc")
    assert a == b
    assert a != c


@pytest.mark.parametrize("where", ["between epochs", "within an epoch"])
@pytest.mark.parametrize(("network", "changed"), KINDS)
def test_interrupted_and_resumed_is_uninterrupted(student, new_probe, same, network, changed, where, tmp_path, capsys):
    whole = new_probe(tmp_path / "whole", **changed).train(student(network))
    probe = new_probe(tmp_path / "interrupted", **changed)
    # step 8 is the second of epoch 3
    stop = {"on_epoch": stop_at_epoch(2)} if where == "between epochs" else {"on_loss": at_step(8, interrupt)}
    with pytest.raises(KeyboardInterrupt):
        probe.train(student(network), **stop)
    assert probe.epochs == [1, 2]
    capsys.readouterr()
    resumed = probe.train(student(network, seed=99))
    assert probe.epochs == [1, 2, 3, 4]
    assert capsys.readouterr().out == "probe: resumes after epoch 2 of 4\n"
    assert same(resumed, whole)


def test_a_finished_training_is_not_repeated(student, new_probe, same, tmp_path):
    probe = new_probe(tmp_path, **ADAMW)
    kept = probe.train(student())
    again = probe.train(student(seed=99))
    assert probe.epochs == [1, 2, 3, 4]
    assert same(kept, again)


def test_a_checkpoint_of_another_training_is_ignored(student, new_probe, same, tmp_path, capsys):
    expected = new_probe(tmp_path / "expected", identity="two").train(student())
    new_probe(tmp_path / "shared", identity="one", learning_rate=0.5).train(student(seed=99))
    capsys.readouterr()
    probe = new_probe(tmp_path / "shared", identity="two")
    kept = probe.train(student())
    assert probe.epochs == [1, 2, 3, 4]
    assert capsys.readouterr().out == ""
    assert same(kept, expected)
    assert probe.facts()["identity"] == "two"


@pytest.mark.parametrize("damage", ["cut", "empty", "text"])
def test_a_damaged_checkpoint_is_reported_and_training_starts_over(student, new_probe, same, damage, tmp_path, capsys):
    probe = new_probe(tmp_path, epochs=2)
    expected = probe.train(student())
    data = probe.training.checkpoint.read_bytes()
    probe.training.checkpoint.write_bytes({"cut": data[:-1], "empty": b"", "text": b"no tensors here"}[damage])
    capsys.readouterr()
    assert same(probe.train(student()), expected)
    assert capsys.readouterr().out == "probe: its checkpoint is damaged, training from the start\n"
    assert probe.epochs == [1, 2, 1, 2]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite(student, new_probe, same, value, tmp_path):
    probe = new_probe(tmp_path)
    where = re.escape("the loss is not finite: probe, epoch 2, step 2 of 3; this epoch was not saved")
    with pytest.raises(MachineError, match=where) as caught:
        probe.train(student(), on_loss=at_step(5, lambda loss: loss * value))
    assert "\n" not in str(caught.value)
    assert probe.epochs == [1]
    tensors, facts = load_tensors(probe.training.checkpoint)
    assert facts["epochs_done"] == 1
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())
    whole = new_probe(tmp_path / "whole").train(student())
    assert same(probe.train(student(seed=99)), whole)


def test_the_first_step_that_is_not_finite_is_the_one_named(student, new_probe, tmp_path):
    with pytest.raises(MachineError, match="epoch 1, step 1 of 3"):
        new_probe(tmp_path).train(student(), on_loss=lambda loss: loss * torch.nan)


@pytest.mark.parametrize(("seconds", "saved"), [(0.0, [1, 2, 3, 4]), (1e9, [4])])
def test_how_often_it_is_saved(student, new_probe, seconds, saved, tmp_path):
    probe, seen = new_probe(tmp_path, checkpoint_seconds=seconds), []
    probe.train(
        student(),
        on_epoch=lambda _: seen.append(probe.facts()["epochs_done"] if probe.training.checkpoint.is_file() else None),
    )
    assert [epochs for epochs in dict.fromkeys(seen) if epochs] == saved
