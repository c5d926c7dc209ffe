"""Min-max quantisation to 8 bits: values by hand, the error bound, and tensors without a range."""

import numpy as np
import pytest

from models.compress.minmax import (
    Quantised,
    cast_to_int8,
    dequantise,
    finite_float32,
    quantise_per_channel,
    quantise_per_tensor,
)

METHODS = [quantise_per_tensor, quantise_per_channel]


def error_bound(values: np.ndarray, quantised: Quantised) -> np.ndarray:
    scale = quantised.scale.astype(np.float64)
    scale = scale.reshape(scale.shape + (1,) * (values.ndim - scale.ndim))
    return scale / 2 + 2.0**-22 * np.abs(values).max(initial=0.0)


def test_per_tensor_by_hand():
    quantised = quantise_per_tensor(np.array([[-1.0, 0.0], [0.5, 254.0]], np.float32))
    assert quantised.minimum == -1.0
    assert quantised.scale == 1.0
    assert quantised.codes.tolist() == [[0, 1], [2, 255]]  # 1.5 rounds to even
    assert dequantise(quantised).tolist() == [[-1.0, 0.0], [1.0, 254.0]]


def test_per_channel_by_hand():
    quantised = quantise_per_channel(np.array([[0.0, 255.0], [-51.0, 0.0]], np.float32))
    assert quantised.minimum.tolist() == [0.0, -51.0]
    assert quantised.scale.dtype == np.float16
    assert quantised.scale.tolist() == [1.0, 0.2000732421875]  # 0.2 rounded up to float16
    assert quantised.codes.tolist() == [[0, 255], [0, 255]]
    assert dequantise(quantised)[0].tolist() == [0.0, 255.0]


def test_a_wide_channel_does_not_coarsen_its_neighbour():
    values = np.array([[0.0, 0.01], [-100.0, 100.0]], np.float32)
    assert abs(dequantise(quantise_per_channel(values))[0, 1] - 0.01) < 1e-5
    assert abs(dequantise(quantise_per_tensor(values))[0, 1] - 0.01) > 0.1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("magnitude", [1e-40, 1e-9, 1e-6, 1e-3, 1.0, 300.0, 60_000.0])
@pytest.mark.parametrize("offset", [0.0, 0.9, -3.0])
def test_error_is_at_most_half_a_step(method, magnitude, offset):
    noise = np.random.default_rng(7).uniform(-1, 1, (6, 5, 3, 3))
    values = np.clip((noise + offset) * magnitude, -65_504, 65_504).astype(np.float32)
    quantised = method(values)
    assert (np.abs(dequantise(quantised).astype(np.float64) - values) <= error_bound(values, quantised)).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("constant", [0.0, 0.1, -7e-9, 65_504.0, np.pi])
def test_a_constant_tensor_is_exact(method, constant):
    values = np.full((3, 2, 1, 1), constant, np.float32)
    assert np.array_equal(dequantise(method(values)), values)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(0,), (0, 4), (3, 0)])
def test_an_empty_tensor_stays_empty(method, shape):
    decoded = dequantise(method(np.zeros(shape, np.float32)))
    assert decoded.shape == shape
    assert decoded.dtype == np.float32


@pytest.mark.parametrize("method", [*METHODS, cast_to_int8, finite_float32])
@pytest.mark.parametrize(
    ("value", "message"),
    [(np.nan, "1 of 4 weights are NaN"), (np.inf, "1 of 4 weights are infinite"), (-np.inf, "are infinite")],
)
def test_non_finite_weights_are_refused(method, value, message):
    with pytest.raises(ValueError, match=message):
        method(np.array([[0.0, 1.0], [value, 2.0]]))


@pytest.mark.parametrize("method", METHODS)
def test_magnitudes_beyond_float16_are_refused(method):
    with pytest.raises(ValueError, match="magnitude 70000, expected at most 65504"):
        method(np.array([[0.0, -70_000.0]]))


def test_a_scalar_has_no_channels():
    with pytest.raises(ValueError, match="no output channels"):
        quantise_per_channel(np.float32(1.0))
    assert dequantise(quantise_per_tensor(np.float32(0.3))) == np.float32(0.3)


def test_the_bare_cast_collapses_a_network():
    weights = np.random.default_rng(0).uniform(-0.999, 0.999, (16, 3, 3, 3))
    assert not cast_to_int8(weights).any()
    assert cast_to_int8(np.array([1.9, -1.9, 500.0, -500.0])).tolist() == [1, -1, 127, -128]
