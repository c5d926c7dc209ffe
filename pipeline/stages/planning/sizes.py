"""The image size where no number states it: `data.image_size = "auto"`. Sizes are pixels a side, multiples of 16."""

from collections.abc import Mapping
from typing import Any

AUTO = "auto"
STEP = 16  # the students pool four times
CANDIDATES = (32, 48, 64, 96, 128, 160, 192, 224)
SMALLEST, USUAL, LARGEST = CANDIDATES[0], 64, CANDIDATES[-1]
MEMBER_SHARES = (0.5, 0.75, 1.0)  # of the image size: the sizes that a member's epochs go through


def stated_size(values: Mapping[str, Any]) -> Any:
    """What settings state as `data.image_size`; None where they state nothing."""
    data = values.get("data")
    return data.get("image_size") if isinstance(data, Mapping) else None


def largest_size(side: int) -> int:
    """The largest size worth training on images whose short side is `side`: not above it, and from 32 to 224."""
    return min(LARGEST, max(SMALLEST, side // STEP * STEP))


def candidates(side: int) -> tuple[int, ...]:
    """The sizes that a plan chooses from, for images whose short side is `side`, ascending."""
    return tuple(size for size in CANDIDATES if size <= largest_size(side))


def member_sizes(image_size: int) -> list[int]:
    """Progressive resizing of a member: about half, three quarters and all of the image size, each once."""
    return sorted({max(STEP, round(image_size * share / STEP) * STEP) for share in MEMBER_SHARES})


def with_size(values: Mapping[str, Any], image_size: int) -> dict[str, Any]:
    """Plain settings with an image size, and of the members' sizes those that are not larger."""
    teach = values.get("teach", {})
    rows = [_no_larger(row, image_size) for row in teach.get("members", ())]
    smaller = _no_larger(teach, image_size) | ({"members": rows} if rows else {})
    return {**values, "data": {**values["data"], "image_size": image_size}, "teach": smaller}


def _no_larger(training: Mapping[str, Any], image_size: int) -> dict[str, Any]:
    sizes = {"sizes": [size for size in training["sizes"] if size <= image_size]} if "sizes" in training else {}
    return {**training, **sizes}
