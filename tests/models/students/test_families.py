"""Families of student networks: their numbers in a file, and the integers that they permit."""

import pytest

from models.students.families import FAMILIES, Network, family_of_id


@pytest.mark.parametrize(
    ("family", "integers", "message"),
    [
        ("wide", (1,), "unknown network family 'wide', expected one of plain, grouped, studentnet"),
        ("plain", (16,), r"1 integers, expected 2 \(width, hidden\)"),
        ("plain", (0, 0), "width 0, expected 1 to 512"),
        ("plain", (513, 0), "width 513, expected 1 to 512"),
        ("plain", (16, -1), "hidden -1, expected 0 to 4096"),
        ("plain", (True, 0), "width True, expected a whole number"),
        ("grouped", (64, 9, 1, 0), "blocks_after_pool 9, expected 1 to 8"),
        ("studentnet", (2**60,), "expected 1 to 512"),
    ],
)
def test_impossible_networks_are_refused(family, integers, message):
    with pytest.raises(ValueError, match=message):
        Network(family, integers)


def test_family_numbers_are_those_in_existing_files():
    made = {"residual": 4, "straight": 5, "inverted": 6, "shuffled": 7, "squeezed": 8, "dense": 9, "tied": 10}
    made |= {"shortresnet": 11, "separable": 12}
    numbers = {name: family.id for name, family in FAMILIES.items()}
    assert numbers == {"plain": 1, "grouped": 2, "studentnet": 3} | made
    assert [family_of_id(number) for number in numbers.values()] == list(numbers)
    with pytest.raises(ValueError, match="unknown network family number 13"):
        family_of_id(13)
