"""What was found in a contest, a line each: so that a wrong reading is seen before hours are spent on it."""

from collections import Counter

from pipeline.contest.contest import Contest
from pipeline.contest.submission_format import SubmissionFormat

MOST_CLASSES = 12  # that are named with their counts


def found_lines(contest: Contest) -> list[str]:
    """Layout, splits, classes, the form of the CSV, and what else is worth a look."""
    counts = {split: len(records) for split, records in contest.splits.items()}
    tests = f"{counts['testing']:,} test images" if counts["testing"] else "no test images"
    lines = [
        f"contest {contest.name}: labels from {contest.labels_from}; {counts['training']:,} training, "
        f"{counts['validation']:,} validation and {tests}",
        _classes_line(contest),
        csv_line(contest.submission, has_sample=contest.has_sample),
    ]
    return lines + [f"note: {note}" for note in contest.notes]


def csv_line(submission: SubmissionFormat, *, has_sample: bool) -> str:
    """The header of the CSV, what its cells hold, and how its first line begins."""
    if not submission.ids:
        return "CSV: none, as there are no test images; the run is inductive and delivers student.bin"
    source = "" if has_sample else " (no sample submission, so it is this program's)"
    header, classes = submission.separator.join(submission.header), submission.labels
    if not submission.columns:
        answer = f"a class, such as {classes[0]}"
    elif len(submission.columns) == len(classes):
        answer = f"the probabilities of {len(classes)} classes"
    else:
        answer = f"the probability of class {classes[submission.columns[0]]}"
    shown = header if len(header) <= 80 else f"{header[:80]}..."
    return f"CSV: header {shown}{source}; first line {submission.ids[0]} with {answer}"


def class_counts(contest: Contest) -> dict[str, int]:
    """Labelled images of each class, in the order of the classes."""
    found = Counter(record.label for split in ("training", "validation") for record in contest.splits[split])
    return {name: found[index] for index, name in enumerate(contest.classes)}


def _classes_line(contest: Contest) -> str:
    counts = class_counts(contest)
    shown = [f"{name[:24]} {count:,}" for name, count in list(counts.items())[:MOST_CLASSES]]
    more = f", ... (fewest {min(counts.values()):,}, most {max(counts.values()):,})" if len(counts) > len(shown) else ""
    return f"classes: {len(counts)}, with labelled images: {', '.join(shown)}{more}"
