"""One network of 40.7 MB to about 1 MB: pruning, low rank, quantisation and distillation."""

from pipeline.studies.engine.findings import Claim
from pipeline.studies.engine.methods import methods, study_of_methods
from pipeline.studies.engine.study import Cell, Options

CLAIMS = (
    Claim(
        "nothing but distillation reaches 1 MB", "85 % against about 40 % at 4 MB", "distilled", "pruned, fine-tuned"
    ),
    Claim("soft labels beat hard ones", "85 % at 75 % soft", "distilled", "same, hard labels"),
    Claim("8 bits cost little on top", "84 % in 2.5 MB", "distilled, 8 bits", "distilled", "equal", 2.0),
    Claim("a tenth pruned costs little on top", "at most 10 %", "distilled, pruned, 8 bits", "distilled", "equal", 2.0),
)


def cells(options: Options) -> list[Cell]:
    """Each method as near to 1 MB as it comes."""
    return methods(options, size_bytes=1_000_000, keep=0.15, distilled="reference-plain-cnn")


STUDY = study_of_methods(cells, CLAIMS)
