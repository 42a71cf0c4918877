"""Overrides and params.yaml: one YAML dialect, that of DVC, and one line for what is not of it."""

import json
import subprocess
import sys

import pytest
from workspace import ROOT

from asc_core import UserError
from pipeline import params
from pipeline.configure import configure

ONE_LINE = r"^[^\n]*$"


def as_dvc_reads(path):
    """The values in a file as DVC has them, by its own function."""
    code = f"import json; from dvc.utils.serialize import load_yaml; print(json.dumps(load_yaml({str(path)!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def at(values, key):
    for name in key.split("."):
        values = values[name]
    return values


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("data.expect.devices=[on, off, y, 'null', '12:30']", ["on", "off", "y", "null", "12:30"]),
        ('data.expect.releases={"12:30": {train: 1, test: 2}}', {"12:30": {"train": 1, "test": 2}}),
        ("tracking.experiment=12:30", "12:30"),
        ("tracking.experiment=on", "on"),
        ("tracking.experiment=No", "No"),
        ("tracking.experiment='5'", "5"),
        ("tracking.experiment='2001-01-01'", "2001-01-01"),
        ('data.path="@corpus"', "@corpus"),
        ("data.path=/data/rec #2/corpus", "/data/rec #2/corpus"),
        ("data.path=/data/caf\u00e9 \U0001f399/x, y [z]", "/data/caf\u00e9 \U0001f399/x, y [z]"),
        ("data.path=C:\\sound", "C:\\sound"),
        ("data.path='a: b'", "a: b"),
        ("prune.ratio=1e-5", 1e-5),
        ("prune.ratio=.5", 0.5),
        ("training.weight_decay=0", 0.0),
        ("synthetic.seed=0x1F", 31),
        ("synthetic.seed=012", 12),
    ],
)
def test_a_value_means_the_same_when_it_is_written_and_when_it_is_read(override, value, tmp_path):
    path, key = tmp_path / "params.yaml", override.partition("=")[0]
    configure("quick", [override], path)
    assert at(params.load(path).model_dump(mode="json"), key) == value
    assert at(as_dvc_reads(path), key) == value


@pytest.mark.parametrize(
    "override",
    [
        "data.path=@corpus",
        "data.path=*x",
        "data.path=&x y",
        "data.path=!x y",
        "data.path=!!python/name:os.system",
        "data.path='/data/rec' #2",
        "data.path=\x07",
        "data.path=\udcff",
        "data.path=",
        "seeds=[0, 1",
        "seeds=[0, 1] # two",
        "seeds=0\n---\n1",
        "seeds={0}: 1",
        f"seeds=[{2**200}]",
        f"seeds=[{'9' * 5000}]",
        f"seeds=[0x{'f' * 5000}]",
        f"seeds={'[' * 5000}{']' * 5000}",
        "seeds=[!!int x]",
        "seeds=[true]",
        "data.expect.releases={? [1, 2] : {train: 1, test: 1}}",
        "teachers.asc.schedule={epochs: 1, epochs: 2, learning_rate: 0.1, warmup_epochs: 0}",
        "teachers.asc.schedule={<<: *x}",
        "student.schedule.learning_rate=.nan",
        "training.weight_decay=.inf",
        "training.weight_decay=1e999",
        "gates.accuracy_drop=-.inf",
        "tracking.experiment=2001-01-01",
        "tracking.experiment==",
        "tracking.experiment=.nan",
        "tracking.experiment=1e5",
    ],
)
def test_what_is_no_value_is_told_in_one_line_by_its_key(override, tmp_path):
    path = tmp_path / "params.yaml"
    with pytest.raises(UserError, match=ONE_LINE) as error:
        configure("quick", [override], path)
    assert override.partition("=")[0] in str(error.value)
    assert str(error.value).isprintable()
    assert not path.exists()


def test_a_section_that_is_set_anew_keeps_its_comments(tmp_path):
    path = tmp_path / "params.yaml"
    section = (
        "{clip_seconds: 1.0, train_recordings: 3, train_copies: 1, test_recordings: 1, part_seconds: null, seed: 0}"
    )
    configure("quick", [f"synthetic={section}"], path)
    before = (ROOT / "params.yaml").read_text().splitlines()
    changed = [(old, new) for old, new in zip(before, path.read_text().splitlines(), strict=True) if old != new]
    assert [new.split("#")[0].split() for _, new in changed] == [
        ["clip_seconds:", "1.0"], ["train_recordings:", "3"], ["train_copies:", "1"], ["test_recordings:", "1"]
    ]  # fmt: skip
    assert [old.partition("#")[2] for old, _ in changed] == [new.partition("#")[2] for _, new in changed]


def test_a_file_that_was_edited_by_hand_keeps_its_comments_and_its_form(tmp_path):
    path = tmp_path / "params.yaml"
    text = (ROOT / "params.yaml").read_text()
    path.write_text(
        text.replace("seeds: [0, 1]   ", "# mine\nseeds:\n  - 0   # the first\n  - 1\n#").replace(
            "  seed: 0", "  seed: 4"
        )
    )
    edited = path.read_text()
    configure(None, ["tracking.experiment=other"], path)
    assert path.read_text() == edited.replace("experiment: asc", "experiment: other")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1", "utf-32"])
def test_another_encoding_is_told_in_one_line(encoding, tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text((ROOT / "params.yaml").read_text().replace("asc_core/corpus/synthetic", "/caf\u00e9"), encoding)
    for read in (lambda: params.load(path), lambda: configure(None, ["seeds=[0]"], path)):
        with pytest.raises(UserError, match=ONE_LINE) as error:
            read()
        assert str(error.value).startswith(f"{path}: not ")


def test_the_mark_that_some_editors_put_first_is_no_part_of_the_text(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text((ROOT / "params.yaml").read_text(), "utf-8-sig")
    assert params.load(path) == params.load(ROOT / "params.yaml")
    configure(None, ["seeds=[5]"], path)
    assert params.load(path).seeds == as_dvc_reads(path)["seeds"] == [5]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("seeds: [0, 1]", "seeds: &x [0, 1]", "anchors"),
        ("seeds: [0, 1]", "seeds: [0, 1]\nseeds: [2]", 'duplicate key "seeds"'),
        ("\n  seed: 0", "\n  sed: 0", "synthetic.sed: unknown key, the nearest is seed"),
        ("weight_decay: 0.001", "weight_decay: 1e-3x", "training.weight_decay: Input should be a valid number"),
        ("tau: 2", "tau: 2, tau: 3", "duplicate key"),
        ("seeds: [0, 1]", "seeds: [0, 1", "line "),
        ("experiment: asc", "experiment: 2001-01-01", "2001-01-01 is a date in YAML"),
    ],
)
def test_a_mistake_in_the_file_is_told_in_one_line(old, new, told, tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text((ROOT / "params.yaml").read_text().replace(old, new, 1))
    with pytest.raises(UserError, match=ONE_LINE) as error:
        params.load(path)
    assert told in str(error.value)


def test_a_number_without_a_point_is_one_to_us_as_to_dvc(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text((ROOT / "params.yaml").read_text().replace("weight_decay: 0.001", "weight_decay: 1e-3"))
    assert params.load(path).training.weight_decay == as_dvc_reads(path)["training"]["weight_decay"] == 0.001
