"""One student at every precision: bytes and accuracy of the decoded files."""

from pipeline.studies.engine.findings import Claim, findings
from pipeline.studies.engine.rows import rows_by_precision
from pipeline.studies.engine.study import Cell, Options, Study

PRECISIONS = ("fp32", "fp16", "uint8", "uint8-tensor", "int8-cast", "low-bit")
BITS = ("2", "3", "5", "6", "8")  # beside 4, which the first cell has
CLAIMS = (
    Claim("fp16 loses nothing", "almost no loss", "fp16", "fp32", "equal", 0.5),
    Claim("min-max 8 bits lose about a point", "about 1 %", "uint8-tensor", "fp32", "equal", 2.0),
    Claim("a bare cast collapses", "collapse", "int8-cast", "fp32", "less", 20.0),
    Claim("trained 4 bits about equal float weights", "not tried there", "low-bit", "fp32", "equal", 2.0),
)


def cells(options: Options) -> list[Cell]:
    """The reference's student at every precision, then low-bit files of other widths, nearest and GPTQ."""
    found = []
    for seed in range(options.seeds):
        common = {"distill.network": "reference-student", "distill.seed": seed, "distill.init_from": ""}
        found.append(Cell("student", common, seed, precisions=PRECISIONS))
        low = common | {"pack.precision": "low-bit"}
        found += [Cell(f"{bits} bits", low | {"quantise.bits": bits}, seed) for bits in BITS]
        for rounding in ("nearest", "gptq"):
            own = {"quantise.epochs": 0, "pack.rounding": rounding}
            found.append(Cell(f"4 bits, {rounding}, not trained", low | own, seed))
    return found


READING = "Up and left is better: more accuracy in fewer bytes. Float weights of 16 bits are the point to beat."
AXES = ("packed_bytes", "validation_accuracy")
STUDY = Study(cells, *AXES, READING, rows_by_precision, (), logarithmic=True, summary=findings(*CLAIMS))
