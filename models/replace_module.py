"""Puts another module in the place of one that lies anywhere inside a network."""

from torch import nn


def replace_module(network: nn.Module, name: str, module: nn.Module) -> None:
    """Replace, in place, the submodule of a dotted name."""
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, module)
