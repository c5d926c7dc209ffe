"""Clean: delete what a run or a study made on its way (runs/NAME); what it delivered stays. No torch.

Of a study also the steps that no other study uses.
"""

import shutil
from pathlib import Path

from pipeline.runtime.errors import RequestError
from pipeline.runtime.folder import USED_BY, RunFolder, disk_bytes, readable_size, steps_used_by, store

GONE = ".gone"  # at the end of a step's folder that is being deleted


def clean_run(run: RunFolder) -> list[str]:
    """Delete runs/NAME and return the lines to show.

    Raises RequestError when there is none, when it is a link, or when something of it is going on.
    """
    steps = steps_used_by(run.root, run.name)
    if run.folder.is_symlink():
        raise RequestError(f"--name {run.name}: {run.folder} is a link; delete it and what it points to yourself")
    if not run.folder.is_dir() and not steps:
        if run.submission.is_dir():
            raise RequestError(f"--name {run.name}: has nothing in runs/; {run.submission} stays, delete it yourself")
        raise RequestError(f"--name {run.name}: no such run (looked for {run.folder}); ./run.sh list shows them all")
    with run.all_locked(f"run {run.name} is going on in another process; end it first"):
        freed_bytes = disk_bytes(run.folder) + sum(_forget(step, run.name) for step in steps)
        shutil.rmtree(run.folder)
    for half_deleted in store(run.root).glob(f"*{GONE}"):
        shutil.rmtree(half_deleted)
    kept = f"{run.submission} stays" if run.submission.is_dir() else "nothing of it was delivered, so nothing is left"
    return [f"deleted {run.folder}: {readable_size(freed_bytes)} freed", kept]


def _forget(step: Path, study: str) -> int:
    """Take a study's mark off a step; set it aside for deletion where it was the last one. Returns the bytes freed."""
    if {mark.name for mark in (step / USED_BY).iterdir()} != {study}:
        (step / USED_BY / study).unlink()
        return 0
    freed_bytes = disk_bytes(step)
    step.replace(step.with_name(step.name + GONE))
    return freed_bytes
