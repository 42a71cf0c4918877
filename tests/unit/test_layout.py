"""Reading a corpus in the TAU layout."""

import pandas as pd
import pytest

from asc_core.corpus.config import Lists
from asc_core.corpus.layout import read_corpus, read_evaluation
from asc_core.errors import UserError
from asc_core.features.clips import unseen_devices

META = """filename\tscene_label\tidentifier\tsource_label
audio/bus-lyon-1-0-a.wav\tbus\tlyon-1\ta
audio/park-lyon-2-1-b.wav\tpark\tlyon-2\tb
audio/bus-paris-3-2-a.wav\tbus\tparis-3\ta
audio/park-paris-4-3-s4.wav\tpark\tparis-4\ts4
audio/park-paris-4-3-c.wav\tpark\tparis-4\tc
"""
TRAIN = "filename\tscene_label\naudio/park-lyon-2-1-b.wav\tpark\naudio/bus-lyon-1-0-a.wav\tbus\n"
TEST = "filename\tscene_label\naudio/bus-paris-3-2-a.wav\tbus\naudio/park-paris-4-3-s4.wav\tpark\n"
TABLES = {"meta.csv": META, "evaluation_setup/fold1_train.csv": TRAIN, "evaluation_setup/fold1_evaluate.csv": TEST}


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "evaluation_setup").mkdir()
    for name, text in TABLES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_row_for_each_clip_of_the_splits_in_their_order(corpus):
    expected = [
        ("audio/park-lyon-2-1-b.wav", "park", "train", "park", "lyon-2", "b"),
        ("audio/bus-lyon-1-0-a.wav", "bus", "train", "bus", "lyon-1", "a"),
        ("audio/bus-paris-3-2-a.wav", "bus", "test", "bus", "paris-3", "a"),
        ("audio/park-paris-4-3-s4.wav", "park", "test", "park", "paris-4", "s4"),
    ]
    columns = ["filename", "scene", "split", "meta_scene", "location", "device"]
    pd.testing.assert_frame_equal(read_corpus(corpus)[columns], pd.DataFrame(expected, columns=columns, dtype="str"))


def test_unseen_devices_are_those_that_only_the_test_split_has(corpus):
    assert unseen_devices(read_corpus(corpus)) == ["s4"]
    clips = pd.DataFrame({"split": ["train", "test", "test", "test"], "device": ["a", "z", "x", "a"]})
    assert unseen_devices(clips) == ["x", "z"]
    assert unseen_devices(clips[clips["device"] == "a"]) == []


def test_a_rendered_corpus_is_read_with_its_unseen_devices(rendered):
    clips = read_corpus(rendered)
    assert clips.notna().all(axis=None) and (clips["scene"] == clips["meta_scene"]).all()
    assert clips["split"].value_counts().to_dict() == {"train": 70, "test": 90}
    assert unseen_devices(clips) == ["s4", "s5", "s6"]
    assert all((rendered / name).is_file() for name in clips["filename"])


def test_a_clip_that_meta_lacks_keeps_its_row_without_a_device(corpus):
    (corpus / "meta.csv").write_text("".join(META.splitlines(keepends=True)[:2]))
    clips = read_corpus(corpus)
    assert len(clips) == 4 and clips["device"].notna().sum() == 1
    assert clips["scene"].tolist() == ["park", "bus", "bus", "park"]


def test_a_clip_that_meta_lists_twice_has_one_row(corpus):
    (corpus / "meta.csv").write_text(META + META.splitlines(keepends=True)[1])
    assert len(read_corpus(corpus)) == 4


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "no such file"),
        (b"", "not a tab-separated table"),
        (bytes(range(256)), "not a tab-separated table"),
        (b"filename\tscene_label\na\tb\nc\td\te\tf\n", "not a tab-separated table"),
        (b"a line of prose\nand another one\n", "no column filename"),
        (b"filename\tidentifier\tsource_label\na\tb\tc\n", "no column scene_label"),
        (b"filename,scene_label,identifier,source_label\na,b,c,d\n", "no column filename"),
        (b"filename\tscene_label\tidentifier\tsource_label\n", "no row"),
    ],
)
def test_an_unusable_table_is_an_error_that_names_it(corpus, name, content, complaint):
    (corpus / name).unlink()
    if content is not None:
        (corpus / name).write_bytes(content)
    with pytest.raises(UserError, match=complaint) as caught:
        read_corpus(corpus)
    assert str(caught.value).startswith(f"{corpus / name}: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", TABLES)
def test_a_row_without_a_file_name_is_an_error_that_names_it(corpus, name):
    table = corpus / name
    second = TABLES[name].splitlines()[2]
    table.write_text(TABLES[name].replace(second, second[second.index("\t") :]))
    with pytest.raises(UserError, match=r"row 2 after the header has no file name") as caught:
        read_corpus(corpus)
    assert str(caught.value).startswith(f"{table}: ")


@pytest.mark.parametrize("name", ["NA", "None", "null", "nan", "NULL", "n/a", "-", "0"])
def test_a_scene_or_device_may_have_any_name(corpus, name):
    for path, text in TABLES.items():
        (corpus / path).write_text(text.replace("\tbus", f"\t{name}").replace("\ts4", f"\t{name}"))
    clips = read_corpus(corpus)
    assert clips["scene"].tolist() == clips["meta_scene"].tolist() == ["park", name, name, "park"]
    assert clips["device"].tolist() == ["b", "a", "a", name] and unseen_devices(clips) == [name]


def test_an_empty_cell_stays_missing(corpus):
    (corpus / "meta.csv").write_text(META.replace("\ts4", "\t"))
    assert read_corpus(corpus)["device"].isna().tolist() == [False, False, False, True]


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize(("encoding", "told"), [("utf-16", "UTF-16"), ("latin-1", "in another encoding")])
def test_a_table_in_another_encoding_is_told_in_one_line(corpus, name, encoding, told):
    (corpus / name).write_bytes(TABLES[name].replace("park", "café").encode(encoding))
    with pytest.raises(UserError) as caught:
        read_corpus(corpus)
    assert str(caught.value).startswith(f"{corpus / name}: not a tab-separated table in UTF-8, but ")
    assert told in str(caught.value) and str(caught.value).endswith("; save it as UTF-8")


@pytest.mark.parametrize("name", TABLES)
def test_a_byte_order_mark_is_no_part_of_a_column(corpus, name):
    (corpus / name).write_text(TABLES[name], encoding="utf-8-sig")
    assert len(read_corpus(corpus)) == 4


def test_surplus_cells_do_not_shift_the_columns(corpus):
    (corpus / "evaluation_setup/fold1_train.csv").write_text(
        TRAIN.replace("park\n", "park\t\n").replace("bus\n", "bus\t\n")
    )
    try:
        clips = read_corpus(corpus)
    except UserError:
        return
    assert clips["scene"].tolist() == ["park", "bus", "bus", "park"]


def test_other_lists_name_the_clips_of_the_splits(corpus):
    (corpus / "setup").mkdir()
    (corpus / "evaluation_setup/fold1_train.csv").rename(corpus / "setup/split25.csv")
    (corpus / "evaluation_setup/fold1_evaluate.csv").rename(corpus / "setup/test.csv")
    clips = read_corpus(corpus, Lists(train="setup/split25.csv", test="setup/test.csv"))
    assert clips["split"].tolist() == ["train", "train", "test", "test"] and clips["device"].notna().all()
    with pytest.raises(UserError, match=r"setup/split5\.csv: no such file"):
        read_corpus(corpus, Lists(train="setup/split5.csv", test="setup/test.csv"))


EVALUATION = "evaluation_setup/fold1_test.csv"


@pytest.mark.parametrize(
    ("text", "devices"),
    [
        ("filename\tdevice_id\r\naudio/0.wav\tunknown\r\naudio/1.wav\ts1\r\n", ["unknown", "s1"]),
        ("filename\naudio/0.wav\naudio/park-lyon-2-1-b.wav\n", [None, "b"]),
        ("filename\n\n", ["a", "s4"]),  # an empty list: the test split
        (None, ["a", "s4"]),
    ],
)
def test_the_devices_of_an_evaluation_list_are_its_own_or_those_of_meta(corpus, text, devices):
    if text is not None:
        (corpus / EVALUATION).write_bytes(text.encode())
    clips = read_evaluation(corpus)
    assert [None if pd.isna(device) else device for device in clips["device"]] == devices


def test_an_evaluation_set_needs_no_meta(corpus):
    (corpus / EVALUATION).write_text("filename\naudio/0.wav\n")
    (corpus / "meta.csv").unlink()
    assert read_evaluation(corpus)["device"].isna().all()
    (corpus / "meta.csv").write_text("filename\tscene_label\naudio/0.wav\tbus\n")
    assert read_evaluation(corpus)["device"].isna().all()
