"""At full rank a factorised network computes what it did; ranks and parameter counts follow their formulas."""

import pytest
import torch

from models.compress import low_rank as low_rank_module
from models.compress.low_rank import low_rank, low_rank_rows, ranks_for, ranks_within, spectra
from models.packed.container import Header
from models.packed.header import default_classes
from models.packed.student_file import pack_student, unpack_student
from models.students.architecture import Architecture, parameter_count
from models.students.build import build_student
from models.students.families import Network
from models.students.rows import Conv, Linear, Operation
from tests.models.compress.made_students import trained_network

FORMS = ("spatial", "channel", "tucker")
NETWORKS = [Network("plain", (6, 20)), Network("squeezed", (6, 1, 14)), Network("tied", (6, 2, 14))]
NETWORKS += [Network("shortresnet", (6, 1, 14)), Network("inverted", (6, 1, 14)), Network("studentnet", (4,))]
CONV = Conv("conv", 3, 8, pool=True)
ROWS = (CONV, Operation("pool", "global_pool"), Operation("flat", "flatten"), Linear("head", 8, 5))
ARCHITECTURE = Architecture(ROWS, 16)


def network_with(architecture: Architecture, tensors: dict[str, torch.Tensor]) -> torch.nn.Module:
    network = build_student(architecture)
    network.load_state_dict(tensors)
    return network.eval()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.family)
def test_full_rank_reproduces_the_network(network: Network, form: low_rank_module.Form, monkeypatch):
    monkeypatch.setattr(low_rank_module, "_parameters", lambda row: -len(row.name))  # the longer names are smaller
    architecture, student = network.architecture(11, 32), trained_network(network).eval()
    found = spectra(architecture, student.state_dict(), form)
    smaller, tensors = low_rank(architecture, student.state_dict(), form, ranks_for(found, 1.0))
    assert len(list(tensors)) > len(student.state_dict())
    images_N3HW = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        expected_NC = student(images_N3HW)
        difference = (network_with(smaller, tensors)(images_N3HW) - expected_NC).abs().max()
    assert difference <= 1e-5 * expected_NC.abs().max()


def test_parameters_by_formula():
    """N M k k weights become (N + M) r k, M k k r + r N, or M s + s r k k + r N; each new layer has a bias."""
    rows = (Conv("conv", 20, 30, norm=False), *ROWS[1:3], Linear("head", 30, 5))
    stem = Conv("stem", 3, 20, norm=False)
    architecture = Architecture((stem, *rows), 16)
    rest = parameter_count(architecture) - (30 * 20 * 9 + 30)
    counts = {
        "spatial": (20 * 3 * 4 + 4) + (30 * 4 * 3 + 30),
        "channel": (20 * 9 * 4 + 4) + (30 * 4 + 30),
    }
    for form, count in counts.items():
        assert parameter_count(low_rank_rows(architecture, form, {"conv": (4,)})) == rest + count
    tucker = low_rank_rows(architecture, "tucker", {"conv": (5, 4)})  # of the outputs, of the inputs
    assert parameter_count(tucker) == rest + (20 * 4 + 4) + (4 * 9 * 5 + 5) + (30 * 5 + 30)


def test_the_ranks_keep_the_energy():
    values = torch.tensor([3.0, 2.0, 1.0])  # squares 9, 4, 1 of 14
    for energy, rank in ((1.0, 3), (13.5 / 14, 3), (13 / 14, 2), (9.5 / 14, 2), (9 / 14, 1), (0.0, 1)):
        assert ranks_for({"layer": (values,)}, energy) == {"layer": (rank,)}


def test_a_matrix_of_rank_one_is_found_again():
    tensors = build_student(ARCHITECTURE).state_dict()
    tensors["conv.weight"] = torch.einsum("o,i,k,l->oikl", *(torch.randn(n) for n in (8, 3, 3, 3)))
    for form in FORMS:
        found = spectra(ARCHITECTURE, tensors, form)
        ranks = ranks_for(found, 1 - 1e-9)["conv"]
        assert set(ranks) == {1}
        smaller, thin = low_rank(ARCHITECTURE, tensors, form, {"conv": ranks})
        images = torch.randn(2, 3, 16, 16)
        expected = network_with(ARCHITECTURE, tensors)(images)
        torch.testing.assert_close(network_with(smaller, thin)(images), expected, atol=1e-5, rtol=1e-5)


def test_a_layer_that_would_grow_stays():
    assert low_rank_rows(ARCHITECTURE, "channel", {"conv": (8,), "head": (5,)}) == ARCHITECTURE


def test_the_ranks_are_the_largest_within_the_parameters():
    network = Network("plain", (8, 24))
    architecture, tensors = network.architecture(11, 32), trained_network(network).state_dict()
    found = spectra(architecture, tensors, "channel")
    whole = parameter_count(architecture)
    wanted = whole // 2
    ranks = ranks_within(architecture, found, "channel", parameter_count, wanted)
    assert 0.97 * wanted < parameter_count(low_rank_rows(architecture, "channel", ranks)) <= wanted
    with pytest.raises(ValueError, match=r"^found 10, expected at least [\d,]+, which rank 1 in every layer leaves$"):
        ranks_within(architecture, found, "channel", parameter_count, 10)


@pytest.mark.parametrize("form", FORMS)
def test_a_factorised_network_travels_in_a_file(form: low_rank_module.Form):
    network = Network("squeezed", (8, 1, 24))
    architecture, student = network.architecture(11, 32), trained_network(network).eval()
    ranks = ranks_for(spectra(architecture, student.state_dict(), form), 0.6)
    smaller, tensors = low_rank(architecture, student.state_dict(), form, ranks)
    thin = network_with(smaller, tensors)
    header = Header(smaller, default_classes(11), (120, 110, 90), (60, 60, 60))
    data = pack_student(thin, header, "fp32")
    images_N3HW = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(unpack_student(data).module(images_N3HW), thin(images_N3HW), atol=1e-4, rtol=1e-4)
    assert len(data) < len(pack_student(student, Header(architecture, *header_facts(header)), "fp32"))


def header_facts(header: Header) -> tuple[tuple[str, ...], tuple[int, int, int], tuple[int, int, int]]:
    return header.classes, header.mean, header.std
