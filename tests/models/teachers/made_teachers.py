"""Teachers as narrow as they get, for the tests of this folder."""

import pytest
import torch
from torch import nn

from models.teachers.build import UnknownNetworkError, build_teacher

# families as they are, made narrow where that is an option: the halvings stay where they were
NARROW = {
    "resnet18": {"channels": (8, 8, 16, 16)},
    "resnet26d": {"channels": (8, 8, 16, 16), "stem_width": 8},
    "densenet121": {"growth_rate": 4, "block_config": (1, 1, 1, 1)},
    "regnetx_002": {},
    "mobilenetv3_small_050": {},
    "test_resnet": {},
    "test_convnext": {},
    "test_efficientnet": {},
    "test_byobnet": {},
    "reference-cnn": {"width": 4},
    "vit_tiny_patch16_224": {"embed_dim": 8, "depth": 1, "num_heads": 1},
}


def build(name: str, image_size: int, **options: object) -> nn.Module:
    torch.manual_seed(0)
    own = NARROW.get(name, {})
    return build_teacher(name, classes=5, image_size=image_size, **({"options": own} | options))


def refused(message: str, name: str, image_size: int = 32, **options: object) -> None:
    with pytest.raises(UnknownNetworkError, match=message) as caught:
        build(name, image_size, **options)
    assert "\n" not in str(caught.value)
