"""Members side by side: how many, the same members as one after the other, and what happens when one fails."""

import hashlib
from pathlib import Path

import pytest

from pipeline.members_at_once import members_at_once


@pytest.mark.parametrize(
    ("cpu", "workers", "members", "expected"),
    [(True, 2, 8, 2), (True, 8, 3, 3), (True, 1, 4, 1), (True, 2, 0, 1), (False, 16, 8, 1)],
)
def test_how_many_work_at_once(cpu, workers, members, expected):
    assert members_at_once(cpu, workers, members) == expected


def digests(folder: Path) -> dict[str, str]:
    files = sorted(folder.glob("*/*.safetensors"))
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_side_by_side_they_become_what_they_become_in_turn(smoke_copy, run_cli):
    members = smoke_copy.run.folder / "members"
    in_turn = digests(members)
    assert len(in_turn) == 4
    before = smoke_copy.receipts()
    smoke_copy.forget(step for step in before if step.startswith(("teach-", "export-0")))
    for path in members.glob("*/*.safetensors"):
        path.unlink()
    code, _, err = run_cli((*smoke_copy.argv, "--set", "device.workers=2"), smoke_copy.root)
    assert code == 0, err
    assert digests(members) == in_turn
    redone = {"teach-00", "teach-01", "export-00", "export-01"}
    assert {name for name in smoke_copy.redone(before) if name.startswith(("teach", "export"))} == redone


def test_a_member_that_fails_beside_another_is_said_in_one_line(smoke_copy, run_cli):
    smoke_copy.forget(("teach-00", "teach-01"))
    wild = ("teach.learning_rate=1e30", "teach.optimizer=sgd", "device.workers=2")
    code, _, err = run_cli((*smoke_copy.argv, "--set", *wild), smoke_copy.root)
    assert code == 3
    assert err.count("\n") == 1
    assert "the loss is not finite: member " in err
