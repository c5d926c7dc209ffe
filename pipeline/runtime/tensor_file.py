"""Tensors and JSON facts in one safetensors file: the format of checkpoints, log-probabilities and soft labels."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from pipeline.runtime.atomic import atomic_file


class TensorFileError(ValueError):
    """The file is damaged or not a safetensors file; one line."""


def save_tensors(path: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Write tensors and JSON facts atomically; the bytes depend on the content alone."""
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in sorted(tensors.items())}
    with atomic_file(path) as temporary:
        save_file(plain, temporary, {"facts": json.dumps(facts, sort_keys=True)})


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors and facts. Raises TensorFileError, or FileNotFoundError."""
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get("facts", "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118
    except (SafetensorError, ValueError) as error:
        raise TensorFileError(f"{path}: damaged or not a safetensors file ({error})") from None
