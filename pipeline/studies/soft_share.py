"""Soft labels, hard labels and their mix; how much data, dropout and augmentation they need."""

from pipeline.studies.engine.findings import Claim, findings
from pipeline.studies.engine.step_rows import training_rows
from pipeline.studies.engine.study import Cell, Options, Study

NETWORK = {"distill.network": "reference-plain-cnn", "distill.init_from": "", "distill.final_phase.images": "none"}
BARE = {"distill.dropout": 0.0, "views.student_views": 1, "distill.augment.flip": False, "distill.augment.shift": 0}
ALPHAS, SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0), (0.25, 0.5, 1.0)
TESTS_ALONE = {"distill.training_share": 0.0}
CLAIMS = (
    Claim("soft and hard labels beat hard ones", "86.5 % against 84 %", "alpha 0.8", "alpha 0.0"),
    Claim("soft and hard labels beat soft ones", "best at 80 % soft", "alpha 0.8", "alpha 1.0"),
    Claim("bare soft labels beat bare hard ones by 10 points", "more than 10", "bare soft", "bare hard", margin=10.0),
    Claim("dropout and augmentation help soft labels", "clearly better", "alpha 1.0", "bare soft"),
    Claim("the test images alone teach little", "50 % on unseen", "tests alone, bare", "alpha 1.0", "less", 10.0),
)


def cells(options: Options) -> list[Cell]:
    """Every share of soft labels; bare ones, fewer images, and test images in, out and alone."""
    changes = {f"alpha {alpha}": {"distill.alpha": alpha} for alpha in ALPHAS}
    changes |= {"bare soft": BARE | {"distill.alpha": 1.0}, "bare hard": BARE | {"distill.alpha": 0.0}}
    for share in SHARES[:-1]:
        changes[f"{share:.0%} of the images"] = {"distill.alpha": 1.0, "distill.training_share": share}
    changes |= {"no tests": {"distill.alpha": 1.0}, "no tests, hard": {"distill.alpha": 0.0}}
    changes |= {"tests alone": TESTS_ALONE, "tests alone, bare": TESTS_ALONE | BARE}
    return [
        Cell(name, NETWORK | own | {"distill.seed": seed}, seed, inductive=name.startswith("no tests"))
        for seed in range(options.seeds)
        for name, own in changes.items()
    ]


READING = "Up and right is better, on unseen and on test images. What is trained on test images agrees there by heart."
AXES = ("testing_agreement", "validation_accuracy")
STUDY = Study(cells, *AXES, READING, training_rows, (), summary=findings(*CLAIMS))
