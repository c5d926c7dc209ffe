"""Low-bit tensors and files, as small as they get, for the tests of this folder and of the ledger command."""

import numpy as np
import torch

from models.compress.bit_plan import code_range
from models.compress.low_bit import LowBit
from models.packed.container import Header
from models.packed.header import default_classes
from models.packed.student_file import pack_low_bit
from models.students.architecture import parameter_shapes
from models.students.build import build_student
from models.students.families import Network

TINY = Network("plain", (1, 0)).architecture(2, 16)
HEADER = Header(TINY, default_classes(2), mean=(140, 114, 87), std=(69, 70, 71))


def made_tensor(shape: tuple[int, ...], levels: int, *, seed: int = 0, laplace: bool = False) -> LowBit:
    """A bell-shaped (or pointed) tensor that uses all its levels; scales of both signs."""
    random = np.random.default_rng(seed)
    lowest, highest = code_range(levels)
    values = random.laplace(0, levels / 8, shape) if laplace else random.normal(0, levels / 5, shape)
    codes = np.clip(np.rint(values), lowest, highest).astype(np.int8)
    return LowBit(codes, random.normal(0, 0.1, shape[0]).astype(np.float16), levels)


def made_weights(levels: int) -> dict[str, LowBit]:
    shapes = parameter_shapes(TINY)
    return {name: made_tensor(shape, levels, seed=seed) for seed, (name, shape) in enumerate(shapes) if len(shape) > 1}


def folded_student() -> torch.nn.Sequential:
    torch.manual_seed(1)
    return build_student(TINY, folded=True)


def low_bit_file(levels: int = 16) -> bytes:
    return pack_low_bit(folded_student(), HEADER, made_weights(levels))
