"""Progressive resizing of the student: which images it sees, and the networks that cannot take it."""

from collections.abc import Callable
from typing import Any

import pytest
from torch import Tensor

from pipeline.data.augment import Batch
from pipeline.stages.student import training
from pipeline.training.losses import student_loss

RunCli = Callable[..., tuple[int, str, str]]
SMALL = ("data.image_size=32", "views.student_views=1", "distill.sizes=[16, 16, 32]")


@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        ("distill.final_phase.images=none", [16, 16, 32, 32, 32]),
        ("distill.final_phase.fraction=0.7", [16, 32, 32, 32, 32]),  # clean images are of full size
    ],
)
def test_the_epochs_go_through_the_sizes_and_low_bit_ones_have_the_last(
    smoke_copy, run_cli: RunCli, monkeypatch, phase, expected
):
    seen: list[int] = []

    def watched(logits_NC: Tensor, batch: Batch, **options: Any) -> Tensor:
        seen.append(batch.images_BCHW.shape[2])
        return student_loss(logits_NC, batch, **options)

    monkeypatch.setattr(training, "student_loss", watched)
    changes = (*SMALL, phase, "distill.final_phase.images=auto") if "fraction" in phase else (*SMALL, phase)
    argv = (*smoke_copy.argv, "--budget", "9000", "--set", "distill.network=auto", *changes)
    code, _, err = run_cli(argv, smoke_copy.root)
    assert code == 0, err
    steps = len(seen) // len(expected)
    assert seen == [size for size in expected for _ in range(steps)]


def test_a_network_with_a_head_for_one_size_is_refused(smoke_copy, run_cli: RunCli):
    code, _, err = run_cli((*smoke_copy.argv, "--set", *SMALL), smoke_copy.root)
    assert code == 2
    assert "distill.sizes: reference-student cannot take images of 16 pixels (classifier: " in err
    assert err.endswith("; set it to []\n")
