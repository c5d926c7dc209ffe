"""Muon against torch.optim.Muon, which takes matrices, and what it leaves to AdamW."""

import pytest
import torch
from torch import nn

from pipeline.runtime.settings import TrainingSettings
from pipeline.training.optimizers import COEFFICIENTS, ITERATIONS, Muon, build_optimizer, orthogonalised


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_singular_values_come_near_one():
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
def test_products_of_the_shorter_side_give_what_those_of_the_whole_matrix_do(shape, smallest):
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


def test_what_is_no_hidden_filter_learns_with_adamw():
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


def test_its_state_is_saved_and_loaded():
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
