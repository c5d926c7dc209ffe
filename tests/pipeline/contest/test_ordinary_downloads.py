"""Downloads as they are: each kind that is read, and each that is asked about, with the option that settles it."""

from pathlib import Path

import pytest

from pipeline.contest.found_lines import found_lines
from tests.pipeline.contest.made_contests import CATS_AND_DOGS, TEST_IMAGES, labels, make, read, refused

TWO = "id,label\n" + "".join(f"{n},{n % 2}\n" for n in range(8))
NUMBERED = [f"train/{n}.jpg" for n in range(8)]
TESTS = ["test/100.jpg", "test/101.jpg"]
NAMES = ("ant", "bee", "cow")
FOLDER_TABLE = "image,label\n" + "".join(f"{name}{n}.jpg,{name}\n" for name in NAMES for n in range(4))


def folders(*splits: str, count: int = 4) -> list[str]:
    return [f"{split}/{name}/{name}{n}.jpg" for split in splits for name in NAMES for n in range(count)]


@pytest.mark.parametrize("training", ["seg_train", "training_set", "trainset", "Train_Images", "ISIC-Training-Input"])
@pytest.mark.parametrize("testing", ["seg_pred", "test_set", "testimages", "Test1"])
def test_names_of_split_folders(tmp_path: Path, training: str, testing: str):
    contest = read(make(tmp_path, [*folders(f"{training}/{training}"), f"{testing}/{testing}/1.jpg"]))
    assert contest.classes == NAMES
    assert [record.file for record in contest.splits["testing"]] == [f"{testing}/{testing}/1.jpg"]


def test_a_plain_name_comes_before_one_that_says_more(tmp_path: Path):
    contest = read(make(tmp_path, [*folders("train"), *folders("train_masks"), "test/1.jpg", "test_masks/1.jpg"]))
    assert {record.file.split("/")[0] for record in contest.splits["training"]} == {"train"}
    assert len(contest.splits["testing"]) == 1


def test_two_training_folders_are_asked_about(tmp_path: Path):
    path = make(tmp_path, [*folders("train_a", "train_b"), "test/1.jpg"])
    refused(
        path, r"found 2 \(train_a, train_b\); expected one of them: say which with --set data\.training_folder=train_a"
    )
    assert read(path, training_folder="train_b").splits["training"][0].file.startswith("train_b/")
    refused(path, r"the training folder train_c is no folder of images in it; found", training_folder="train_c")


def test_a_labelled_test_folder_beside_an_unlabelled_one_is_validation(tmp_path: Path):
    contest = read(make(tmp_path, [*folders("seg_train", "seg_test"), "seg_pred/1.jpg"]))
    assert len(contest.splits["validation"]) == 12
    assert [record.file for record in contest.splits["testing"]] == ["seg_pred/1.jpg"]
    assert contest.notes == (
        "seg_test: has class folders, so it is the validation split; the test images are in seg_pred",
    )


def test_test_images_in_class_folders_are_known_and_learned_from_by_nothing(tmp_path: Path):
    contest = read(make(tmp_path, folders("train", "test")))
    assert {record.label for record in contest.splits["testing"]} == {-1}
    assert contest.test_labels == tuple([0] * 4 + [1] * 4 + [2] * 4)
    assert contest.submission.ids[0] == "ant0.jpg"


def test_test_folders_that_are_no_class_are_said(tmp_path: Path):
    contest = read(make(tmp_path, [*folders("train"), "test/ant/1.jpg", "test/elk/2.jpg"]))
    assert contest.test_labels == (0, -1)
    assert "test folders that are no class of training: 1 (elk)" in contest.notes


def test_equal_names_in_two_test_folders_give_ids_with_their_folders(tmp_path: Path):
    contest = read(make(tmp_path, [*folders("train"), "test/ant/1.jpg", "test/bee/1.jpg"]))
    assert contest.submission.ids == ("ant/1.jpg", "bee/1.jpg")


@pytest.mark.parametrize("top", ["", "2750/", "a/b/"])
def test_class_folders_alone(tmp_path: Path, top: str):
    contest = read(make(tmp_path, [f"{top}{name}/{n}.jpg" for name in NAMES for n in range(8)]))
    assert contest.classes == NAMES
    assert contest.splits["testing"] == ()
    assert "no test images" in found_lines(contest)[0]
    assert found_lines(contest)[2].startswith("CSV: none, as there are no test images; the run is inductive")


def test_a_labelled_part_is_held_out_as_test_images(tmp_path: Path):
    path = make(tmp_path, [f"{name}/{n}.jpg" for name in NAMES for n in range(8)])
    contest = read(path, test_fraction=0.25)
    assert [len(contest.splits[split]) for split in ("training", "validation", "testing")] == [14, 4, 6]
    held_out = {record.file: contest.test_labels[i] for i, record in enumerate(contest.splits["testing"])}
    assert all(contest.classes[label] == file.split("/")[0] for file, label in held_out.items())
    assert not set(held_out) & set(labels(contest, "training"))
    refused(
        make(tmp_path / "t", CATS_AND_DOGS + TEST_IMAGES), "test_fraction is for contests without", test_fraction=0.2
    )


def test_two_levels_of_class_folders(tmp_path: Path):
    names = [
        f"train/{kind}/{name}/{n}.jpg"
        for kind, name in (("birds", "owl"), ("birds", "gull"), ("fish", "eel"))
        for n in range(4)
    ]
    path = make(tmp_path, [*names, "test/1.jpg"])
    refused(
        path, r"two levels of class folders, such as train/birds/gull; say which is the class with --set data\.class"
    )
    assert read(path, class_folders="outer").classes == ("birds", "fish")
    assert read(path, class_folders="inner").classes == ("eel", "gull", "owl")


def test_test_images_in_two_levels_of_class_folders(tmp_path: Path):
    kinds = (("birds", "owl"), ("birds", "gull"), ("fish", "eel"))
    names = [
        f"{split}/{kind}/{name}/{n}{split}.jpg" for split in ("train", "test") for kind, name in kinds for n in range(4)
    ]
    path = make(tmp_path, names)
    outer, inner = read(path, class_folders="outer"), read(path, class_folders="inner")
    assert sorted(outer.test_labels) == [0] * 8 + [1] * 4  # birds, fish
    assert sorted(inner.test_labels) == [0] * 4 + [1] * 4 + [2] * 4  # eel, gull, owl


def test_folders_that_only_wrap_the_images_of_a_class(tmp_path: Path):
    names = [f"train/{name}/images/{n}.JPEG" for name in NAMES for n in range(4)]
    assert read(make(tmp_path, [*names, "test/images/1.JPEG"])).classes == NAMES


def test_annotations_of_validation_without_a_header(tmp_path: Path):
    names = [*folders("train"), "val/images/val_0.jpg", "val/images/val_1.jpg", "test/1.jpg"]
    path = make(tmp_path, names)
    (path / "val" / "val_annotations.txt").write_text("val_0.jpg\tbee\t0\t0\t9\t9\nval_1.jpg\tcow\t0\t0\t9\t9\n")
    assert labels(read(path), "validation") == {"val/images/val_0.jpg": "bee", "val/images/val_1.jpg": "cow"}


@pytest.mark.parametrize("name", ["labels", "trainLabels", "train", "metadata/train", "annotations", "train/metadata"])
def test_names_of_tables(tmp_path: Path, name: str):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    contest = read(make(tmp_path, NUMBERED + TESTS, **{name: TWO}))
    assert contest.labels_from == f"column label of {name}.csv"


def test_a_table_of_features_beside_one_of_labels(tmp_path: Path):
    features = "id,site\n" + "".join(f"{n},S{n % 3}\n" for n in range(8))
    assert read(make(tmp_path, NUMBERED + TESTS, train_labels=TWO, train_features=features)).classes == ("0", "1")


def test_any_other_table_that_knows_the_class_folders_comes_after_them(tmp_path: Path):
    drivers = "subject,kind,img\n" + "".join(f"p{n % 2},c-{name},{name}{n}.jpg\n" for name in NAMES for n in range(4))
    contest = read(make(tmp_path, [*folders("train"), "test/1.jpg"], drivers=drivers))
    assert contest.labels_from == "class folders in train"


def test_a_table_of_other_labels_than_the_class_folders_is_asked_about(tmp_path: Path):
    data = "filename,species\n" + "".join(f"{name}{n}.jpg,s{n % 2}\n" for name in NAMES for n in range(4))
    path = make(tmp_path, [*folders("train"), "test/1.jpg"], data=data)
    refused(
        path,
        r"the labels can stand in class folders \(3 \(ant, bee, cow\)\) or in data\.csv: say which with "
        r"--set data\.labels_from=folders or --set data\.labels_from=data\.csv",
    )
    assert read(path, labels_from="folders").classes == NAMES
    assert read(path, labels_from="data.csv").classes == read(path, label_column="species").classes == ("s0", "s1")
    refused(path, "nonsense", label_column="nonsense")


def test_lines_without_a_label_are_the_test_images_of_the_sample(tmp_path: Path):
    table = "id,label\n" + "".join(f"{n}.jpg,{NAMES[n % 3] if n < 12 else ''}\n" for n in range(16))
    sample = "id,label\n" + "".join(f"{n}.jpg,ant\n" for n in range(12, 16))
    images = [f"images/{n}.jpg" for n in range(16)]
    contest = read(make(tmp_path, images, train=table, sample_submission=sample))
    assert contest.submission.ids == ("12.jpg", "13.jpg", "14.jpg", "15.jpg")
    assert len(contest.splits["training"]) + len(contest.splits["validation"]) == 12
    few = make(tmp_path / "few", images, train=table, sample_submission=sample.replace("15.jpg,ant\n", ""))
    refused(few, "without an id: 1")


def test_a_column_of_splits(tmp_path: Path):
    splits = ("train", "train", "train", "valid", "test", "test")
    lines = "".join(f"{n}.jpg,{NAMES[n % 3]},{splits[n % 6]}\n" for n in range(24))
    path = make(tmp_path, [f"images/{n}.jpg" for n in range(24)], metadata=f"filename,label,split\n{lines}")
    contest = read(path)
    assert [len(contest.splits[split]) for split in ("training", "validation", "testing")] == [12, 4, 8]
    assert contest.test_labels == (1, 2) * 4  # images 4 and 5 of six
    assert {record.label for record in contest.splits["testing"]} == {-1}
    assert contest.labels_from == "column label of metadata.csv, splits from its column split"


def test_folders_of_test_images_are_no_classes_where_a_table_has_the_labels(tmp_path: Path):
    table = "id,label\n" + "".join(f"{n},{n % 2}\n" for n in range(8))
    tests = [f"test/{shard}/{n}.jpg" for shard in (0, 1) for n in range(20 + 2 * shard, 22 + 2 * shard)]
    contest = read(make(tmp_path, [f"train/{n}.jpg" for n in range(8)] + tests, train=table))
    assert set(contest.test_labels) <= {-1}
    assert not [note for note in contest.notes if "classes of the test images" in note]


def test_a_label_column_that_is_the_class_folders(tmp_path: Path):
    table = "width,ClassName,zone,path\n" + "".join(
        f"3,{name},{n},train/{name}/{name}{n}.jpg\n" for name in NAMES for n in range(4)
    )
    assert (
        read(make(tmp_path, [*folders("train"), "test/1.jpg"], train=table)).labels_from
        == "column ClassName of train.csv"
    )


def test_columns_that_are_stated(tmp_path: Path):
    table = "a,b,kind,place\n" + "".join(f"{n},{7 - n},{'xy'[n % 2]},{'pq'[n // 4]}\n" for n in range(8))
    path = make(tmp_path, NUMBERED + TESTS, train=table)
    refused(path, "a and b both name the images, differently; say which with --image-column")
    refused(
        path, r"which column is the label\? found 3 \(a, kind, place\); say it with --label-column", image_column="b"
    )
    contest = read(path, image_column="b", label_column="place")
    assert (labels(contest, "training") | labels(contest, "validation"))["train/7.jpg"] == "p"
    refused(path, r"no column c; found 4 \(a, b, kind, place\)", image_column="c")
    refused(path, r"no column c; found", image_column="a", label_column="c")


@pytest.mark.parametrize(("one", "zero"), [("1", "0"), ("1.0", "0.0"), ("True", "False")])
def test_one_hot_columns_without_a_sample(tmp_path: Path, one: str, zero: str):
    table = "image,MEL,NV,BCC\n" + "".join(
        f"{n},{','.join(one if n % 3 == c else zero for c in range(3))}\n" for n in range(8)
    )
    contest = read(make(tmp_path, NUMBERED + TESTS, train=table))
    assert contest.classes == ("BCC", "MEL", "NV")
    assert (labels(contest, "training") | labels(contest, "validation"))["train/2.jpg"] == "BCC"


def test_labels_that_pandas_wrote_as_fractions(tmp_path: Path):
    table = "id,label\n" + "".join(f"{n},{n % 3}.0\n" for n in range(8))
    contest = read(make(tmp_path, NUMBERED + TESTS, train=table, sample_submission="id,label\n100,0\n101,0\n"))
    assert (contest.classes, contest.submission.labels) == (("0", "1", "2"), ("0", "1", "2"))
    make(tmp_path, [], sample_submission="id,label\n100,0.0\n101,2.0\n")
    assert read(tmp_path).submission.labels == ("0.0", "1.0", "2.0")


def test_lines_and_images_that_do_not_meet(tmp_path: Path):
    table = TWO + "77,1\n3,1\n"  # an image that is not there, and a line that stands twice
    path = make(tmp_path, [*NUMBERED, "train/9.jpg", *TESTS], train=table)
    refused(path, r"id without an image of its own: 1 \(77\); expected one image each, or --set data\.missing=skip")
    refused(path, r"without a line: 1 \(train/9\.jpg\); .* or --set data\.unlisted=ignore", missing="skip")
    contest = read(path, missing="skip", unlisted="ignore")
    assert len(contest.splits["training"]) + len(contest.splits["validation"]) == 8
    assert contest.notes == (
        "train.csv: lines without an image, skipped: 1 (77)",
        "images without a line, ignored: 1 (train/9.jpg)",
    )


def test_images_of_kinds_that_are_not_read_are_named(tmp_path: Path):
    path = make(tmp_path, [*folders("train"), "train/ant/x.heic", "test/1.jpg"])
    refused(path, r"images of kinds that are not read: 1 \(x\.heic\); expected png or jpg")
    assert len(read(path, broken="skip").classes) == 3


def test_an_unknown_ending_is_read_by_its_content(tmp_path: Path):
    path = make(tmp_path, [*folders("train"), "test/1.jpg"])
    (path / "test" / "2.picture").write_bytes(b"\xff\xd8\xff\xe0 and more")
    (path / "test" / "3").write_bytes(b"\x89PNG\r\n\x1a\n and more")
    (path / "test" / "4.notes").write_bytes(b"hello")
    assert [record.file for record in read(path).splits["testing"]] == ["test/1.jpg", "test/2.picture", "test/3"]


def test_pixels_in_a_table(tmp_path: Path):
    header = ",".join(f"pixel{n}" for n in range(784))
    path = make(tmp_path, [], train=f"label,{header}\n" + f"1,{','.join(['0'] * 784)}\n" * 3)
    refused(path, "785 columns and none names the images; pixels in a table are not read: write each image to a file")


def test_a_table_of_some_of_the_test_images(tmp_path: Path):
    """Superpixels or masks beside the test images; a table of something else is no table of test images."""
    tests = ["test/1.jpg", "test/1_mask.jpg", "test/2.jpg", "test/2_mask.jpg"]
    other = "path,shape\n1.jpg,round\n2.jpg,round\n"
    path = make(tmp_path, [*folders("train"), *tests], train=FOLDER_TABLE, meta=other)
    assert len(read(path).splits["testing"]) == 4
    make(path, [], test="image\n1\n2\n")
    refused(
        path,
        r"test\.csv: test images without a line: 2 \(test/1_mask\.jpg, test/2_mask\.jpg\); .* data\.unlisted=ignore",
    )
    contest = read(path, unlisted="ignore")
    assert [record.file for record in contest.splits["testing"]] == ["test/1.jpg", "test/2.jpg"]
    assert "test images without a line, ignored: 2 (test/1_mask.jpg, test/2_mask.jpg)" in contest.notes


def test_a_nameless_column_of_line_numbers_in_table_and_sample(tmp_path: Path):
    """pandas' to_csv without index=False: the first column of both has no name, and names images too."""
    table = ",id,label\n" + "".join(f"{n},{7 - n},{'xyz'[n % 3]}\n" for n in range(8))
    path = make(tmp_path, NUMBERED + TESTS, train=table, sample_submission=",id,label\n0,100,x\n1,101,y\n")
    refused(path, " and id both name the images, differently; say which with --image-column")


def test_folders_of_other_sizes_do_not_make_ids_ambiguous(tmp_path: Path):
    names = [
        f"{split}{size}/{n}.jpg"
        for split, numbers in (("train", range(8)), ("test", (100, 101)))
        for size in ("", "Resized")
        for n in numbers
    ]
    contest = read(make(tmp_path, names, trainLabels=TWO))
    assert {record.file.split("/")[0] for record in contest.splits["training"]} == {"train"}
    assert contest.notes == ("folders that are not read: 2 (testResized, trainResized)",)
