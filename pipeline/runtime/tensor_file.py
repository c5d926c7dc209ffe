"""Tensors and a little JSON in one safetensors file: the form of every checkpoint and of everything exchanged."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.runtime.atomic import atomic_file

if TYPE_CHECKING:
    from torch import Tensor


class TensorFileError(ValueError):
    """The file is damaged, or is no safetensors file; one line."""


def save_tensors(path: Path, tensors: "dict[str, Tensor]", facts: dict[str, Any]) -> None:
    """Write tensors and JSON facts, wholly or not at all; the bytes depend on the content alone."""
    from safetensors.torch import save_file

    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in sorted(tensors.items())}
    with atomic_file(path) as temporary:
        save_file(plain, temporary, {"facts": json.dumps(facts, sort_keys=True)})


def load_tensors(path: Path) -> "tuple[dict[str, Tensor], dict[str, Any]]":
    """Read tensors and facts. Raises TensorFileError, or FileNotFoundError."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get("facts", "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118
    except (SafetensorError, ValueError) as error:
        raise TensorFileError(f"{path}: damaged or not a safetensors file ({error})") from None
