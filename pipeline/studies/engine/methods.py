"""The cells of the two studies that make one large network small, each method on its own and together."""

from collections.abc import Callable, Sequence

from pipeline.studies.engine.findings import Claim, findings
from pipeline.studies.engine.rows import rows_by_precision
from pipeline.studies.engine.study import Cell, Options, Study

ORIGINAL = "reference-cnn"  # 40.7 MB in float32
HARD = {"distill.alpha": 0.0, "distill.temperature": 1.0, "distill.init_from": ""}
PRECISIONS = ("fp32", "fp16", "uint8", "uint8-tensor", "int8-cast", "low-bit")
BUDGET_BYTES = 50_000_000  # nothing is refused: every method ends where it ends
MOST_PRUNED = 0.9  # of the filters that the reference would keep beside other methods


def methods(options: Options, *, size_bytes: int, keep: float, distilled: str) -> list[Cell]:
    """The original at every precision; pruned, low-rank and distilled networks of about `size_bytes` in float32.

    keep: share of the filters that pruning leaves; distilled: the network that learns the ensemble's soft labels.
    """
    original = HARD | {"distill.network": ORIGINAL, "quantise.epochs": 1}
    pruned = {"prune.keep": keep, "prune.rate": 0.8}
    smaller = {
        "pruned, fine-tuned": original | pruned | {"prune.retraining": "fine-tune"},
        "pruned, anew": original | pruned | {"prune.retraining": "reinitialise"},
        "low rank": original | {"factorise.form": "tucker", "factorise.size_bytes": size_bytes},
        "distilled": {"distill.network": distilled, "distill.init_from": ""},
        "same, hard labels": HARD | {"distill.network": distilled},
    }
    found = []
    for seed in range(options.seeds):
        own = {"distill.seed": seed, "pack.precision": "fp32"}
        found.append(Cell("original", original | own, seed, BUDGET_BYTES, precisions=PRECISIONS))
        found += [Cell(name, changes | own, seed, BUDGET_BYTES) for name, changes in smaller.items()]
        advised = smaller["distilled"] | own | {"pack.precision": "uint8"}
        found.append(Cell("distilled, 8 bits", advised, seed, BUDGET_BYTES))
        slim = {"prune.keep": MOST_PRUNED, "prune.rate": MOST_PRUNED}
        found.append(Cell("distilled, pruned, 8 bits", advised | slim, seed, BUDGET_BYTES))
    return found


def study_of_methods(cells: Callable[[Options], Sequence[Cell]], claims: Sequence[Claim]) -> Study:
    """How both studies are drawn and read."""
    return Study(
        cells=cells,
        x="packed_bytes",
        y="validation_accuracy",
        reading="Up and left is better: more accuracy in fewer bytes. "
        "Every point comes from the same network but for the distilled ones and the one beside them.",
        rows=rows_by_precision,
        budgets=(),
        summary=findings(*claims),
        logarithmic=True,
    )
