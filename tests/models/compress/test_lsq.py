"""LSQ: weights rounded in the forward pass, LSQ's gradients, and the codes and scales of the packed file."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from models.compress.batchnorm_folding import fold_batchnorm
from models.compress.lsq import (
    fake_quantise,
    low_bit_weights,
    prepare_lsq,
    quantised_layers,
    snap_scales,
    with_scaled_steps,
)
from models.compress.short_scales import nearest_scales, steps_of
from models.students.build import build_student
from models.students.families import Network
from tests.models.compress.made_students import small_network, trained_network


def test_rounding_by_hand():
    weight = torch.tensor([[0.26, -0.24, 5.0, -5.0], [0.26, -0.24, 5.0, -5.0]])
    found = fake_quantise(weight, torch.tensor([-1.0, 0.0]), 4)  # steps 0.5 and 1, codes -2 to 1
    assert found.tolist() == [[0.5, -0.0, 0.5, -1.0], [0.0, -0.0, 1.0, -2.0]]


def test_gradients_by_hand():
    weight = torch.tensor([[0.3, -0.9, 5.0]], requires_grad=True)
    log_step = torch.tensor([-1.0], requires_grad=True)  # step 0.5, codes -8 to 7
    fake_quantise(weight, log_step, 16).sum().backward()
    assert weight.grad.tolist() == [[1.0, 1.0, 0.0]]  # straight through, but nothing beyond the outermost code
    # LSQ, equation 3: round(w/s) - w/s inside, the outermost code beyond; times ds/dlog2(s) = s ln 2
    by_step = (1 - 0.6) + (-2 + 1.8) + 7
    torch.testing.assert_close(log_step.grad, torch.tensor([by_step * 0.5 * 0.6931472 / (3 * 7) ** 0.5]))


def test_the_first_step_puts_the_outermost_code_at_the_initial_clip():
    conv = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.constant_(conv.weight, 0.7)
    quantised = prepare_lsq(nn.Sequential(conv), {"0": 16}, initial_clip_std=2.0)
    assert quantised[0].log_step.exp2().item() == pytest.approx(2.0 * 0.7 / 7)


def test_a_channel_of_zeros_has_a_step_and_stays_zero():
    conv = nn.Conv2d(1, 2, 1, bias=False)
    nn.init.zeros_(conv.weight)
    _, weights = low_bit_weights(prepare_lsq(nn.Sequential(conv), {"0": 3}, initial_clip_std=2.0))
    assert weights["0.weight"].codes.tolist() == [[[[0]]], [[[0]]]]


def test_a_compiled_network_rounds_too():
    # a public entry of a byte contest trained for days with a rounding that compilation had folded away
    torch.manual_seed(0)
    student = prepare_lsq(nn.Sequential(nn.Linear(4, 3)), {"0": 3}, initial_clip_std=1.0)
    compiled = torch.compile(student, backend="aot_eager")
    images = torch.randn(5, 4)
    torch.testing.assert_close(compiled(images), student(images))
    with torch.no_grad():
        student[0].weight.mul_(1.01)  # too little to change a code
        assert torch.equal(compiled(images), student(images))
        before = compiled(images)
        student[0].log_step.add_(1.0)  # but a step that doubles changes everything
    assert not torch.allclose(compiled(images), before)


def test_the_student_is_not_changed_and_names_are_checked():
    student = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU())
    prepare_lsq(student, {"0": 16}, initial_clip_std=3.0)
    assert type(student[0]) is nn.Conv2d
    with pytest.raises(ValueError, match="1: ReLU, expected a convolution or a linear layer to quantise"):
        prepare_lsq(student, {"1": 16}, initial_clip_std=3.0)
    with pytest.raises(ValueError, match="none: NoneType, expected a convolution"):
        prepare_lsq(student, {"none": 16}, initial_clip_std=3.0)


@pytest.mark.parametrize("family", ["residual", "inverted", "squeezed", "dense", "tied"])
def test_the_packed_weights_give_the_logits_of_the_trained_network(family):
    student = trained_network(small_network(family))
    layers = [name for name, module in student.named_modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    quantised = prepare_lsq(student, dict.fromkeys(layers, 16), initial_clip_std=3.0).eval()
    snap_scales(quantised)
    folded, weights = low_bit_weights(quantised)
    assert sorted(weights) == sorted(f"{name}.weight" for name in layers)
    with torch.no_grad():
        for name, tensor in weights.items():
            folded.get_parameter(name).copy_(torch.from_numpy(tensor.values()))
        images = torch.randn(8, 3, 32, 32)
        expected = quantised(images)
        # snapped scales need no rounding, so nothing differs but the order of sums
        torch.testing.assert_close(folded(images), expected, atol=1e-4 * float(expected.std()), rtol=1e-4)
        unquantised = fold_batchnorm(student)(images)
    assert (unquantised - expected).abs().max() > 10 * (folded(images) - expected).abs().max()


def test_steps_learn_and_are_kept():
    torch.manual_seed(0)
    network = prepare_lsq(
        build_student(Network("residual", (2, 1, 8)).architecture(3, 16)), {"stem": 4}, initial_clip_std=2.0
    )
    before = copy.deepcopy(network.state_dict())
    optimizer = torch.optim.AdamW(network.parameters(), 1e-2)
    for _ in range(3):
        loss = nn.functional.cross_entropy(network(torch.randn(8, 3, 16, 16)), torch.arange(8) % 3)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert list(quantised_layers(network)) == ["stem"]
    assert not torch.equal(network.state_dict()["stem.log_step"], before["stem.log_step"])


def test_larger_steps_scale_every_weight_and_use_fewer_codes():
    network = prepare_lsq(
        trained_network(Network("residual", (4, 1, 16))), {"stage1_1.conv1": 16}, initial_clip_std=3.0
    )
    _, learned = low_bit_weights(network)
    _, scaled = low_bit_weights(with_scaled_steps(network, 2.0))
    assert low_bit_weights(network)[1]["stage1_1.conv1.weight"].scale.tolist() == (
        learned["stage1_1.conv1.weight"].scale.tolist()
    )  # the network itself is not changed
    before, after = learned["stage1_1.conv1.weight"], scaled["stage1_1.conv1.weight"]
    assert (after.scale == 2 * before.scale).all()
    assert abs(after.codes).max() <= -(-abs(before.codes).max() // 2) + 1
    assert (before.scale < 0).any()  # BatchNorm's negative factors are in the scale


def exact_scales(student: nn.Module, name: str) -> np.ndarray:
    """Step times BatchNorm's factor, float64 [O]."""
    scale_O = student.get_submodule(name).log_step.detach().double().exp2()
    norm = dict(student.named_modules()).get(f"{name}_norm")
    if norm is not None:
        scale_O = scale_O * norm.weight.detach().double() / (norm.running_var.double() + norm.eps).sqrt()
    return scale_O.numpy()


def test_snapped_scales_need_no_rounding_and_change_little():
    student = trained_network(small_network("squeezed"))
    layers = [name for name, module in student.named_modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    quantised = prepare_lsq(student, dict.fromkeys(layers, 16), initial_clip_std=3.0)
    before = {name: exact_scales(quantised, name) for name in layers}
    snap_scales(quantised)
    for name in layers:
        after = exact_scales(quantised, name)
        assert after == pytest.approx(nearest_scales(before[name]).astype(float), rel=1e-6)
        assert after == pytest.approx(before[name], rel=1 / 200)
        assert (after != before[name]).any()
    for name, tensor in low_bit_weights(quantised)[1].items():
        assert tensor.scale.tolist() == nearest_scales(before[name.removesuffix(".weight")]).tolist()
        assert steps_of(tensor.scale) is not None
