"""List: every run, study and submission with what it reached and the disk that it takes. No torch."""

from pathlib import Path
from typing import Any

from pipeline.runtime.console import table
from pipeline.runtime.errors import RequestError
from pipeline.runtime.folder import STORE, RunFolder, disk_bytes, readable_size, steps_used_by
from pipeline.runtime.records import Manifest, read_manifest
from pipeline.runtime.request import load_request

HEADER = ("name", "what", "protocol", "precision", "bytes", "validation", "agreement", "seconds", "disk")


def list_runs(root: Path) -> list[dict[str, Any]]:
    """A row per name in runs/ and submissions/, in order; what is not known of one is None.

    bytes: of the packed file; validation: accuracy; agreement: with the ensemble on test images, both fractions;
    seconds: of all stages; disk_bytes: of runs/NAME and of the steps of a study, which others may use too;
    submission_bytes: of submissions/NAME.
    """
    folders = (root / "runs", root / "submissions")
    found = [path for folder in folders if folder.is_dir() for path in folder.iterdir() if path.is_dir()]
    names = sorted({path.name for path in found if path.name != STORE})
    return [_row(RunFolder(root, name)) for name in names]


def list_lines(rows: list[dict[str, Any]]) -> list[str]:
    """The rows as a table."""
    if not rows:
        return ["no runs yet; ./run.sh starts one"]
    return table(HEADER, list(map(_cells, rows)), left=4)


def _row(run: RunFolder) -> dict[str, Any]:
    manifest = _manifest(run)
    claimed = [claim.value for claim in manifest.accuracy] if manifest else []
    seconds = manifest.stage_seconds if manifest else None
    return {
        "name": run.name,
        "what": _what(run, manifest),
        "protocol": manifest.protocol if manifest else None,
        "precision": manifest.precision if manifest else None,
        "bytes": manifest.packed_bytes if manifest else None,
        "validation": next(iter(claimed), None),
        "agreement": manifest.agreement.value if manifest else None,
        "seconds": sum(seconds.values()) if seconds else None,
        "disk_bytes": disk_bytes(run.folder) + sum(map(disk_bytes, steps_used_by(run.root, run.name))),
        "submission_bytes": disk_bytes(run.submission),
    }


def _manifest(run: RunFolder) -> Manifest | None:
    """The submission's manifest; None where there is none, or a damaged one."""
    try:
        return read_manifest(run.submission / "manifest.json")
    except (OSError, ValueError):
        return None


def _what(run: RunFolder, manifest: Manifest | None) -> str:
    try:
        study = load_request(run).study
    except RequestError:  # only its submission is here, or its record is damaged
        study = ""
    if study:
        return f"study {study}"
    if manifest:
        return "submission"
    if (run.submission / "manifest.json").exists():
        return "damaged manifest"
    if run.folder.is_dir():
        return "run, not delivered yet"
    return "study" if any(run.submission.glob("*.csv")) else "empty folder"


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["name"],
        row["what"],
        row["protocol"] or "-",
        row["precision"] or "-",
        _shown(row["bytes"], ","),
        _shown(row["validation"], ".2%"),
        _shown(row["agreement"], ".2%"),
        _shown(row["seconds"], ",.0f"),
        readable_size(row["disk_bytes"] + row["submission_bytes"]),
    )


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
