"""Settings of a contest: how its files are read, where they can be read in more than one way."""

from typing import Literal

from pydantic import model_validator

from pipeline.runtime.section import Section, setting
from pipeline.runtime.training_settings import Seed


class DataSettings(Section):
    """How the images, labels and answers of the contest are read."""

    # a multiple of 16, because the students pool four times
    image_size: int = setting(
        64,
        'side of the square images; "auto", of a run: at most the short side of its images',
        "pixels",
        ge=16,
        le=1024,
        multiple_of=16,
    )
    validation_fraction: float = setting(
        0.2,
        "stratified share of training held out, where the contest has no validation split",
        "fraction",
        gt=0,
        le=0.5,
    )
    test_fraction: float = setting(
        0.0,
        "stratified share of the labelled images held out as test images, of a contest without any; nothing learns "
        "from their labels, and the packed file is measured on them",
        "fraction",
        ge=0,
        le=0.5,
    )
    seed: Seed = setting(0, "seed of those splits, of the members' folds and of cross-validated ensemble weights")
    training_folder: str = setting("", "folder of the training images; empty: found by its name")
    validation_folder: str = setting("", "folder of the validation images; empty: found by its name")
    test_folder: str = setting("", "folder of the test images; empty: found by its name")
    labels_from: str = setting(
        "",
        'where the labels stand: "folders", "names" or the path of a table; empty: found by the rules of the layouts',
    )
    image_column: str = setting("", "column of the table that names the images; empty: the one whose cells do")
    label_column: str = setting("", "column of the table that holds the class; empty: found by the rules of tables")
    class_folders: Literal["", "outer", "inner"] = setting(
        "", "of two levels of class folders, the one that is the class; empty: where there are two, a run asks"
    )
    sample: str = setting("", 'the sample submission: its path, or "none"; empty: found by its name')
    answer: Literal["", "class", "probability"] = setting(
        "", "what the second column of the CSV holds; empty: as the sample shows, where it can mean one thing only"
    )
    positive: str = setting("", "the class whose probability is asked for, of a contest of two")
    class_order: tuple[str, ...] = setting(
        (), 'the classes in the order of their numbers in the CSV, from 0; or "name=number" of each; or "names"'
    )
    broken: Literal["refuse", "skip"] = setting("refuse", "training images that cannot be decoded")
    missing: Literal["refuse", "skip"] = setting("refuse", "lines of the training table without an image")
    unlisted: Literal["refuse", "ignore"] = setting("refuse", "images beside the labelled ones without a line")
    zip_encoding: str = setting("", "encoding of a zip's file names, such as gbk, where they are not UTF-8")

    @model_validator(mode="after")
    def _answers_fit_together(self) -> "DataSettings":
        if self.positive and self.answer == "class":
            raise ValueError('positive: the answer is "class", which has no positive one')
        if self.class_order and self.answer == "probability":
            raise ValueError('class_order: the answer is "probability", which has no order')
        return self
