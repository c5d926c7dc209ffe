"""Surgery gives the network that computes what the larger one does with its removed channels at zero."""

import copy
import random

import pytest
import torch
from torch import nn

from models.compress.channel_units import STAYS, ChannelUnits, channel_units, spaces
from models.compress.pruning import pruning_counts, pruning_shares, removed_units, without_units
from models.students.architecture import Architecture, parameter_count
from models.students.build import build_student, count_parameters
from models.students.families import STUDENTS, Network
from models.students.rows import Block, Conv, Linear, Operation
from tests.models.compress.made_students import NETWORKS, small_network, trained_network

SHUFFLED = Network("shuffled", (16, 2, 40))  # the small one has four units in all
EVERY = [network for network in {*NETWORKS, *STUDENTS.values(), SHUFFLED} if network != small_network("shuffled")]
EVERY.sort(key=str)
HEAD = (Operation("pool", "global_pool"), Operation("flat", "flatten"), Linear("head", 4, 2))


def with_channels_at_zero(student: nn.Module, units: dict[str, ChannelUnits], removed: set[int]) -> nn.Module:
    zeroed = copy.deepcopy(student)
    values = zeroed.state_dict()
    for name, own in units.items():
        rows = [place for place, unit in enumerate(own.outputs) if unit in removed]
        for key in (f"{name}.weight", f"{name}.bias", f"{name}_norm.weight", f"{name}_norm.bias"):
            if key in values:
                values[key][rows] = 0.0
    return zeroed


def random_removal(architecture: Architecture, seed: int) -> set[int]:
    chance = random.Random(seed)
    competing = spaces(channel_units(architecture))
    scores = {unit: chance.random() for units in competing.values() for unit in units}
    return removed_units(scores, competing, {key: chance.randint(1, len(units)) for key, units in competing.items()})


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("network", EVERY, ids=lambda network: "-".join(map(str, (network.family, *network.integers))))
def test_the_smaller_network_computes_what_the_larger_one_does_without_the_channels(network: Network, seed: int):
    architecture, student = network.architecture(11, 32), trained_network(network).eval()
    units, removed = channel_units(architecture), random_removal(architecture, seed)
    smaller, tensors = without_units(architecture, student.state_dict(), removed)
    pruned = build_student(smaller).eval()
    pruned.load_state_dict(tensors)
    images_N3HW = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        expected_NC = with_channels_at_zero(student, units, removed)(images_N3HW)
        difference = (pruned(images_N3HW) - expected_NC).abs().max()
    assert difference <= 1e-5 * expected_NC.abs().max()
    assert count_parameters(pruned) == parameter_count(smaller) < parameter_count(architecture)


def test_every_network_has_units_that_can_leave():
    for network in EVERY:
        assert max(map(len, spaces(channel_units(network.architecture(11, 32))).values())) > 1


def test_the_sum_of_a_residual_block_ties_its_ends():
    block = Block("block", "residual", (Conv("one", 4, 3), Conv("two", 3, 4)))
    units = channel_units(Architecture((Conv("stem", 3, 4), block, *HEAD), 16))
    assert units["stem"] == ChannelUnits((STAYS,) * 3, (0, 1, 2, 3))
    assert units["block.one"] == ChannelUnits((0, 1, 2, 3), (4, 5, 6))
    assert units["block.two"] == ChannelUnits((4, 5, 6), (0, 1, 2, 3))
    assert units["head"] == ChannelUnits((0, 1, 2, 3), (STAYS, STAYS))
    assert spaces(units) == {("stem", "block.two"): [0, 1, 2, 3], ("block.one",): [4, 5, 6]}


def test_a_depthwise_channel_leaves_with_its_group_and_larger_groups_lose_alike():
    rows = (Conv("stem", 3, 4), Conv("depth", 4, 4, groups=4), Conv("pairs", 4, 4, groups=2), *HEAD)
    units = channel_units(Architecture(rows, 16))
    assert units["depth"] == ChannelUnits((0, 1, 0, 1), (0, 1, 0, 1))  # tied by the two groups of two that read them
    assert units["pairs"] == ChannelUnits((0, 1, 0, 1), (2, 3, 2, 3))
    student = build_student(Architecture(rows, 16))
    smaller, tensors = without_units(Architecture(rows, 16), student.state_dict(), {1, 2})
    assert smaller.rows[1] == Conv("depth", 2, 2, groups=2)
    assert smaller.rows[2] == Conv("pairs", 2, 2, groups=2)
    torch.testing.assert_close(tensors["pairs.weight"], student.state_dict()["pairs.weight"][[1, 3], :1])


def test_a_flattened_map_leaves_with_all_of_its_pixels():
    rows = (Conv("stem", 3, 2, pool=True), Operation("flat", "flatten"), Linear("head", 128, 2))
    student = build_student(Architecture(rows, 16))
    smaller, tensors = without_units(Architecture(rows, 16), student.state_dict(), {0})
    assert smaller.rows[2] == Linear("head", 64, 2)
    torch.testing.assert_close(tensors["head.weight"], student.state_dict()["head.weight"][:, 64:])


def test_the_lowest_scores_leave_and_one_of_each_space_stays():
    competing = {("a",): [0, 1, 2, 3], ("b",): [4, 5]}
    scores = {0: 3.0, 1: 1.0, 2: 1.0, 3: 2.0, 4: 9.0, 5: 8.0}
    assert removed_units(scores, competing, {("a",): 2, ("b",): 0}) == {1, 2, 5}
    assert removed_units(scores, competing, {("a",): 3, ("b",): 2}) == {2}
    assert removed_units({0: 1.0}, competing, {("a",): 1, ("b",): 1}) == {0}  # what has no score stays


def test_the_steps_of_a_schedule_by_hand():
    sizes = {("a",): 10, ("b",): 4, ("c",): 1}
    assert pruning_counts(sizes, 0.5) == {("a",): 5, ("b",): 2, ("c",): 1}
    assert pruning_counts(sizes, 0.01) == {("a",): 1, ("b",): 1, ("c",): 1}
    assert pruning_shares(sizes, keep=0.5, rate=0.5) == [0.5]  # one shot
    assert pruning_shares(sizes, keep=0.5, rate=0.1) == [0.5]
    assert pruning_shares(sizes, keep=0.7, rate=0.9) == pytest.approx([0.9, 0.81, 0.729, 0.7][:3])  # 9 4, 8 3, 7 3
    assert pruning_shares(sizes, keep=0.99, rate=0.5) == []


def test_a_layer_without_channels_is_refused():
    architecture = Network("plain", (4, 0)).architecture(2, 32)
    units = channel_units(architecture)
    name = next(iter(units))
    with pytest.raises(ValueError, match=f"{name}: every channel is removed, expected one to stay"):
        without_units(architecture, build_student(architecture).state_dict(), set(units[name].outputs))
