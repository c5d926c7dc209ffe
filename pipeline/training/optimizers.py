"""Optimizers: AdamW, Nesterov SGD and Muon by name, with weight decay on matrices and filters only.

Muon orthogonalises the momentum of a filter for its step and leaves all else to AdamW (Jordan et al. 2024, "Muon: An
optimizer for hidden layers in neural networks", kellerjordan.github.io/posts/muon). The weights of a convolution are
one matrix [outputs, inputs * rows * columns]; convolutions of the image, grouped convolutions and linear layers use
AdamW. The step is scaled to the RMS of AdamW's (Liu et al. 2025, arXiv 2502.16982, section 2.2), so that both have the
same learning rate and weight decay.

`torch.optim.Muon` takes matrices only. `timm.optim.Muon` takes filters too, but its Newton-Schulz iterations are fixed
to bfloat16, which is slow on CPUs without it; so ours is kept. 384 x 3456, one thread of an EPYC with bfloat16: ours in
float32 55 ms, timm in bfloat16 62 ms, timm in float32 146 ms.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.runtime.training_settings import TrainingSettings

IMAGE_CHANNELS = 3
ITERATIONS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic that draws singular values to about 1
MOMENTUM = 0.95
RMS_OF_ADAMW = 0.2  # of an entry of AdamW's step, measured in section 2.2


class Muon(torch.optim.AdamW):
    """AdamW, but Muon in the parameter groups that are marked `orthogonal`."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take a step. Gradients of orthogonal groups are set to None after use, so AdamW skips them."""
        for group in self.param_groups:
            if group.get("orthogonal"):
                for parameter in group["params"]:
                    self._muon_step(parameter, group)
                    parameter.grad = None
        return super().step(closure)

    def _muon_step(self, parameter: Tensor, group: dict[str, Any]) -> None:
        gradient, state = parameter.grad, self.state[parameter]
        if gradient is None:
            return
        if not state:
            state["step"] = torch.zeros(())  # AdamW needs it when a state is loaded
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].lerp_(gradient, 1 - MOMENTUM)
        nesterov = gradient.lerp(state["momentum"], MOMENTUM)
        # in the order of the weights in memory: the order of the columns decides nothing, and nothing is copied
        last = parameter.is_contiguous(memory_format=torch.channels_last)
        inner = nesterov.permute(0, 2, 3, 1) if last else nesterov
        update = orthogonalised(inner.flatten(1)).view(inner.shape)
        update = update.permute(0, 3, 1, 2) if last else update
        scale = RMS_OF_ADAMW * max(len(parameter), parameter[0].numel()) ** 0.5
        parameter.mul_(1 - group["lr"] * group["weight_decay"]).sub_(update.mul_(group["lr"] * scale))


def orthogonalised(matrix_MN: Tensor) -> Tensor:
    """The nearest matrix with singular values of about 1, float32 [M, N], by Newton-Schulz iterations in float32.

    The result is a polynomial of the shorter side's Gram matrix times the matrix itself, so only the first and the last
    product have the longer side. 384 x 3456 on one core: 47 ms; with the longer side in every product 127 ms, and in
    bfloat16 on a CPU without it 2,867 ms.
    """
    a, b, c = COEFFICIENTS
    tall = len(matrix_MN) > matrix_MN.shape[1]
    x = (matrix_MN.T if tall else matrix_MN).float()
    x = x / (x.norm() + 1e-7)
    gram = x @ x.T
    identity = torch.eye(len(gram), device=gram.device)
    product = identity
    for iteration in range(1, ITERATIONS + 1):
        factor = a * identity + b * gram + c * gram @ gram
        product = factor @ product
        if iteration < ITERATIONS:
            gram = factor @ gram @ factor
    x = product @ x
    return x.T if tall else x


def build_optimizer(network: nn.Module, settings: TrainingSettings, where: torch.device) -> torch.optim.Optimizer:
    """AdamW, Nesterov SGD or Muon; weight decay on matrices and filters only, not on biases and BatchNorm.

    On a GPU the learning rate is a tensor, so that a captured step reads it (a float would be baked in).
    """
    parameters = [p for p in network.parameters() if p.requires_grad]
    on_gpu = where.type == "cuda"
    inner = _inner_filters(network) if settings.optimizer == "muon" else []
    others = set(parameters) - set(inner)
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim > 1 and p in others], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if inner:
        groups.append({"params": inner, "weight_decay": settings.weight_decay, "orthogonal": True})
    for group in groups:
        group["lr"] = torch.tensor(settings.learning_rate, device=where) if on_gpu else settings.learning_rate
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=0.9, nesterov=True, fused=True)
    if settings.optimizer == "muon":
        return Muon(groups, capturable=on_gpu)  # not fused: that leaves unscaling float16 gradients to AdamW
    return torch.optim.AdamW(groups, fused=True, capturable=on_gpu)


def _inner_filters(network: nn.Module) -> list[nn.Parameter]:
    """The filters for Muon: those over all channels of a hidden layer, not of the image and not of a group."""
    plain = (module for module in network.modules() if getattr(module, "groups", 1) == 1)
    weights = (getattr(module, "weight", None) for module in plain)
    filters = [weight for weight in weights if isinstance(weight, nn.Parameter) and weight.ndim == 4]
    return [weight for weight in filters if weight.requires_grad and weight.shape[1] > IMAGE_CHANNELS]
