"""The payload of a bias: by hand, within half a step, and everything else refused."""

import numpy as np
import pytest

from models.packed.bias_codec import decode_bias, encode_bias
from models.packed.byte_reader import PackedFileError
from models.packed.codecs import decode_tensor, encode_tensor
from models.packed.container import Entry, Header, check_payloads
from models.packed.precisions import Codec
from models.students.families import Network


def test_a_bias_of_zeros_by_hand():
    # no step, the smallest spread; every number 0 is the middle one of five codes: no bits but the two lowest
    payload = encode_bias(np.zeros(40, np.float32))
    assert payload[:3] == bytes([0, 0, 0])
    assert len(payload) <= 3 + 40 * 2 / 8 + 3
    assert decode_bias(payload, (40,)).tolist() == [0.0] * 40


@pytest.mark.parametrize("count", [1, 7, 300])
def test_values_are_within_half_a_step(count):
    bias = np.random.default_rng(count).normal(0, 3, count).astype(np.float32)
    payload = encode_bias(bias)
    found = decode_bias(payload, (count,))
    step = float(np.frombuffer(payload[:2], "<f2")[0])
    assert found.dtype == np.float32
    assert step == pytest.approx(np.abs(bias).max() / 511, rel=2**-10)
    assert np.abs(found - bias).max() <= 0.5 * step + 2**-10 * np.abs(bias).max()
    assert np.array_equal(found / np.float32(step), np.rint(found / np.float32(step)))
    assert encode_bias(found) == payload
    assert np.array_equal(decode_tensor(encode_tensor(bias, Codec.BIAS), Codec.BIAS, (count,)), found)
    assert count < 300 or len(payload) < 0.65 * 2 * count


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"", r"0 bytes for a bias \(4,\), expected 3 to 15"),
        (bytes(16), r"16 bytes for a bias \(4,\), expected 3 to 15"),
        (b"\x00\x7c\x00", r"a bias \(4,\) with the step inf"),
        (b"\x00\x7e\x00", r"a bias \(4,\) with the step nan"),
        (b"\x00\x80\x00", r"a bias \(4,\) with the step -0.0"),
        (b"\x00\xbc\x00", r"a bias \(4,\) with the step -1.0"),
        (bytes(3) + b"\0", "a stream begins with a zero byte"),
        (bytes(3) + b"\xff" * 12, "the stream is not that of its codes"),
    ],
)
def test_payloads_that_are_none(payload, message):
    with pytest.raises(PackedFileError, match=message):
        decode_bias(payload, (4,))


def test_weights_are_no_bias():
    with pytest.raises(PackedFileError, match=r"3 bytes for a bias \(2, 2\)"):
        decode_bias(bytes(3), (2, 2))
    header = Header(Network("plain", (1, 0)).architecture(2, 16), ("a", "b"), (1, 2, 3), (4, 5, 6))
    with pytest.raises(PackedFileError, match=r"conv1.weight \(1, 3, 3, 3\) is stored as a bias, expected one axis"):
        check_payloads(header, [Entry(Codec.BIAS, bytes(3))] * 16)


def test_values_that_are_none_cannot_be_stored():
    with pytest.raises(ValueError, match="1 of 2 weights are NaN"):
        encode_tensor(np.array([1, np.nan]), Codec.BIAS)
    with pytest.raises(ValueError, match="magnitude 1e"):
        encode_tensor(np.array([1, 1e6]), Codec.BIAS)
