"""The members of an ensemble: from a row of the settings to a network, and the normalisation that it expects."""

from pathlib import Path

from torch import Tensor, nn

from models.teachers.build import UnknownNetworkError, WeightsUnavailableError, build_teacher, expected_normalisation
from pipeline.contest.facts import ContestFacts
from pipeline.data.augment import resized
from pipeline.data.batches import Normalisation
from pipeline.runtime.errors import MachineError, RequestError
from pipeline.runtime.tensor_file import TensorFileError, load_tensors
from pipeline.runtime.training_settings import MemberSettings


def build_member(row: MemberSettings, facts: ContestFacts, image_size: int, *, pretrained: bool) -> nn.Module:
    """The row's network with fresh (or published) weights. Raises RequestError or MachineError in one line."""
    try:
        return build_teacher(
            row.network,
            classes=len(facts.classes),
            image_size=image_size,
            pretrained=pretrained,
            keep_kernels=row.pretrained,
            small_images=row.small_images,
            options=row.options,
        )
    except UnknownNetworkError as error:
        raise RequestError(f"teach.members: {error}") from None
    except WeightsUnavailableError as error:
        raise MachineError(f"teach.members: {error}; set pretrained = false, or supply weights = FILE") from None


def member_normalisation(row: MemberSettings, network: nn.Module, facts: ContestFacts) -> Normalisation:
    """The normalisation of a member: that of its published weights where it started from them, else the contest's."""
    return Normalisation(*(expected_normalisation(network) if row.pretrained else (facts.mean, facts.std)))


def supplied_member(row: MemberSettings, weights: Path, facts: ContestFacts, image_size: int) -> nn.Module:
    """A member that comes with its weights. Raises RequestError when they do not fit its network."""
    network = build_member(row, facts, image_size, pretrained=False)
    try:
        network.load_state_dict(load_tensors(weights)[0])
    except TensorFileError as error:
        raise RequestError(str(error)) from None
    except RuntimeError as error:
        first = str(error).splitlines()[1:2] or [str(error)]
        raise RequestError(f"{weights}: does not fit {row.network}: {first[0].strip()}") from None
    return network


def load_member(
    path: Path, row: MemberSettings, facts: ContestFacts, image_size: int
) -> tuple[nn.Module, Normalisation]:
    """A trained member from its file, as it predicts, and its normalisation."""
    network = build_member(row, facts, image_size, pretrained=False)
    network.load_state_dict(load_tensors(path)[0])
    return inference_member(network, row), member_normalisation(row, network, facts)


def inference_member(network: nn.Module, row: MemberSettings) -> nn.Module:
    """A member as it predicts: it takes images of full size and resizes them to its inference size."""
    return AtSize(network, row.inference_size)


class AtSize(nn.Module):
    """A network with its images resized to `size` x `size` pixels first; None: not resized."""

    def __init__(self, network: nn.Module, size: int | None) -> None:
        super().__init__()
        self.network, self.size = network, size

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Logits [N, classes] of normalised images float [N, 3, H, W]."""
        return self.network(resized(images_NCHW, self.size))
