"""Tables of the entropy coder: the bytes that it saves, how well a size is expected, how long it takes."""

from pathlib import Path
from typing import Any

from measurements.doc_markers import link, markdown
from measurements.doc_records import MEASUREMENTS, measurement

NAME = "entropy-coding"


def entropy_coding(document: Path) -> str:
    """The committed students, coded by order 0 and by prediction, and with short scales and biases."""
    header = (
        "student",
        "order 0",
        "taps predicted, as committed",
        "with short scales and biases",
        "validation predictions unchanged",
        "KL",
    )
    rows = [_row(name, found) for name, found in measurement(NAME)["files"].items()]
    return f"{markdown(header, rows)}\n\nData and conditions: {link(document, MEASUREMENTS / f'{NAME}.json', NAME)}"


def expected_sizes(_: Path) -> str:
    """What a trained student's file takes, and what was expected before."""
    header = ("network", "student", "bytes on disk", "expected", "difference", "in the fit")
    rows = [
        (
            found["network"],
            found["student"],
            f"{found['packed_bytes']:,}",
            f"{found['predicted_bytes']:,}",
            f"{found['predicted_bytes'] / found['packed_bytes'] - 1:+.2%}",
            "yes" if found["fitted"] else "no",
        )
        for found in measurement(NAME)["sizes"]
    ]
    return markdown(header, rows)


def coder_seconds(_: Path) -> str:
    """Seconds for food11 before and after, other work beside it."""
    times = measurement(NAME)["times"]
    before, after = times["before"]["food11"], times["after"]["food11"]
    rows = [(key.removesuffix("_seconds"), f"{before[key]:.3f}", f"{after[key]:.3f}") for key in after]
    return markdown(("food11", "order 0, seconds", "now, seconds"), rows)


def _row(name: str, found: dict[str, Any]) -> tuple[str, ...]:
    before, short = found["former_coder_bytes"], found["short_scales"]
    kl = short["kl_to_the_ensemble"]
    return (
        name,
        f"{before:,}",
        _smaller(found["packed_bytes"], before),
        _smaller(found["short_scales_bytes"], before),
        f"{short['validation_answers_unchanged']:.2%}",
        f"{kl[1] - kl[0]:+.5f}",
    )


def _smaller(size_bytes: int, before_bytes: int) -> str:
    return f"{size_bytes:,} ({size_bytes / before_bytes - 1:+.1%})"
