"""The choice of arithmetic: by hand-made timings, and once by a real trial."""

from collections.abc import Callable

import pytest
import torch

from pipeline.training.arithmetic import BFLOAT16, CHOICES, FLOAT32, PRODUCTS, alternate, choose_arithmetic
from pipeline.training.arithmetic import measure_arithmetic as measure


@pytest.mark.parametrize(
    ("float32", "bfloat16", "products", "expected"),
    [
        (100, 300, 400, ("bfloat16", True)),  # AMX
        (100, 300, 314, ("bfloat16", False)),  # products gain less than 5 %
        (100, 115, 90, ("bfloat16", False)),
        (100, 114, 90, ("float32", False)),  # noise
        (100, 100, 114, ("float32", False)),  # products gain less than 15 % over float32
        (100, 100, 115, ("bfloat16", True)),
        (100, 10, 12, ("float32", False)),  # no bf16 instructions
        (100, 10, 114, ("float32", False)),
    ],
)
def test_float32_and_convolutions_are_kept_unless_the_other_is_clearly_faster(float32, bfloat16, products, expected):
    rates = {FLOAT32: float32, BFLOAT16: bfloat16, PRODUCTS: products}
    chosen = choose_arithmetic("Slide Rule 3000", rates)
    assert (chosen.dtype, chosen.conv_as_matmul) == expected
    assert (chosen.cpu, chosen.images_per_second) == ("Slide Rule 3000", rates)


def test_the_figures_are_one_line():
    figures = choose_arithmetic("x", {FLOAT32: 1043.26, BFLOAT16: 100.04, PRODUCTS: 75.0}).figures
    expected = "float32 1,043, bfloat16 100, bfloat16 with matrix products 75"
    assert figures == f"images per second in a trial: {expected}"


class Clock:
    """A clock that only works move."""

    def __init__(self) -> None:
        self.now, self.done = 0.0, ""

    def work(self, name: str, *seconds: float) -> Callable[[], None]:
        """A work that takes so long, in turn."""
        left = list(seconds)

        def carry_out() -> None:
            self.now += left.pop(0)
            self.done += name

        return carry_out


def test_works_take_turns_and_the_median_leaves_the_first_round_out():
    clock = Clock()
    works = {"a": clock.work("a", 9, 1, 2, 30, 2, 3), "b": clock.work("b", 5, 4, 4, 4, 7, 1)}
    assert alternate(works, lambda: clock.now) == {"a": 2, "b": 4}
    assert clock.done == "ab" * 6


def test_a_hopelessly_slow_work_is_done_once():
    clock = Clock()
    works = {"a": clock.work("a", 1, *[2] * 5), "b": clock.work("b", 4, *[3] * 5), "c": clock.work("c", 4.1)}
    assert alternate(works, lambda: clock.now) == {"a": 2, "b": 3, "c": 4.1}
    assert clock.done == "abc" + "ab" * 5


def test_a_trial_of_this_cpu():
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    found = measure("this one")
    assert set(found.images_per_second) == set(CHOICES)
    assert min(found.images_per_second.values()) > 0
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


def test_the_choices_are_what_their_names_say():
    found = {name: (device.dtype, device.conv_as_matmul) for name, device in CHOICES.items()}
    assert found == {
        "float32": (torch.float32, False),
        "bfloat16": (torch.bfloat16, False),
        "bfloat16 with matrix products": (torch.bfloat16, True),
    }
