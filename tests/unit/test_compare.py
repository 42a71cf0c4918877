"""The command `asc compare`."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from answers import answered, clips

from asc_core.cli import main


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two seeds of a system, and one file of two models of another, in the current folder."""
    monkeypatch.chdir(tmp_path)
    rng, own = np.random.default_rng(0), clips(6, "abcd", ("street_pedestrian_crossing", "bus", "park"))
    (tmp_path / "mine").mkdir()
    for seed in range(2):
        answered(own, rng.random(len(own)) < 0.97).to_parquet(tmp_path / f"mine/{seed}.parquet")
    both = [answered(own, rng.random(len(own)) < 0.3).assign(model=name) for name in ("teacher", "quantized")]
    pd.concat(both).to_parquet(tmp_path / "theirs.parquet")
    return tmp_path


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(["compare", *arguments])
    return end.value.code, *capsys.readouterr()


def test_systems_are_compared_in_a_table_that_fits_a_terminal(folder, capsys):
    code, told, _ = run(capsys, "mine", "peer=theirs.parquet", "theirs.parquet:teacher")
    assert code == 0
    assert told.startswith(
        "A  mine (net, 2 networks)\nB  peer (quantized, 1 network)\nC  theirs.parquet:teacher (teacher, 1 network)\n"
        "72 clips at 18 locations\n"
    )
    assert max(map(len, told.splitlines())) <= 80
    assert len(re.findall(r"^accuracy +\d+\.\d +\d+\.\d +\+\d+\.\d +\[\+.*\]  better$", told, re.M)) == 2
    for line in ("  over clips", "  seen devices", "  unseen devices", "log loss", "calibration error", "  bus", "  d"):
        assert re.search(rf"^{line} .*  (better|worse|not distinguishable)$", told, re.M), line
    assert re.search(r"^  street_pedestria… ", told, re.M)
    assert "\nB, C: one network for each clip. What another seed would change is not in\n" in told


def test_what_is_printed_is_what_json_says(folder, capsys):
    code, told, _ = run(capsys, "mine", "peer=theirs.parquet", "--json")
    found = json.loads(told)
    assert code == 0 and found["clips"] == 72 and found["locations"] == 18
    assert found["systems"] == [
        {"name": "mine", "model": "net", "files": ["mine/0.parquet", "mine/1.parquet"], "seeds_resampled": True},
        {"name": "peer", "model": "quantized", "files": ["theirs.parquet"], "seeds_resampled": False},
    ]
    (comparison,) = found["comparisons"]
    assert (comparison["first"], comparison["other"]) == ("mine", "peer")
    metrics = comparison["metrics"]
    accuracy = metrics["accuracy"]
    assert accuracy["difference"] == pytest.approx(accuracy["first"] - accuracy["other"])
    assert accuracy["interval"][0] < accuracy["difference"] < accuracy["interval"][1]
    assert accuracy["level"] == pytest.approx(0.95)
    assert metrics["accuracy_by_device"]["d"]["level"] == pytest.approx(1 - 0.05 / 4)
    assert metrics["accuracy_by_scene"].keys() == {"street_pedestrian_crossing", "bus", "park"}
    line = "accuracy {first:.1f} {other:.1f} {difference:+.1f} [{interval[0]:+.1f}, {interval[1]:+.1f}] {verdict}"
    assert line.format(**accuracy) in re.sub(" +", " ", run(capsys, "mine", "peer=theirs.parquet")[1])


def test_a_folder_several_files_and_a_name_are_the_same_system(folder, capsys):
    ways = ("mine", "mine/0.parquet,mine/1.parquet", "other=mine,mine/0.parquet", "mine:net")
    found = [json.loads(run(capsys, way, "theirs.parquet", "--json")[1])["comparisons"][0]["metrics"] for way in ways]
    assert all(each == found[0] for each in found)


def test_a_system_against_itself_is_not_distinguishable(folder, capsys):
    for first, other in (("mine", "mine"), ("mine/0.parquet", "mine/1.parquet")):
        code, told, _ = run(capsys, first, other)
        assert code == 0 and "not distinguishable" in told
        assert not re.search(r"  (better|worse)$", told, re.M)


def test_without_unseen_devices_their_line_is_left_out_and_few_locations_have_no_interval(folder, capsys):
    own = clips(2, "ab").assign(unseen=False)
    answered(own, True).to_parquet("few.parquet")
    code, told, _ = run(capsys, "few.parquet", "few.parquet")
    assert code == 0 and "unseen" not in told
    assert re.search(r"^accuracy +100\.0 +100\.0 +\+0\.0 +-  not distinguishable$", told, re.M)
    assert "-: fewer than five locations, too few for an interval." in told


def broken(change):
    change(pd.read_parquet("mine/0.parquet")).to_parquet("odd.parquet")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda table: table.drop(columns="location"), "odd.parquet: not a table of predictions (it has no column"),
        (lambda table: table.iloc[:0], "odd.parquet: not a table of predictions (it has no row)"),
        (lambda table: table.assign(scene="x"), "(it has no probability of the scene 'x')"),
        (lambda table: table.assign(bus=2.0), "(the probabilities in row 0 do not sum up to 1)"),
        (lambda table: table.assign(bus=np.nan), "(the probabilities in row 0 do not sum up to 1)"),
        (lambda table: table.assign(bus="x"), "odd.parquet: not a table of predictions (could not convert"),
        (lambda table: table.assign(location=1), "(its column 'location' has a value that is no text)"),
        (lambda table: table.assign(unseen="no"), "(its column 'unseen' is not of true and false)"),
        (lambda table: pd.concat([table, table]), "(it has the clip audio/street_pedestrian_crossing-0-a.wav twice)"),
        (
            lambda table: table.iloc[1:],
            "odd.parquet: has no clip audio/street_pedestrian_crossing-0-a.wav, which is in",
        ),
    ],
)
def test_what_cannot_be_compared_costs_one_line(folder, capsys, change, told):
    broken(change)
    code, out, line = run(capsys, "mine", "odd.parquet")
    assert code == 1 and out == "" and line.count("\n") == 1
    assert line.startswith("asc: error: ") and told in line


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["mine"], "1 given; compare two systems or more"),
        (["mine", "gone.parquet"], "gone.parquet: no such file"),
        (["mine", "."], ".: no file of predictions (.parquet) in it"),
        (["mine", "notes.txt"], "notes.txt: not a table of predictions ("),
        (["mine", "theirs.parquet:student"], "theirs.parquet: has no model 'student'; name one of quantized, teacher"),
    ],
)
def test_mistakes_are_one_line(folder, capsys, arguments, told):
    (folder / "notes.txt").write_text("no table")
    if "." in arguments:
        (folder / "theirs.parquet").unlink()
    code, _, line = run(capsys, *arguments)
    assert code == 1 and line.startswith(f"asc: error: {told}") and line.count("\n") == 1
