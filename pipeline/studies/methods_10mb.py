"""One network of 40.7 MB to about 10 MB: pruning, low rank, quantisation and distillation."""

from pipeline.studies.engine.findings import Claim
from pipeline.studies.engine.methods import methods, study_of_methods
from pipeline.studies.engine.study import Cell, Options

CLAIMS = (
    Claim("min-max 8 bits lose about 2 points", "86 % against 88 %", "uint8", "fp32", "equal", 3.0),
    Claim("fp16 loses nothing", "almost no loss", "fp16", "fp32", "equal", 0.5),
    Claim("distillation beats pruning", "86.5 % against 85 %", "distilled", "pruned, anew"),
    Claim("pruned, then trained anew, beats fine-tuned", "80-85 %", "pruned, anew", "pruned, fine-tuned"),
)


def cells(options: Options) -> list[Cell]:
    """Each method as near to a quarter of the bytes as it comes."""
    return methods(options, size_bytes=10_000_000, keep=0.5, distilled="reference-cnn-20")


STUDY = study_of_methods(cells, CLAIMS)
