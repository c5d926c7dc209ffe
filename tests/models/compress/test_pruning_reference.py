"""Our surgery against Torch-Pruning's on the networks that both can prune."""

import pytest
import torch

from models.compress.channel_units import channel_units
from models.compress.pruning import without_units
from models.students.build import build_student
from models.students.families import STUDENTS, Network
from tests.models.compress.made_students import trained_network

pytestmark = pytest.mark.long
NETWORKS = [*STUDENTS.values(), Network("residual", (8, 1, 16)), Network("squeezed", (8, 1, 16))]
NETWORKS += [Network("dense", (6, 2)), Network("inverted", (4, 1, 12)), Network("tied", (8, 2, 16))]


@pytest.mark.parametrize(
    "network", NETWORKS, ids=lambda network: "-".join(map(str, (network.family, *network.integers)))
)
def test_the_same_channels_leave_the_same_network(network: Network):
    pruning = pytest.importorskip("torch_pruning")
    architecture, student = network.architecture(11, 32), trained_network(network).eval()
    units = channel_units(architecture)
    name = next(name for name, own in units.items() if len(set(own.outputs)) > 2)
    removed = {units[name].outputs[0], units[name].outputs[1]}
    smaller, tensors = without_units(architecture, student.state_dict(), removed)
    ours = build_student(smaller).eval()
    ours.load_state_dict(tensors)
    theirs = trained_network(network).eval()
    graph = pruning.DependencyGraph().build_dependency(theirs, torch.randn(1, 3, 32, 32))
    rows = [place for place, unit in enumerate(units[name].outputs) if unit in removed]
    graph.get_pruning_group(theirs.get_submodule(name), pruning.prune_conv_out_channels, rows).prune()
    images_N3HW = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        expected_NC = theirs(images_N3HW)
        assert (ours(images_N3HW) - expected_NC).abs().max() <= 1e-5 * expected_NC.abs().max()
    assert {key: value.shape for key, value in ours.state_dict().items() if "num_batches" not in key} == {
        key: value.shape for key, value in theirs.state_dict().items() if "num_batches" not in key
    }
