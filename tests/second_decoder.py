"""A second decoder of packed files, written from docs/file-format.md alone: numpy, nothing of models/.

`decode(data)` gives the header's facts, the rows and the tensors; `tests.second_network` answers with them.
"""

import functools
import itertools
import zlib
from bisect import bisect_right
from math import erf, isqrt, prod

import numpy as np

from tests.second_network import rows_of, shapes

EVEN, QUARTERS = (0, 32768, 65536), (0, 16384, 32768, 49152, 65536)
# The share below i / 16 standard deviations; none lies nearer than 0.006 to the middle between two whole numbers.
BELOW = [round(65536 * (0.5 + 0.5 * erf(i / 16 / 2**0.5))) for i in range(71)]


def take(data, length):
    return bytes(itertools.islice(data, length))


def varint(data):
    low = next(data)
    return low if low < 128 else low - 128 + 128 * varint(data)


def small(byte):
    return 16 + byte % 16 << byte // 16


class Stream:
    """rANS, a symbol at a time; a table is the slots where its symbols start, and 65536."""

    def __init__(self, data):
        self.data, self.state = list(reversed(bytes(data))), 0

    def symbol(self, table):
        while self.state < 2**24 and self.data:
            self.state = self.state * 256 + self.data.pop()
        slot = self.state % 65536
        symbol = bisect_right(table, slot) - 1
        self.state = (table[symbol + 1] - table[symbol]) * (self.state // 65536) + slot - table[symbol]
        return symbol

    def check_end(self):
        assert (self.state, self.data) == (0, [])


@functools.cache
def normal(mean, spread, lowest, levels):
    table = [0]
    for place in range(1, levels):
        z = ((2 * (lowest + place) - 1) * 64 - mean * 16) * 1024 // spread
        at, part = divmod(min(abs(z), 70 * 64), 64)
        share = BELOW[at] + ((BELOW[at + 1] - BELOW[at]) * part // 64 if at < 70 else 0)
        table.append(((65536 - share if z < 0 else share) * (65536 - levels) >> 16) + place)
    return [*table, 65536]


def ten_bits(stream, count, spread):
    high = [stream.symbol(normal(-3, small(spread), -128, 256)) - 128 for _ in range(count)]
    return np.array([4 * one + stream.symbol(QUARTERS) for one in high])


def scaled(weights):
    parts = [max(weight, 1) for weight in weights]
    whole, fits, exceeds = 256 * sum(parts), 0, 2**25
    while exceeds - fits > 1:
        middle = (fits + exceeds) // 2
        fit = sum(max(part * middle // whole, 1) for part in parts) <= 65536
        fits, exceeds = (middle, exceeds) if fit else (fits, middle)
    shares = [max(part * fits // whole, 1) for part in parts]
    for place in sorted(range(len(parts)), key=lambda place: -parts[place])[: 65536 - sum(shares)]:
        shares[place] += 1
    return [0, *itertools.accumulate(shares)]


def order_zero(data, levels):
    lowest, highest = -(levels // 2) + next(data), (levels - 1) // 2 - next(data)
    codes = range(lowest, highest + 1)
    if len(codes) == 1:
        return lowest, [0, 65536]
    if next(data) == 1:
        return lowest, scaled(list(map(small, take(data, len(codes)))))
    centre, fall, bend = map(small, take(data, 3))
    weights, ratio = [2**24 * centre // 1024, 2**24], (2**20 - fall) * 2**20
    for _ in range(max(map(abs, codes)) - 1):
        weights.append(weights[-1] * ratio // 2**40)
        ratio = ratio * (2**20 - bend) // 2**20
    return lowest, scaled([weights[abs(code)] for code in codes])


def predictor(stream, taps, first, weight_spread):
    side = isqrt(taps) if isqrt(taps) ** 2 == taps else taps
    weights, spreads = np.zeros((taps, taps), int), [first] * taps
    for k in range(taps):
        for back, usual, there in ((1, 15, k % side), (side, 15, k >= side), (side + 1, -6, k % side and k >= side)):
            if there:
                weights[k, k - back] = usual
    for k, j in zip(*np.tril_indices(taps, -1), strict=True):
        weights[k, j] += stream.symbol(normal(0, small(weight_spread), -128, 256)) - 128
    for k in range(1, taps):
        spreads[k] += stream.symbol(normal(-32, 384, -128, 256)) - 128
    return weights, list(map(small, spreads))


def predicted(stream, shape, levels, taps, side):
    weights, spreads = predictor(stream, taps, *side)
    lowest, columns = -(levels // 2), prod(shape[1:]) // taps
    codes, sums, count = np.zeros((prod(shape) // taps, taps), int), np.zeros(columns, int), 64
    for k, spread in enumerate(spreads):
        roots = [isqrt((distance + 64 * 4096) // count) for distance in sums.tolist()]
        factors = [min(max((root + 2) // 4, 1), 256) for root in roots]
        means = np.clip(codes[:, :k] @ weights[k, :k] + 2 >> 2, 8 * lowest, 8 * (lowest + levels - 1))
        for n, mean in enumerate(means.tolist()):
            own = max(spread * factors[n % columns] // 16, 1)
            codes[n, k] = lowest + stream.symbol(normal(mean, own, lowest, levels))
        distances = np.minimum(np.abs(8 * codes[:, k] - means) * 1024 // spread, 512)
        sums += (distances**2).reshape(-1, columns).sum(0)
        count += len(codes) // columns
    return codes.reshape(shape)


def low_bit(payload, shape):
    data = iter(payload)
    levels, form = next(data) + 1, next(data)
    taps, short = form >> 1, form & 1
    model = (next(data), next(data) if taps > 1 else 0) if taps else order_zero(data, levels)
    scales = (next(data), next(data)) if short else np.frombuffer(take(data, 2 * shape[0]), "<f2")
    stream = Stream(data)
    if taps:
        codes = predicted(stream, shape, levels, taps, model)
    else:
        codes = np.reshape([model[0] + stream.symbol(model[1]) for _ in range(prod(shape))], shape)
    if short:
        numbers = ten_bits(stream, shape[0], scales[1])
        steps = np.where(numbers == -512, 0, numbers + 32 * (scales[0] & 127))
        signs = [stream.symbol(EVEN) for _ in steps] if scales[0] & 128 else 0 * steps
        scales = (steps * 8 + 32768 * np.array(signs)).astype(np.uint16).view(np.float16)
    stream.check_end()
    return codes.astype(np.float32) * scales.astype(np.float32).reshape(-1, *[1] * (len(shape) - 1))


def tensor(codec, payload, shape):
    if codec == 5:
        return low_bit(payload, shape)
    if codec == 6:
        stream = Stream(payload[3:])
        numbers = ten_bits(stream, prod(shape), payload[2])
        stream.check_end()
        return (numbers.astype(np.float32) * np.frombuffer(payload[:2], "<f2").astype(np.float32)).reshape(shape)
    if codec == 2:
        minimum, scale = np.frombuffer(payload, "<f4", shape[0]), np.frombuffer(payload, "<f2", shape[0], 4 * shape[0])
        codes = np.frombuffer(payload, np.uint8, offset=6 * shape[0]).reshape(shape[0], -1).astype(np.float32)
        return (codes * scale.astype(np.float32)[:, None] + minimum[:, None]).reshape(shape)
    return np.frombuffer(payload, ("<f4", "<f2")[codec]).astype(np.float32).reshape(shape)


def decode(file: bytes):
    """The header's facts, the rows, and the tensors: a weight and a bias for each layer, in order."""
    assert (file[:5], zlib.crc32(file[:-4])) == (b"\x89FIT\x02", int.from_bytes(file[-4:], "little"))
    data = iter(file[5:-4])
    family = varint(data)
    integers = [varint(data) for _ in range(2 if family == 1 else 3)]
    size, classes, flags = varint(data), varint(data), next(data)
    rows = [*rows_of(family, integers, size), ("linear", classes)]
    facts = {"names": [take(data, varint(data)).decode() if flags & 4 else str(n) for n in range(classes)]}
    facts |= {"mean": list(take(data, 3)), "std": list(take(data, 3)), "tta_flip": bool(flags & 8), "temperature": 1.0}
    if flags & 16:
        assert list(take(data, 3)) == [1, 1, 2]  # one field, a temperature, two bytes
        facts["temperature"] = int.from_bytes(take(data, 2), "little") / 256
    tensors = [tensor(next(data), take(data, varint(data)), shape) for shape in shapes(rows, 3, size)]
    assert not list(data)
    return facts, rows, tensors
