"""Students as after training, for the tests of this folder."""

import torch
from torch import nn

from models.students.build import build_student
from models.students.families import FAMILIES, STUDENTS, Network


def small_network(family: str) -> Network:
    """A network of one of the families that are made for a byte limit."""
    return Network(family, (4, 2) if family in ("dense", "separable") else (4, 2, 12))


def trained(name: str, *, seed: int = 0) -> nn.Sequential:
    """Return a named student with BatchNorm statistics and weights as after training."""
    return trained_network(STUDENTS[name], seed=seed)


def trained_network(network: Network, *, seed: int = 0) -> nn.Sequential:
    """Return a student with BatchNorm statistics and weights as after training."""
    torch.manual_seed(seed)
    student = build_student(network.architecture(11, 32))
    for module in student.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, -1.5, 1.5)
            nn.init.normal_(module.bias)
            module.running_mean.normal_()
            module.running_var.uniform_(0.2, 2.0)
    return student


NETWORKS = [
    *(STUDENTS[name] for name in ("reference-student", "reference-plain-cnn", "reference-group-large", "studentnet"))
]
NETWORKS += [small_network(family) for family in FAMILIES if family not in {network.family for network in NETWORKS}]
