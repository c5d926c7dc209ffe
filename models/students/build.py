"""Builds the student networks.

Shape suffixes: N images, C classes, H and W pixels; a student maps images_N3HW (float32, normalised) to logits_NC.
"""

from collections import OrderedDict

from torch import nn

from models.students.families import Network
from models.students.layers import layer_table
from models.students.modules import layer_modules


def build_student(network: Network, *, classes: int, image_size: int, folded: bool = False) -> nn.Sequential:
    """Return a freshly initialised student: images_N3HW -> logits_NC.

    A flat nn.Sequential whose children have the names of the layer table. `image_size` is in pixels per side, a
    multiple of 16. With `folded` there is no BatchNorm: that is the network that a packed file holds. Raises
    ValueError, with what was found and expected, for sizes that the network cannot have.
    """
    layers = layer_table(network, classes, image_size)
    return nn.Sequential(OrderedDict(pair for layer in layers for pair in layer_modules(layer, folded=folded)))


def count_parameters(module: nn.Module) -> int:
    """Return the number of trained parameters; BatchNorm's running statistics are not among them."""
    return sum(parameter.numel() for parameter in module.parameters())
