"""Builds the student networks.

Shape suffixes: N images, C classes, H and W pixels; a student maps images_N3HW (float32, normalised) to logits_NC.
"""

from collections import OrderedDict

from torch import nn

from models.students.architecture import Architecture
from models.students.modules import layer_modules


def build_student(architecture: Architecture, *, folded: bool = False) -> nn.Sequential:
    """Return a freshly initialised student: images_N3HW -> logits_NC.

    A flat nn.Sequential whose children have the names of the rows. With `folded` there is no BatchNorm: that is the
    network that a packed file holds.
    """
    modules = (pair for row in architecture.rows for pair in layer_modules(row, folded=folded))
    return nn.Sequential(OrderedDict(modules))


def count_parameters(module: nn.Module) -> int:
    """Return the number of trained parameters; BatchNorm's running statistics are not among them."""
    return sum(parameter.numel() for parameter in module.parameters())
