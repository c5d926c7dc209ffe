"""The short form of an architecture, where it has one, and its name."""

from dataclasses import replace

import pytest

from models.students.architecture import Architecture
from models.students.families import STUDENTS, Network
from models.students.rows import Conv, numbered
from models.students.short_form import name_of, same_but_for_names, short_form
from models.teachers.reference_cnn import reference_architecture
from tests.models.compress.made_students import NETWORKS
from tests.models.packed.made_rows import irregular

EDGES = [
    *STUDENTS.values(),
    *NETWORKS,
    *(
        Network("grouped", (64, blocks, channels, hidden))
        for blocks in (1, 8)
        for channels in (0, 1, 32)
        for hidden in (0, 7)
    ),
    *(Network(family, (4, 1, 4)) for family in ("residual", "straight", "inverted", "shuffled", "squeezed", "tied")),
    *(Network("tied", (3, depth, 5)) for depth in (1, 2, 64)),
    *(Network("shortresnet", (3, depth, 5)) for depth in (1, 2, 64)),
    *(
        Network("straight", (1, 64, 1)),
        Network("squeezed", (1, 1, 1)),
        Network("dense", (1, 64)),
        Network("plain", (3, 1)),
    ),
]


@pytest.mark.parametrize("network", EDGES)
@pytest.mark.parametrize("image_size", [16, 48])
def test_every_family_is_recognised_by_its_rows(network, image_size):
    assert short_form(network.architecture(5, image_size)) == network


@pytest.mark.parametrize("network", NETWORKS)
def test_names_do_not_hide_a_family(network):
    architecture = network.architecture(5, 32)
    renamed = Architecture(numbered(architecture.rows), 32)
    assert renamed != architecture
    assert short_form(renamed) == network
    assert same_but_for_names(renamed, architecture)


def test_anything_else_has_none():
    plain = STUDENTS["reference-student"].architecture(11, 64)
    last = plain.rows[6]
    assert isinstance(last, Conv)
    for other in (replace(last, activation="relu6"), replace(last, norm=False), replace(last, kernel=5)):
        changed = Architecture((*plain.rows[:6], other, *plain.rows[7:]), 64)
        assert short_form(changed) is None
        assert not same_but_for_names(changed, plain)
    assert short_form(irregular()) is None
    assert short_form(reference_architecture(11, 64)) is None


def test_names():
    assert name_of(STUDENTS["reference-student"].architecture(11, 64)) == "reference-student"
    assert name_of(Network("squeezed", (32, 2, 108)).architecture(11, 64)) == "squeezed-32-2-108"
    assert name_of(irregular()) == "rows (14 layers)"
    assert name_of(reference_architecture(11, 64)) == "rows (7 layers)"


def test_another_image_size_is_another_network():
    network = Network("squeezed", (4, 1, 8))
    assert not same_but_for_names(network.architecture(3, 16), network.architecture(3, 32))
