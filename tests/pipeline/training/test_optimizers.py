"""Muon against torch's and timm's, the parameters that it leaves to AdamW, and weight decay."""

import functools

import pytest
import torch
from timm.optim import muon as timm_muon
from torch import nn

from pipeline.runtime.training_settings import TrainingSettings
from pipeline.training.optimizers import COEFFICIENTS, ITERATIONS, Muon, build_optimizer, orthogonalised


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_singular_values_are_near_one():
    for shape in ((8, 40), (40, 8), (16, 16)):
        found = orthogonalised(random(*shape))
        assert found.shape == shape
        values = torch.linalg.svdvals(found)
        assert float(values.min()) > 0.6
        assert float(values.max()) < 1.3


def newton_schulz(matrix: torch.Tensor) -> torch.Tensor:
    """The iterations as Jordan et al. write them down, each with the whole matrix, in float64."""
    a, b, c = COEFFICIENTS
    x = matrix.double() / matrix.double().norm()
    for _ in range(ITERATIONS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x


@pytest.mark.parametrize("shape", [(8, 40), (24, 24), (40, 8)])
@pytest.mark.parametrize("smallest", [1.0, 1e-2, 1e-6, 0.0])
def test_products_of_the_shorter_side_equal_those_of_the_whole_matrix(shape, smallest):
    u, values, v = torch.linalg.svd(random(*shape), full_matrices=False)
    matrix = u @ torch.diag(torch.linspace(1.0, smallest, len(values))) @ v
    expected = newton_schulz(matrix)
    assert float((orthogonalised(matrix) - expected).abs().max()) < 2e-3 * float(expected.abs().max())


def test_a_filter_of_one_pixel_learns_like_a_matrix():
    matrix = nn.Parameter(random(6, 10))
    filters = nn.Parameter(matrix.detach().clone()[:, :, None, None].contiguous(memory_format=torch.channels_last))
    theirs = torch.optim.Muon(
        [matrix], lr=0.02, weight_decay=0.1, momentum=0.95, nesterov=True, adjust_lr_fn="match_rms_adamw"
    )
    ours = Muon([{"params": [filters], "orthogonal": True}], lr=0.02, weight_decay=0.1)
    for step in range(4):
        matrix.grad = random(6, 10, seed=step + 1)
        filters.grad = matrix.grad.clone()[:, :, None, None]
        theirs.step()
        ours.step()
        assert filters.grad is None
    moved = (matrix.detach() - random(6, 10)).norm()
    assert float(moved) > 0.08
    assert float((filters.detach()[:, :, 0, 0] - matrix.detach()).norm() / moved) < 0.05  # theirs is in bfloat16


@pytest.mark.parametrize("shape", [(8, 6, 3, 3), (40, 4, 3, 3)])
def test_a_filter_learns_as_with_timms_muon_in_float32(shape, monkeypatch):
    # timm has no option for the dtype of the iterations; bfloat16 is their default
    in_float32 = functools.partial(timm_muon.zeropower_via_newtonschulz, dtype=torch.float32)
    monkeypatch.setattr(timm_muon, "zeropower_via_newtonschulz", in_float32)
    start = random(*shape)
    own, timms = (nn.Parameter(start.clone()) for _ in range(2))
    optimizers = [
        Muon([{"params": [own], "orthogonal": True}], lr=0.02, weight_decay=0.1),
        timm_muon.Muon([timms], lr=0.02, weight_decay=0.1, momentum=0.95, nesterov=True, ns_coefficients="original"),
    ]
    for step in range(4):
        for filters, optimizer in zip((own, timms), optimizers, strict=True):
            filters.grad = random(*shape, seed=step + 1)
            optimizer.step()
    assert float((own.detach() - start).norm()) > 0.08
    torch.testing.assert_close(own, timms, atol=1e-5, rtol=1e-4)


def test_all_but_hidden_filters_learn_with_adamw():
    def network() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 8, 3), nn.Flatten(), nn.Linear(8, 2))

    ours, theirs = network(), network()
    where = torch.device("cpu")
    optimizers = [
        build_optimizer(net, TrainingSettings(optimizer=name), where)
        for net, name in ((ours, "muon"), (theirs, "adamw"))
    ]
    for net, optimizer in zip((ours, theirs), optimizers, strict=True):
        net(random(4, 3, 5, 5)).square().sum().backward()
        optimizer.step()
    pairs = zip(ours.named_parameters(), theirs.parameters(), strict=True)
    differ = {name for (name, mine), other in pairs if not torch.allclose(mine, other, atol=1e-7)}
    assert differ == {"2.weight"}


def test_the_state_of_muon_is_saved_and_loaded():
    def trained(steps: int, optimizer: Muon, filters: nn.Parameter, first: int = 0) -> None:
        for step in range(first, first + steps):
            filters.grad = random(4, 8, 3, 3, seed=step)
            optimizer.step()

    def fresh() -> tuple[nn.Parameter, Muon]:
        filters = nn.Parameter(random(4, 8, 3, 3))
        return filters, Muon([{"params": [filters], "orthogonal": True}], lr=0.01)

    whole, parts = fresh(), fresh()
    trained(4, whole[1], whole[0])
    trained(2, parts[1], parts[0])
    state, resumed = parts[1].state_dict(), fresh()
    with torch.no_grad():
        resumed[0].copy_(parts[0])
    resumed[1].load_state_dict(state)
    trained(2, resumed[1], resumed[0], first=2)
    assert torch.equal(resumed[0], whole[0])


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "muon"])
def test_weight_decay_is_for_matrices_and_filters_only(settings, student, optimizer):
    network = student()
    built = build_optimizer(network, settings(optimizer=optimizer, weight_decay=0.3), torch.device("cpu"))
    assert type(built) is {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD, "muon": Muon}[optimizer]
    decay = {parameter: group["weight_decay"] for group in built.param_groups for parameter in group["params"]}
    names = {name: decay.pop(parameter) for name, parameter in network.named_parameters()}
    assert not decay
    decayed = {name for name, value in names.items() if value == 0.3}
    assert decayed == {*(f"conv{number}.weight" for number in range(1, 8)), "classifier.weight"}
    assert all(names[name] == 0.0 for name in names.keys() - decayed)
    assert "conv1_norm.weight" in names
