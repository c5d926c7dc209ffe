"""Scores of filters against values by hand, and Taylor's against the loss that a removed filter changes."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from models.compress.channel_units import channel_units
from models.compress.filter_ranking import batchnorm_scores, l1_scores, random_scores, taylor_scores
from models.students.architecture import Architecture
from models.students.build import build_student
from models.students.families import Network
from models.students.rows import Block, Conv, Linear, Operation
from tests.models.compress.made_students import trained_network

BLOCK = Block("block", "residual", (Conv("one", 2, 2, kernel=1), Conv("two", 2, 2, kernel=1, norm=False)))
ROWS = (Conv("stem", 3, 2), BLOCK, Operation("pool", "global_pool"), Operation("flat", "flatten"), Linear("head", 2, 2))
ARCHITECTURE = Architecture(ROWS, 16)
UNITS = channel_units(ARCHITECTURE)  # stem and block.two: 0 and 1; block.one: 2 and 3


def student(**values: list[float]) -> nn.Module:
    network = build_student(ARCHITECTURE)
    for name, value in values.items():
        parameter = network.get_parameter(name.replace("__", "."))
        with torch.no_grad():
            parameter.copy_(torch.tensor(value).reshape(-1, *[1] * (parameter.dim() - 1)).expand_as(parameter))
    return network


def test_l1_by_hand():
    made = student(stem__weight=[1.0, -3.0], block__one__weight=[2.0, 6.0], block__two__weight=[1.0, 1.0])
    # stem 1/2 and 3/2, block.two 1 and 1; block.one 2/4 and 6/4
    assert l1_scores(made.state_dict(), UNITS) == pytest.approx({0: 0.75, 1: 1.25, 2: 0.5, 3: 1.5})


def test_batchnorm_scale_by_hand():
    made = student(stem_norm__weight=[-0.5, 0.25], block__one_norm__weight=[0.1, -0.2])
    assert batchnorm_scores(made.state_dict(), UNITS) == pytest.approx({0: 0.5, 1: 0.25, 2: 0.1, 3: 0.2})


def test_without_a_batchnorm_there_is_no_score():
    plain = Architecture((Conv("stem", 3, 2, norm=False), *ROWS[2:]), 16)
    assert batchnorm_scores(build_student(plain).state_dict(), channel_units(plain)) == {}


def test_random_scores_follow_the_seed():
    assert list(random_scores(UNITS, 1)) == [0, 1, 2, 3]
    assert random_scores(UNITS, 1) == random_scores(UNITS, 1) != random_scores(UNITS, 2)


def test_taylor_by_hand():
    """A map of one pixel that reaches the loss as itself: its value times its gradient, by layer of norm 1."""
    rows = (Conv("stem", 3, 2, norm=False, activation="none"), *ROWS[2:])
    architecture = Architecture(rows, 16)
    network = build_student(architecture)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.get_parameter("stem.bias").copy_(torch.tensor([3.0, 4.0]))  # maps of 3 and of 4
        network.get_parameter("head.weight").copy_(torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
    batch = (torch.zeros(1, 3, 16, 16), torch.tensor([[0.0, 1.0]]))
    assert taylor_scores(network, channel_units(architecture), [batch]) == pytest.approx({0: 1.0, 1: 0.0})


@pytest.mark.parametrize("family", ["squeezed", "tied", "shortresnet", "inverted"])
def test_taylor_scores_are_of_every_unit_and_leave_the_network_as_it_was(family: str):
    network = Network(family, (4, 2, 12))
    made, units = trained_network(network), channel_units(network.architecture(11, 32))
    before = {name: value.clone() for name, value in made.state_dict().items()}
    batches = [(torch.randn(4, 3, 32, 32), torch.rand(4, 11).softmax(1)) for _ in range(2)]
    scores = taylor_scores(made, units, batches)
    assert set(scores) == set(random_scores(units, 0))
    assert all(score >= 0 for score in scores.values())
    torch.testing.assert_close(made.state_dict(), before)
    assert all(not module._forward_hooks for module in made.modules())
    assert all(parameter.grad is None for parameter in made.parameters())


def test_taylor_finds_the_filter_whose_removal_changes_the_loss_most():
    network = Network("plain", (4, 0))
    architecture = network.architecture(11, 32)
    made, units = trained_network(network).eval(), channel_units(architecture)
    images_N3HW, probs_NC = torch.randn(64, 3, 32, 32), torch.rand(64, 11).softmax(1)
    scores = taylor_scores(made, units, [(images_N3HW, probs_NC)])
    last = [name for name in units if "head" not in name and "classifier" not in name][-1]

    def loss(scale: float, unit: int) -> torch.Tensor:
        def hook(_: nn.Module, __: object, maps_NChw: torch.Tensor) -> torch.Tensor:
            scaled = maps_NChw.clone()
            scaled[:, units[last].outputs.index(unit)] *= scale
            return scaled

        handle = made.get_submodule(f"{last}_norm").register_forward_hook(hook)
        with torch.no_grad():
            found = F.cross_entropy(made(images_N3HW), probs_NC, reduction="none")
        handle.remove()
        return found

    changes = {unit: (loss(1.0, unit) - loss(0.99, unit)).abs().mean().item() for unit in units[last].outputs}
    ranked = sorted(changes, key=lambda unit: changes[unit])
    assert sorted(ranked, key=lambda unit: scores[unit])[-1] == ranked[-1]
