"""The state of an unfinished training as named tensors, and back."""

import torch
from torch import Tensor, nn


def training_state(parts: dict[str, nn.Module], optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Flatten networks and optimizer state into named tensors."""
    tensors = {f"{part}.{name}": value for part, net in parts.items() for name, value in net.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items() if value is not None}
    return tensors


def restore_training_state(
    tensors: dict[str, Tensor], parts: dict[str, nn.Module], optimizer: torch.optim.Optimizer
) -> None:
    """Restore what training_state returned. Raises KeyError or RuntimeError when it does not fit."""
    for part, network in parts.items():
        prefix = f"{part}."
        network.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = _with_memory_format_of(parameters[int(index)], value)
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _with_memory_format_of(parameter: Tensor, value: Tensor) -> Tensor:
    """The value in the memory format of its parameter: a file is contiguous, filters are channels_last.

    The fused optimizers pair weight and momentum by their order in memory and ignore strides.
    """
    return torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value
