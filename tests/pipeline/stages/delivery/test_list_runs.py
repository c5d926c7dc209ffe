"""The list of runs and submissions, and what `clean` frees."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

RunCli = Callable[..., tuple[int, str, str]]


def test_a_run_and_a_submission_alone(smoke_copy, run_cli: RunCli):
    root, manifest = smoke_copy.root, json.loads((smoke_copy.run.submission / "manifest.json").read_text())
    shutil.copytree(smoke_copy.run.submission, root / "submissions" / "elsewhere")
    (root / "runs" / "begun").mkdir()
    code, out, err = run_cli(["list", "--json"], root)
    assert (code, err) == (0, "")
    rows = {row.pop("name"): row for row in json.loads(out)}
    reached = {
        "what": "submission",
        "protocol": "transductive",
        "precision": "fp16",
        "bytes": manifest["packed_bytes"],
        "validation": manifest["accuracy"][0]["value"],
        "agreement": manifest["agreement"]["value"],
        "seconds": sum(manifest["stage_seconds"].values()),
    }
    disk = sum(path.stat().st_size for path in smoke_copy.run.folder.rglob("*") if path.is_file())
    delivered = sum(path.stat().st_size for path in smoke_copy.run.submission.iterdir())
    unknown = dict.fromkeys(reached, None)
    assert rows == {
        "begun": unknown | {"what": "run, not delivered yet", "disk_bytes": 0, "submission_bytes": 0},
        "elsewhere": reached | {"disk_bytes": 0, "submission_bytes": delivered},
        "tiny": reached | {"disk_bytes": disk, "submission_bytes": delivered},
    }


def test_the_table(smoke_copy, run_cli: RunCli):
    manifest = json.loads((smoke_copy.run.submission / "manifest.json").read_text())
    code, out, _ = run_cli(["list"], smoke_copy.root)
    assert code == 0
    header, row = out.splitlines()
    columns = ["name", "what", "protocol", "precision", "bytes", "validation", "agreement", "seconds", "disk"]
    assert header.split() == columns
    shares = [f"{manifest['accuracy'][0]['value']:.2%}", f"{manifest['agreement']['value']:.2%}"]
    seconds = f"{sum(manifest['stage_seconds'].values()):,.0f}"
    shown = ["tiny", "submission", "transductive", "fp16", f"{manifest['packed_bytes']:,}", *shares, seconds]
    assert row.split()[:8] == shown
    assert row.endswith(" MB")


def test_a_study_and_damaged_records(smoke_copy, run_cli: RunCli):
    request = json.loads(smoke_copy.run.request.read_text())
    smoke_copy.run.request.write_text(json.dumps(request | {"study": "frontier"}))
    (smoke_copy.run.submission / "manifest.json").write_text("{")
    for name in ("tables", "empty", "bad"):
        (smoke_copy.root / "submissions" / name).mkdir()
    (smoke_copy.root / "submissions" / "tables" / "frontier.csv").write_text("cell\n")
    (smoke_copy.root / "submissions" / "bad" / "manifest.json").write_text("{")
    rows = json.loads(run_cli(["list", "--json"], smoke_copy.root)[1])
    assert [(row["name"], row["what"], row["bytes"]) for row in rows] == [
        ("bad", "damaged manifest", None),
        ("empty", "empty folder", None),
        ("tables", "study", None),
        ("tiny", "study frontier", None),
    ]


def test_no_runs_yet(run_cli: RunCli, tmp_path: Path):
    assert run_cli(["list"], tmp_path) == (0, "no runs yet; ./run.sh starts one\n", "")


def test_clean_frees_the_run_and_keeps_the_submission(smoke_copy, run_cli: RunCli):
    delivered = sorted(smoke_copy.run.submission.iterdir())
    code, out, err = run_cli(["clean", "--name", "tiny"], smoke_copy.root)
    assert (code, err) == (0, "")
    assert not smoke_copy.run.folder.exists()
    assert sorted(smoke_copy.run.submission.iterdir()) == delivered
    first, second = out.splitlines()
    assert first.startswith(f"deleted {smoke_copy.run.folder}: ")
    assert first.endswith(" MB freed")
    assert second == f"{smoke_copy.run.submission} stays"


def test_clean_of_a_run_that_delivered_nothing(smoke_copy, run_cli: RunCli):
    shutil.rmtree(smoke_copy.run.submission)
    out = run_cli(["clean", "--name", "tiny"], smoke_copy.root)[1]
    assert out.splitlines()[1] == "nothing of it was delivered, so nothing is left"


def test_clean_leaves_a_run_that_is_going_on(smoke_copy, run_cli: RunCli):
    with smoke_copy.run.locked(""):
        code, out, err = run_cli(["clean", "--name", "tiny"], smoke_copy.root)
    assert (code, out, err) == (2, "", "error: run tiny is going on in another process; end it first\n")
    assert smoke_copy.artifacts.member(0).path.exists()


@pytest.mark.parametrize("step", ["teach-00", "distill"])
def test_clean_leaves_a_single_stage_that_is_going_on(smoke_copy, run_cli: RunCli, step: str):
    with smoke_copy.run.step_locked(step):
        code, _, err = run_cli(["clean", "--name", "tiny"], smoke_copy.root)
    assert (code, err) == (2, "error: run tiny is going on in another process; end it first\n")
    assert smoke_copy.artifacts.member(0).path.exists()


def test_clean_follows_no_link(smoke_copy, run_cli: RunCli):
    smoke_copy.run.folder.with_name("other").symlink_to(smoke_copy.run.folder)
    code, _, err = run_cli(["clean", "--name", "other"], smoke_copy.root)
    assert code == 2
    assert err.endswith("other is a link; delete it and what it points to yourself\n")
    assert smoke_copy.artifacts.member(0).path.exists()


def test_clean_of_a_submission_alone(smoke_copy, run_cli: RunCli):
    shutil.rmtree(smoke_copy.run.folder)
    code, _, err = run_cli(["clean", "--name", "tiny"], smoke_copy.root)
    assert code == 2
    assert f"--name tiny: has nothing in runs/; {smoke_copy.run.submission} stays" in err
