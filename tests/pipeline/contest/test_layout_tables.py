"""Layout 3, Kaggle's tables: what is read and what is refused."""

from pathlib import Path

import pytest

from pipeline.contest.open_source import open_source
from pipeline.contest.testing_alone import read_testing
from pipeline.runtime.data_settings import DataSettings
from tests.pipeline.contest.made_contests import TABLE, TEST_IMAGES, TRAIN_IMAGES, labels, make, read, refused


@pytest.mark.parametrize("name", ["train", "training", "train_labels", "trainLabels"])
def test_kaggle_tables(tmp_path: Path, name: str):
    sample = "photo,label\n2,cat\nNA,cat\n0010,cat\n"
    contest = read(make(tmp_path / "pets", TRAIN_IMAGES + TEST_IMAGES, **{name: TABLE, "sample_submission": sample}))
    assert (contest.name, contest.classes) == ("pets", ("cat", "dog"))
    found = labels(contest, "training") | labels(contest, "validation")
    assert found == {f"train/{n:03d}.jpg": ("cat", "dog")[n % 2] for n in range(8)}
    assert len(contest.splits["validation"]) == 2  # split off: a quarter of training
    assert contest.submission.header == ("photo", "label")
    assert contest.submission.ids == ("2", "NA", "0010")
    files = [record.file for record in contest.splits["testing"]]
    assert [files[row] for row in contest.submission.rows] == ["test/2.png", "test/NA.jpg", "test/0010.jpg"]


def test_table_without_a_sample(tmp_path: Path):
    contest = read(make(tmp_path, TRAIN_IMAGES + TEST_IMAGES, train=TABLE))
    assert (contest.submission.header, contest.submission.ids) == (("Id", "label"), ("0010.jpg", "2.png", "NA.jpg"))


def test_table_and_old_sample_name(tmp_path: Path):
    sample = "image,label\nNA.jpg,x\n0010.jpg,x\n2.png,x\n"
    contest = read(make(tmp_path, TRAIN_IMAGES + TEST_IMAGES, train=TABLE, sampleSubmission=sample))
    assert (contest.submission.header, contest.submission.ids[0]) == (("image", "label"), "NA.jpg")


@pytest.mark.parametrize(
    ("header", "sample", "message"),
    [
        ("image,breed", "", ""),  # the only other one
        ("image,breed,fold", "id,breed\n", ""),  # the one that the sample asks for
        ("image,fold,Label", "", ""),  # the one with a usual name
        ("image,breed,fold", "", r"which column is the label\? found 2 \(breed, fold\); say it with --label-column"),
        (
            "image,label,target",
            "",
            r"which column is the label\? found 2 \(label, target\); say it with --label-column",
        ),
    ],
)
def test_the_label_column(tmp_path: Path, header: str, sample: str, message: str):
    columns = header.split(",")
    index = next(i for i, name in enumerate(columns) if name.lower() in ("breed", "label"))
    lines = [[f"{n:03d}.jpg", *["5"] * (len(columns) - 1)] for n in range(8)]
    for n, line in enumerate(lines):
        line[index] = ("cat", "dog")[n % 2]
    table = "\n".join([header, *map(",".join, lines)])
    tables = {"train": table} | ({"sample_submission": f"{sample}0010,x\n2,x\nNA,x\n"} if sample else {})
    path = make(tmp_path, TRAIN_IMAGES + TEST_IMAGES, **tables)
    if message:
        refused(path, message)
        return
    contest = read(path)
    assert labels(contest, "training") | labels(contest, "validation") == {
        f"train/{n:03d}.jpg": ("cat", "dog")[n % 2] for n in range(8)
    }


def test_labels_that_are_numbers_are_not_taken_for_images(tmp_path: Path):
    table = "label,id\n" + "".join(f"{n % 2},{n}\n" for n in range(8))
    contest = read(make(tmp_path, TRAIN_IMAGES + TEST_IMAGES, train=table))
    assert contest.classes == ("0", "1")
    assert labels(contest, "training") | labels(contest, "validation") == {
        f"train/{n:03d}.jpg": str(n % 2) for n in range(8)
    }


INDEXED = "{index},id,label\n" + "".join(f"{n},{7 - n},{('cat', 'dog')[n % 2]}\n" for n in range(8))


@pytest.mark.parametrize("index", ["", "Unnamed: 0"])
def test_a_column_of_line_numbers_is_not_taken_for_the_images(tmp_path: Path, index: str):
    """pandas' to_csv writes one with its index: then two columns name images."""
    path = make(tmp_path, TRAIN_IMAGES + TEST_IMAGES, train=INDEXED.format(index=index))
    refused(path, r"train\.csv: .* and id both name the images, differently; say which with --image-column")
    make(path, [], sample_submission="id,label\nNA,x\n2,x\n0010,x\n")
    contest = read(path)
    found = labels(contest, "training") | labels(contest, "validation")
    assert found == {f"train/{7 - n:03d}.jpg": ("cat", "dog")[n % 2] for n in range(8)}


def test_blanks_around_cells_do_not_count(tmp_path: Path):
    table = TABLE.replace("label", " label ").replace(",cat,", ", cat ,").replace("003", " 003") + "  \n"
    sample = "image,label\n NA,x\n2,x\n0010 ,x\n"
    contest = read(make(tmp_path, TRAIN_IMAGES + TEST_IMAGES, train=table, sample_submission=sample))
    assert contest.classes == ("cat", "dog")
    assert contest.submission.ids == (" NA", "2", "0010 ")  # as in the sample


def test_paths_without_extension_and_accents_in_tables(tmp_path: Path):
    names = [f"images/{folder}/e\u0301{n}.jpg" for folder in ("a", "b") for n in range(4)]
    table = "id,label\n" + "".join(f"{folder}/\u00e9{n},{folder}\n" for folder in ("a", "b") for n in range(4))
    contest = read(make(tmp_path, names + TEST_IMAGES, train=table))
    found = labels(contest, "training") | labels(contest, "validation")
    assert found == {name: name.split("/")[1] for name in names}


def test_a_table_of_validation(tmp_path: Path):
    names = [*TRAIN_IMAGES, "valid/a.jpg", "valid/b.jpg"]
    path = make(tmp_path, names + TEST_IMAGES, train=TABLE, valid="image,label,source\na,dog,x\nb,cat,x\n")
    contest = read(path)
    assert labels(contest, "validation") == {"valid/a.jpg": "dog", "valid/b.jpg": "cat"}
    assert len(contest.splits["training"]) == 8
    make(path, [], valid="image,label,source\na,dog,x\n003,cat,x\n")
    refused(path, r"images in valid\.csv and in training: 1 \(train/003\.jpg\); expected one")


@pytest.mark.parametrize("name", ["SampleSubmission", "SAMPLE_SUBMISSION"])
def test_the_samples_name_in_any_case(tmp_path: Path, name: str):
    sample = {name: "image,label\nNA,x\n2,x\n0010,x\n"}
    contest = read(make(tmp_path, TRAIN_IMAGES + TEST_IMAGES, train=TABLE, **sample))
    assert contest.has_sample
    assert contest.submission.ids == ("NA", "2", "0010")


def test_one_column_per_class(tmp_path: Path):
    sample = "id,dog,cat\nNA,0.5,0.5\n2,0.5,0.5\n0010,0.5,0.5\n"
    contest = read(make(tmp_path, TRAIN_IMAGES + TEST_IMAGES, train=TABLE, sample_submission=sample))
    assert contest.submission.header == ("id", "dog", "cat")
    assert (contest.classes, contest.submission.columns) == (("cat", "dog"), (1, 0))


def test_one_hot_labels(tmp_path: Path):
    table = "id,fold,rust,scab\n" + "".join(f"{n:03d},1,{n % 2},{1 - n % 2}.0\n" for n in range(8))
    sample = "id,rust,scab\nNA,0.5,0.5\n2,0.5,0.5\n0010,0.5,0.5\n"
    contest = read(make(tmp_path, TRAIN_IMAGES + TEST_IMAGES, train=table, sample_submission=sample))
    found = labels(contest, "training") | labels(contest, "validation")
    assert found == {f"train/{n:03d}.jpg": ("scab", "rust")[n % 2] for n in range(8)}
    two = table.replace("003,1,1,0.0", "003,1,1,1.0")
    path = make(tmp_path / "two", TRAIN_IMAGES + TEST_IMAGES, train=two, sample_submission=sample)
    refused(path, r"train\.csv: 003 has 2 classes \(rust, scab\), expected exactly one 1")


def test_training_and_test_images_in_one_folder(tmp_path: Path):
    names = [f"images/{n}.jpg" for n in range(8)] + ["images/t1.jpg", "images/t2.jpg"]
    table = "id,label\n" + "".join(f"{n},{n % 2}\n" for n in range(8))
    path = make(tmp_path, names, train=table, sample_submission="id,label\nt2,0\nt1,1\n")
    contest = read(path)
    assert [record.file for record in contest.splits["testing"]] == ["images/t1.jpg", "images/t2.jpg"]
    assert contest.submission.rows == (1, 0)
    found = read_testing(open_source(path), contest.classes, DataSettings())
    assert (found.files, found.submission) == (("images/t1.jpg", "images/t2.jpg"), contest.submission)


def test_folders_without_labelled_images_are_left_alone(tmp_path: Path):
    names = [*TRAIN_IMAGES, *TEST_IMAGES, "masks/m1.png", "unlabelled/u1.jpg"]
    assert sum(map(len, read(make(tmp_path, names, train=TABLE)).splits.values())) == 8 + 3


def without(line: str) -> str:
    assert line in TABLE
    return TABLE.replace(line, "")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            without("003,dog,web\n"),
            r"train\.csv: images without a line: 1 \(train/003\.jpg\); expected a label",
        ),
        (TABLE.replace("003,dog", "003,"), r"train\.csv: images without a label: 1 \(003\); expected label in every"),
        (TABLE + "003,cat,web\n", r"train\.csv: image repeated: 003, once dog and once cat; expected one label"),
        (TABLE + "008,cat,web\n", r"train\.csv: image without an image of its own: 1 \(008\); expected one image each"),
        (TABLE + "003\n", r"train\.csv, line 10: found 1 columns, expected 3"),
        (TABLE.replace("source", "label"), r"train\.csv: columns repeated: 1 \(label\)"),
        ("image,label\n", r"train\.csv has a header alone, expected one line per training image"),
        ("image,label\nx,cat\ny,dog\n", r"train\.csv: no column names the images; found columns image, label"),
        ("", r"train\.csv is empty"),
        (
            TABLE.split("\n", 1)[1].replace("000,", "000.jpg,"),
            r"train\.csv: its first line names an image; expected a h",
        ),
        (TABLE.replace("dog", "cat"), "all training images have label cat, expected at least 2 classes"),
        (TABLE.replace("dog", "d" * 1025), r"class d+\.\.\. is longer than 1024 bytes"),
    ],
)
def test_refused_tables(tmp_path: Path, table: str, message: str):
    refused(make(tmp_path, TRAIN_IMAGES + TEST_IMAGES, train=table), message)


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ("id,cat,dog,cow\nNA,0,0,1\n2,0,0,1\n0010,0,0,1\n", r"columns without a training image: 1 \(cow\)"),
        (
            "id,cat,cow\nNA,0,1\n2,0,1\n0010,0,1\n",
            r"columns .*: 1 \(cow\); classes without a column: 1 \(dog\)",
        ),
        ("id,label\nNA,0\n2,0\n", r"testing images without an id: 1 \(0010\.jpg\)"),
        ("id,label\nNA,0\n2,0\n0010,0\n11,0\n", r"ids without a testing image: 1 \(11\)"),
        ("id,label\nNA,0\n2,0\n0010,0\n10,0\n", r"ids repeated: 2 \(0010, 10\)"),
    ],
)
def test_refused_samples_of_tables(tmp_path: Path, sample: str, message: str):
    refused(make(tmp_path, TRAIN_IMAGES + TEST_IMAGES, train=TABLE, sample_submission=sample), message)


def test_tables_without_test_images(tmp_path: Path):
    assert read(make(tmp_path / "a", TRAIN_IMAGES, train=TABLE)).splits["testing"] == ()
    sample = "id,label\n1,0\n"
    refused(
        make(tmp_path / "b", TRAIN_IMAGES, train=TABLE, sample_submission=sample), "every image has a label, expected"
    )


def test_two_tables(tmp_path: Path):
    path = make(tmp_path, TRAIN_IMAGES + TEST_IMAGES, train=TABLE, training=TABLE)
    assert len(read(path).classes) == 2  # both say the same
    make(path, [], training=TABLE.replace("dog", "cow"))
    refused(path, r"found 2 \(train\.csv, training\.csv\); .* say which with --set data\.labels_from=train\.csv")
    assert read(path, labels_from="training.csv").classes == ("cat", "cow")
