"""Check: everything about a contest that can be known before a run, in the lines that a person reads.

Reads the contest, decodes every image once into a temporary folder, and leaves nothing behind.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.contest.contest import Contest
from pipeline.contest.decode import Broken, decode_images
from pipeline.contest.found_lines import found_lines
from pipeline.contest.image_notes import image_notes
from pipeline.contest.match_ids import shown
from pipeline.contest.source import Source
from pipeline.contest.submission_format import SubmissionFormat
from pipeline.data.views import create_image_array
from pipeline.runtime.console import progress, say
from pipeline.runtime.engine import worker_count
from pipeline.runtime.errors import AnswerIsNoError, RequestError
from pipeline.runtime.folder import SPLITS
from pipeline.runtime.request import Job
from pipeline.stages.check_request import check_members, contest_of, opened_contest
from pipeline.stages.contest_plan import plan_of_machine
from pipeline.stages.planning.image_files import image_sides

ROWS_SHOWN = 3  # of the CSV


@dataclass(frozen=True)
class _Decoded:
    """The images of a contest by split, uint8 [N, H, W, 3], and the broken ones among them."""

    images: Mapping[str, np.ndarray]
    broken: Mapping[str, Sequence[Broken]]


def check_contest(job: Job, *, with_plan: bool) -> None:
    """Say what a run of this contest would find, and what it would take on this machine.

    Raises AnswerIsNoError, after all lines, for what stops a run or would make its CSV wrong.
    """
    try:
        faults = _say_contest(job, with_plan=with_plan)
    except RequestError as error:
        faults = [str(error)]
    for fault in faults:
        say(f"stops a run: {fault}")
    if faults:
        raise AnswerIsNoError
    say("check: nothing stops a run")


def _say_contest(job: Job, *, with_plan: bool) -> list[str]:
    """Say what is found, then what a run takes; returns what stops a run.

    Raises RequestError for a contest that cannot be read.
    """
    contest = contest_of(job)
    say("\n".join(found_lines(contest)))
    faults = _say_images(job, contest)
    say("\n".join(csv_rows(contest.submission)))
    check_members(job)
    if with_plan and not faults:
        say("\n".join(plan_of_machine(job, contest)))
    return faults


def csv_rows(submission: SubmissionFormat) -> list[str]:
    """The first lines of the CSV, with what each cell will hold in angle brackets."""
    if not submission.ids:
        return []
    cell = "<probability>" if submission.columns else "<class>"
    mark = submission.separator
    rows = [mark.join([id_, *[cell] * (len(submission.header) - 1)]) for id_ in submission.ids[:ROWS_SHOWN]]
    lines = [mark.join(submission.header), *rows]
    more = len(submission.ids) - len(rows)
    shown_lines = [line if len(line) <= 100 else f"{line[:100]}..." for line in lines]
    return ["the CSV begins:", *(f"  {line}" for line in shown_lines), *([f"  ... and {more:,} more"] if more else [])]


def _say_images(job: Job, contest: Contest) -> list[str]:
    """Say what the images are like; returns what stops a run."""
    source = opened_contest(job)
    with tempfile.TemporaryDirectory(prefix="check-") as folder:
        decoded = _decode(job, contest, source, Path(folder))
        notes = image_notes(contest, decoded.images, decoded.broken)
    say(_sides_line(job, contest, source))
    say("\n".join(f"note: {note}" for note in notes) or "no duplicates, no class with few images")
    return _faults(job, decoded)


def _decode(job: Job, contest: Contest, source: Source, folder: Path) -> _Decoded:
    size, workers = job.settings.data.image_size, worker_count(job.settings.device.workers)
    images, broken = {}, {}
    for split in SPLITS:
        files = [record.file for record in contest.splits[split]]
        images[split] = create_image_array(folder / f"{split}.npy", len(files), size)
        with progress(f"decoding {split} images", len(files)) as on_done:
            broken[split] = decode_images(source, files, size, images[split], workers=workers, on_done=on_done)
    return _Decoded(images, broken)


def _faults(job: Job, decoded: _Decoded) -> list[str]:
    """Broken labelled images stop a run, unless they are skipped; broken test images are answered and told."""
    labelled = [found for split in ("training", "validation") for found in decoded.broken[split]]
    tests = decoded.broken["testing"]
    if tests:
        say(f"note: {len(tests)} test images are broken, a run answers them all the same: {_reasons(tests)}")
    if not labelled:
        return []
    line = f"{len(labelled)} labelled images are broken: {_reasons(labelled)}"
    if job.settings.data.broken == "skip":
        say(f"note: {line}; they are skipped")
        return []
    return [f"{line}; mend them, or --set data.broken=skip"]


def _reasons(broken: Sequence[Broken]) -> str:
    return shown([f"{found.file} ({found.reason})" for found in broken])


def _sides_line(job: Job, contest: Contest, source: Source) -> str:
    """Smallest, median and largest short side of a sample of the images, and what a run makes of them."""
    sides = image_sides(source, contest.splits["training"])
    size = job.settings.data.image_size
    found = f"short side {sides[0]} to {sides[-1]}, median {sides[len(sides) // 2]}" if sides else "no size in a header"
    return f"images: {found} pixels (of a sample); a run resizes them to {size} x {size}"
