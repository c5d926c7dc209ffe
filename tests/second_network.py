"""The networks of the second decoder, written from docs/file-format.md alone: numpy, nothing of models/.

`log_probs(decoded, images_NHWC)` gives the answers. It knows three families: plain without a hidden layer, squeezed,
and shortresnet. Rows are tuples, kind first.
"""

import itertools

import numpy as np


def conv(outputs, kernel=3, pool=False, activation="relu"):
    return ("conv", outputs, kernel, pool, activation)


def rows_of_shortresnet(width, depth, top, side):
    def silu(channels, pool=False):
        return [conv(channels, pool=pool, activation="none"), ("silu",)]

    rows, side = [("pixel_unshuffle",), *silu(width)], side // 2
    for stage, channels in enumerate((2 * width, 4 * width, top)):
        pool = side >= 8
        side = side // 2 if pool else side
        rows += silu(channels, pool) + [("sum", silu(channels) * 2)] * depth * (stage != 1)
    return [*rows, ("mean_max_pool",), ("flatten",)]


def rows_of(family, integers, side):
    width, depth, *top = integers
    if family == 1:
        assert depth == 0  # here the units of a hidden layer
        rows = [conv(width * times, pool=n in (1, 3, 5, 6)) for n, times in enumerate((1, 1, 2, 2, 4, 4, 4))]
        return [*rows, ("flatten",)]
    if family == 11:
        return rows_of_shortresnet(width, depth, *top, side)
    assert family == 8
    rows = [conv(width, pool=True)]
    for stage, channels in enumerate((width, 2 * width, *top)):
        gate = [("global_pool",), conv(max(1, channels // 4), 1), conv(channels, 1, activation="hard_sigmoid")]
        body = [conv(channels), conv(channels, activation="none"), ("squeeze", gate)]
        rows += [conv(channels, pool=True)] * (stage > 0) + [("residual", body)] * depth
    return [*rows, ("global_pool",), ("flatten",)]


def shapes(rows, channels, side):
    found = []
    for kind, *facts in rows:
        if kind == "conv":
            found += [(facts[0], channels, facts[1], facts[1]), (facts[0],)]
            channels, side = facts[0], side // 2 if facts[2] else side
        elif kind == "linear":
            found += [(facts[0], channels), (facts[0],)]
        elif kind in ("residual", "squeeze", "sum"):
            found += shapes(facts[0], channels, side)
        elif kind == "flatten":
            channels *= side**2
        elif kind == "pixel_unshuffle":
            channels, side = 4 * channels, side // 2
        elif kind != "silu":
            channels, side = channels * (1 + (kind == "mean_max_pool")), 1
    return found


def convolve(x, weight, bias):
    (count, _, height, width), kernel = x.shape, weight.shape[2]
    padded = np.pad(x, ((0, 0), (0, 0), (kernel // 2, kernel // 2), (kernel // 2, kernel // 2)))
    out = np.zeros((count, len(weight), height * width), np.float32)
    for dy, dx in itertools.product(range(kernel), repeat=2):
        out += weight[:, :, dy, dx] @ padded[:, :, dy : dy + height, dx : dx + width].reshape(count, x.shape[1], -1)
    return out.reshape(count, -1, height, width) + bias[:, None, None]


def unshuffled(x):
    squares = np.stack([x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)], 2)
    return squares.reshape(len(x), -1, *squares.shape[3:])


WITHOUT_WEIGHTS = {
    "silu": lambda x: x / (1 + np.exp(-x)),
    "pixel_unshuffle": unshuffled,
    "mean_max_pool": lambda x: np.concatenate([x.mean((2, 3)), x.max((2, 3))], 1)[..., None, None],
    "global_pool": lambda x: x.mean((2, 3), keepdims=True),
    "flatten": lambda x: x.reshape(len(x), -1),
}
BLOCKS = {"residual": lambda x, y: np.maximum(x + y, 0), "sum": lambda x, y: x + y, "squeeze": lambda x, y: x * y}


def run(rows, tensors, x):
    for kind, *facts in rows:
        if kind == "conv":
            x = convolve(x, next(tensors), next(tensors))
            if facts[2]:
                x = x.reshape(*x.shape[:2], x.shape[2] // 2, 2, x.shape[3] // 2, 2).max((3, 5))
            x = np.maximum(x, 0) if facts[3] == "relu" else x
            x = np.clip(x / 6 + 0.5, 0, 1) if facts[3] == "hard_sigmoid" else x
        elif kind == "linear":
            x = x @ next(tensors).T + next(tensors)
        elif kind in BLOCKS:
            x = BLOCKS[kind](x, run(facts[0], tensors, x))
        else:
            x = WITHOUT_WEIGHTS[kind](x)
    return x


def log_probs(decoded, images_NHWC):
    facts, rows, tensors = decoded
    mean, std = (np.array(facts[name], np.float32) for name in ("mean", "std"))
    images = ((images_NHWC - mean) / std).astype(np.float32).transpose(0, 3, 1, 2)
    answers = []
    for view in (images, images[..., ::-1])[: 1 + facts["tta_flip"]]:
        logits = run(rows, iter(tensors), view) / facts["temperature"]
        answers.append(logits - np.logaddexp.reduce(logits, 1, keepdims=True))
    return np.logaddexp.reduce(answers, 0) - np.log(len(answers))
