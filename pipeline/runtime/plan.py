"""The plan of a run that was asked for in minutes: a rung of the ladder, an image size, and what they are to take."""

from pipeline.runtime.records import Record
from pipeline.runtime.section import Section


class Rung(Section):
    """What a plan trains: a row of the table in pipeline/stages/planning/ladder.py."""

    members: int  # 0: the soft labels are given
    member_epochs: int
    teacher_views: int
    student_views: int
    student_epochs: int  # with float weights
    low_bit_epochs: int


class PlannedSeconds(Section):
    """What each part of a run is predicted to take, in seconds."""

    prepare: float  # decoding and views
    members: float
    labels: float  # the members' predictions for the student's views
    student: float  # with float and with low-bit weights
    packing: float  # and measuring and delivering
    safety: float

    @property
    def total(self) -> float:
        """Seconds of the whole run, the safety margin included."""
        return self.prepare + self.members + self.labels + self.student + self.packing + self.safety


class Plan(Record):
    """A plan as it was made, in the request of its run. The run's settings follow from it and from --set."""

    rung: Rung
    image_size: int  # pixels
    seconds: PlannedSeconds
