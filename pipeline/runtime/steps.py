"""Receipts of finished steps, and the one rule for when a step may be skipped.

A receipt holds digests of the inputs and settings of the step, an integer version that is raised when the meaning of
its outputs changes, and size, mtime and sha256 of each output.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.runtime.atomic import file_digest, value_digest, write_json
from pipeline.runtime.console import say
from pipeline.runtime.folder import RunFolder

RECORDED = ("size_bytes", "mtime_ns", "sha256")  # of every output


@dataclass(frozen=True)
class Step:
    """One unit of work, done and receipted or skipped as a whole."""

    name: str  # also of its receipt and its lock
    version: int
    reads: dict[str, str]  # input -> its digest
    settings: dict[str, Any]  # those that the step reads, as JSON values
    writes: tuple[Path, ...]
    quick: bool = field(default=False)  # trust size and mtime of large outputs, do not hash them again


def run_step(
    run: RunFolder, step: Step, work: Callable[[], dict[str, Any] | None], *, full_check: bool = False
) -> bool:
    """Skip the step when its receipt holds, else do `work` under the step's lock and write the receipt.

    `work` may return notes (JSON) for the receipt; the note `earlier_seconds` is the time of a resumed step before it
    was interrupted. Returns whether work was done.
    """
    reason = why_not_current(run, step, full_check=full_check)
    if reason is None:
        say(f"{step.name}: done before, skipped")
        return False
    if reason:
        say(f"{step.name}: {reason}, done again")
    with run.locked(step.name, f"{step.name} of run {run.name} is being made by another process"):
        run.receipt(step.name).unlink(missing_ok=True)
        start = time.monotonic()
        notes = work() or {}
        _write_receipt(run, step, notes, notes.pop("earlier_seconds", 0.0) + time.monotonic() - start)
    return True


def why_not_current(run: RunFolder, step: Step, *, full_check: bool = False) -> str | None:
    """None when the receipt holds, else the reason why not ("" when there is no receipt)."""
    try:
        receipt = json.loads(run.receipt(step.name).read_text())
        outputs = {name: {key: found[key] for key in RECORDED} for name, found in receipt["outputs"].items()}
        same = {"version": receipt["version"], "reads": dict(receipt["reads"]), "settings": receipt["settings"]}
    except FileNotFoundError:
        return ""
    except (ValueError, KeyError, TypeError, AttributeError):  # edited by hand, or damaged by the disk
        return "its receipt is damaged"
    if same != _identity(step):
        return _changed(same, step)
    return next(
        filter(None, (_output_fault(path, outputs, step.quick and not full_check) for path in step.writes)), None
    )


def read_notes(run: RunFolder, step_name: str) -> dict[str, Any]:
    """Notes and seconds of a finished step. Raises FileNotFoundError when it never finished."""
    receipt = json.loads(run.receipt(step_name).read_text())
    return receipt["notes"] | {"seconds": receipt["seconds"]}


def receipt_reads(run: RunFolder, step_name: str) -> dict[str, str]:
    """Digests of the inputs of a finished step, by name; empty when it never finished."""
    try:
        return dict(json.loads(run.receipt(step_name).read_text())["reads"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return {}


def _identity(step: Step) -> dict[str, Any]:
    return {"version": step.version, "reads": step.reads, "settings": value_digest(step.settings)}


def _changed(recorded: dict[str, Any], step: Step) -> str:
    if recorded["version"] != step.version:
        return "this version of the program makes it differently"
    if recorded["settings"] != value_digest(step.settings):
        return "its settings changed"
    read = recorded["reads"]
    changed = [name for name in {**read, **step.reads} if read.get(name) != step.reads.get(name)]
    return f"what it reads changed ({', '.join(changed[:3])}{', ...' if len(changed) > 3 else ''})"


def _output_fault(path: Path, outputs: dict[str, Any], quick: bool) -> str:
    recorded = outputs.get(path.name)
    if recorded is None or not path.is_file():
        return f"{path.name} is missing"
    stat = path.stat()
    if stat.st_size != recorded["size_bytes"]:
        return f"{path.name} has another size than in its receipt"
    if quick and stat.st_mtime_ns == recorded["mtime_ns"]:
        return ""
    return "" if file_digest(path) == recorded["sha256"] else f"{path.name} is damaged"


def _write_receipt(run: RunFolder, step: Step, notes: dict[str, Any], seconds: float) -> None:
    outputs = {}
    for path in step.writes:
        stat = path.stat()
        outputs[path.name] = {"size_bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": file_digest(path)}
    receipt = {"step": step.name, **_identity(step), "outputs": outputs, "notes": notes, "seconds": round(seconds, 3)}
    write_json(run.receipt(step.name), receipt)
