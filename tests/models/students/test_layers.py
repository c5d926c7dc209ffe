"""Layer tables: limits on what can be asked for, by arithmetic alone."""

import pytest

from models.students.families import STUDENTS


@pytest.mark.parametrize("classes", [0, 1, 65_536])
def test_impossible_class_counts_are_refused(classes):
    with pytest.raises(ValueError, match=f"number of classes {classes}, expected 2 to 65535"):
        STUDENTS["reference-student"].architecture(classes, 64)
