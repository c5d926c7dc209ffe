"""Verify: the size gate. Bytes on disk against the budget, nothing else decides. No torch: it answers at once."""

from collections.abc import Iterator
from pathlib import Path

from models.packed.container import PREFIX_BYTES, PackedFileError, check_payloads, is_packed, read_container
from models.students.architecture import Architecture
from models.students.short_form import rows_name, short_form
from pipeline.runtime.console import say
from pipeline.runtime.errors import AnswerIsNoError, RequestError, check_file
from pipeline.runtime.request import Job
from pipeline.runtime.waves import Wave
from pipeline.stages.shipped import shipped_file


def verify(job: Job) -> Iterator[Wave]:
    """Say whether the file that a run ships fits its budget. Raises AnswerIsNoError where it does not."""
    fits, lines = verify_file(shipped_file(job), job.request.budget_bytes)
    say(lines[-1])
    if not fits:
        raise AnswerIsNoError
    yield from ()  # it has no steps: every time it looks at the file itself


def verify_file(path: Path, budget_bytes: int) -> tuple[bool, list[str]]:
    """Whether the file fits, and the lines to show; the last is `fits: ...` or `over: ...`.

    Raises RequestError when there is no such file, or it is a packed file that is damaged: such a file proves nothing.
    """
    check_file(path)
    size_bytes = path.stat().st_size
    with path.open("rb") as stream:
        packed = is_packed(stream.read(PREFIX_BYTES))
    lines = []
    if packed:
        lines.append(_describe(path))
    else:
        lines.append(f"{path.name}: not a packed file of this program, only its size is checked")
    fits = size_bytes <= budget_bytes
    return fits, [*lines, f"{'fits' if fits else 'over'}: {size_bytes} of {budget_bytes} bytes"]


def _describe(path: Path) -> str:
    try:
        header, entries = read_container(path.read_bytes())
        check_payloads(header, entries)  # with the check-sum, all that can be said without decoding
    except PackedFileError as error:
        raise RequestError(f"{path}: damaged packed file: {error}") from None
    tta = ", flip TTA" if header.tta_flip else ""
    return (
        f"{path.name}: {_network(header.architecture)}, {len(header.classes)} classes, "
        f"{header.image_size}x{header.image_size} pixels, {len(entries)} tensors, "
        f"{header.protocol}{tta}, check-sum right"
    )


def _network(architecture: Architecture) -> str:
    """Such as "plain(16, 0)", or "rows (17 layers)"."""
    network = short_form(architecture)
    return f"{network.family}({', '.join(map(str, network.integers))})" if network else rows_name(architecture)
