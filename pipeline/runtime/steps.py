"""Steps: units of work with a receipt, and the one rule for when a step may be skipped.

A step has its inputs, one frozen settings object, and a function of a module that is given nothing but these: what it
reads is what is digested. A receipt holds the digests of inputs and settings, an integer version that is raised when
the meaning of the outputs changes, and size, mtime and sha256 of each output.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from pipeline.runtime.artifacts import Artifact, view_name
from pipeline.runtime.atomic import file_digest, value_digest, write_json
from pipeline.runtime.console import say
from pipeline.runtime.folder import RunFolder
from pipeline.runtime.section import Section

RECORDED = ("size_bytes", "mtime_ns", "sha256")  # of every output
SettingsT = TypeVar("SettingsT", bound=Section)
Notes = dict[str, Any]


class Input(Protocol):
    """Anything that a step reads."""

    @property
    def path(self) -> Path:
        """Where it lies."""
        ...

    def digest(self) -> str:
        """The digest of its content."""
        ...


@dataclass(frozen=True)
class Opened(Generic[SettingsT]):
    """All that the work of a step sees: its inputs and outputs by name, and its settings."""

    inputs: Mapping[str, Path]
    digests: Mapping[str, str]  # of the inputs
    settings: SettingsT
    outputs: Mapping[str, Path]
    identity: str  # digest of the version, the inputs and the settings; a checkpoint carries it

    def views(self, splits: Sequence[str], count: int) -> list[list[Path]]:
        """The files of views 0 to `count` - 1, one per split in each."""
        return [[self.inputs[view_name(split, view)] for split in splits] for view in range(count)]


@dataclass(frozen=True)
class Step(Generic[SettingsT]):
    """One unit of work, done and receipted or skipped as a whole."""

    run: RunFolder
    name: str  # also of its receipt and its lock
    version: int
    inputs: Mapping[str, Input]
    settings: SettingsT
    outputs: Mapping[str, Artifact]
    work: Callable[[Opened[SettingsT]], Notes | None]  # a function of a module: it sees what it is given
    quick: bool = False  # trust size and mtime of large outputs, do not hash them again

    @cached_property
    def digests(self) -> dict[str, str]:
        """Digests of the inputs. Raises RequestError where a step that makes one was never done."""
        return {name: found.digest() for name, found in self.inputs.items()}

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What decides whether the step is done anew, as JSON values."""
        return {"version": self.version, "reads": self.digests, "settings": value_digest(self.settings.shaping())}

    def settle(self) -> None:
        """Tell the run's folder what the step reads, which decides where a study keeps it."""
        self.run.settle(self.name, value_digest(self.identity))

    def opened(self) -> Opened[SettingsT]:
        """What its work is given."""
        inputs = {name: found.path for name, found in self.inputs.items()}
        outputs = {name: artifact.path for name, artifact in self.outputs.items()}
        return Opened(inputs, self.digests, self.settings, outputs, value_digest(self.identity))


def run_step(step: Step[Any], *, full_check: bool = False) -> bool:
    """Skip the step when its receipt holds, else do its work under its lock and write the receipt.

    The work may return notes (JSON) for the receipt; the note `earlier_seconds` is the time of a resumed step before it
    was interrupted. Returns whether work was done.
    """
    if why_not_current(step, full_check=full_check) is None:
        say(f"{step.name}: done before, skipped")
        return False
    with step.run.step_locked(step.name):
        reason = why_not_current(step, full_check=full_check)
        if reason is None:  # made by another process, which was waited for
            return False
        if reason:
            say(f"{step.name}: {reason}, done again")
        step.run.receipt(step.name).unlink(missing_ok=True)
        start = time.monotonic()
        notes = step.work(step.opened()) or {}
        _write_receipt(step, notes, notes.pop("earlier_seconds", 0.0) + time.monotonic() - start)
    return True


def why_not_current(step: Step[Any], *, full_check: bool = False) -> str | None:
    """None when the receipt holds, else the reason why not ("" when there is no receipt)."""
    step.settle()
    try:
        receipt = json.loads(step.run.receipt(step.name).read_text())
        outputs = {name: {key: found[key] for key in RECORDED} for name, found in receipt["outputs"].items()}
        same = {"version": receipt["version"], "reads": dict(receipt["reads"]), "settings": receipt["settings"]}
    except FileNotFoundError:
        return ""
    except (ValueError, KeyError, TypeError, AttributeError):  # edited by hand, or damaged by the disk
        return "its receipt is damaged"
    if same != step.identity:
        return _changed(same, step)
    quick = step.quick and not full_check
    return next(filter(None, (_output_fault(output, outputs, quick) for output in step.outputs.values())), None)


def read_notes(run: RunFolder, step_name: str) -> Notes:
    """Notes and seconds of a finished step. Raises FileNotFoundError when it never finished."""
    receipt = json.loads(run.receipt(step_name).read_text())
    return receipt["notes"] | {"seconds": receipt["seconds"]}


def receipt_reads(receipt: Path) -> dict[str, str]:
    """Digests of the inputs of a finished step, by name; empty when it never finished."""
    try:
        return dict(json.loads(receipt.read_text())["reads"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return {}


def _changed(recorded: dict[str, Any], step: Step[Any]) -> str:
    if recorded["version"] != step.version:
        return "this version of the program makes it differently"
    if recorded["settings"] != step.identity["settings"]:
        return "its settings changed"
    read = recorded["reads"]
    changed = [name for name in {**read, **step.digests} if read.get(name) != step.digests.get(name)]
    return f"what it reads changed ({', '.join(changed[:3])}{', ...' if len(changed) > 3 else ''})"


def _output_fault(output: Artifact, outputs: dict[str, Any], quick: bool) -> str:
    path, recorded = output.path, outputs.get(output.key)
    if recorded is None or not path.is_file():
        return f"{path.name} is missing"
    stat = path.stat()
    if stat.st_size != recorded["size_bytes"]:
        return f"{path.name} has another size than in its receipt"
    if quick and stat.st_mtime_ns == recorded["mtime_ns"]:
        return ""
    return "" if file_digest(path) == recorded["sha256"] else f"{path.name} is damaged"


def _write_receipt(step: Step[Any], notes: Notes, seconds: float) -> None:
    outputs = {}
    for output in step.outputs.values():
        stat = output.path.stat()
        digest = file_digest(output.path)
        outputs[output.key] = {"size_bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": digest}
    receipt = {"step": step.name, **step.identity, "outputs": outputs, "notes": notes, "seconds": round(seconds, 3)}
    write_json(step.run.receipt(step.name), receipt)
