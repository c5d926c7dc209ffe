"""A run belongs to one contest, and labels to one protocol: what would spoil hours of training is refused first."""

import shutil
from dataclasses import replace

from models.packed.container import Entry, Header, write_container
from models.packed.header import default_classes
from models.packed.precisions import Codec
from models.students.families import STUDENTS
from pipeline.data.soft_labels import load_soft_labels, save_soft_labels


def test_the_name_alone_goes_on_with_the_recorded_contest(smoke_copy, run_cli):
    without_data = [word for word in smoke_copy.argv if word not in ("--data", str(smoke_copy.data))]
    code, out, err = run_cli([*without_data, "--name", "tiny"], smoke_copy.root)
    assert (code, err) == (0, "")
    assert "handwritten digits" not in out
    assert "done again" not in out


def test_another_contest_under_the_same_name_is_refused(smoke_copy, run_cli, tiny_contest):
    other = tiny_contest("other", seed=1)
    before = smoke_copy.receipts()
    argv = [str(other) if word == str(smoke_copy.data) else word for word in smoke_copy.argv]
    code, _, err = run_cli([*argv, "--name", "tiny"], smoke_copy.root)
    assert code == 2
    assert err == f"error: run tiny is of contest {smoke_copy.data}; give {other} another --name\n"
    assert smoke_copy.receipts() == before


def test_a_contest_that_moved_is_the_same_contest(smoke_copy, run_cli, tmp_path):
    moved = shutil.copytree(smoke_copy.data, tmp_path / "moved")  # copies times too
    argv = [str(moved) if word == str(smoke_copy.data) else word for word in smoke_copy.argv]
    code, out, err = run_cli([*argv, "--name", "tiny"], smoke_copy.root)
    assert (code, err) == (0, "")
    assert "prepare-decode: done before, skipped" in out


def test_soft_labels_of_teachers_trained_on_validation_are_refused(smoke_run, run_cli, tmp_path):
    labels = load_soft_labels(smoke_run.run.submission / "soft_labels.safetensors")
    save_soft_labels(tmp_path / "final.safetensors", replace(labels, final=True))
    code, _, err = run_cli([*smoke_run.argv, "--soft-labels", str(tmp_path / "final.safetensors")], tmp_path / "root")
    assert code == 2
    assert "made with --final, its teachers were trained on validation; give --final here too" in err
    assert not (tmp_path / "root" / "submissions").exists()


def test_verify_refuses_a_file_without_its_weights(run_cli, tmp_path):
    header = Header(STUDENTS["reference-student"].architecture(11, 64), default_classes(11), (1, 1, 1), (1, 1, 1))
    empty = write_container(header, [Entry(Codec.FP16, b"")] * 16)
    (tmp_path / "empty.bin").write_bytes(empty)
    code, _, err = run_cli(["verify", tmp_path / "empty.bin"], tmp_path)
    assert code == 2
    assert "damaged packed file: conv1.weight has 0 bytes, its shape (16, 3, 3, 3) needs 864" in err


def test_the_name_alone_goes_on_with_the_recorded_preset(smoke_copy, run_cli):
    code, out, err = run_cli(["--name", "tiny", *smoke_copy.argv[4:]], smoke_copy.root)
    assert smoke_copy.argv[:4] == ("--data", str(smoke_copy.data), "--preset", "smoke")
    assert (code, err) == (0, "")
    assert "preset smoke" in out
    assert "done again" not in out


def test_a_damaged_record_is_written_again(smoke_copy, run_cli):
    smoke_copy.run.request.write_text("{")
    code, out, err = run_cli([*smoke_copy.argv, "--name", "tiny"], smoke_copy.root)
    assert (code, err) == (0, "")
    assert "done again" not in out
