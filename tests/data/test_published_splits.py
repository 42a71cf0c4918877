"""The profile tau2020 and both published releases of its lists, as tables: no audio is needed to check them."""

import itertools
from pathlib import Path

import pandas as pd
import pytest

from asc_core import UserError
from asc_core.corpus.config import ValidationSplit
from asc_core.corpus.validation_split import hold_back
from pipeline.configure import parameters
from pipeline.stages.validate import report
from pipeline.validation.check import check, verdict
from pipeline.validation.suite import suite
from pipeline.validation.tables import tables

CITIES = ("barcelona", "helsinki", "lisbon", "london", "lyon", "paris", "prague", "stockholm", "vienna")
TRAIN = {"a": 10_215, "b": 749, "c": 748, "s1": 750, "s2": 750, "s3": 750}  # 13,962
TEST = {"a": 330, "b": 329, "c": 329, "s1": 330, "s2": 330, "s3": 330, "s4": 330, "s5": 330, "s6": 330}  # 2,968


@pytest.fixture(scope="module")
def expect():
    return parameters("tau2020").data.expect


def inspected(expect, train: dict[str, int], test: dict[str, int]) -> pd.DataFrame:
    """The clips of two splits of so many clips of each device, as if all their files had been inspected."""
    rows = []
    for split, counts, cities in (("train", train, CITIES), ("test", test, (*CITIES, "milan"))):
        for device, count in counts.items():
            pairs = itertools.cycle(itertools.product(cities, expect.scenes))
            for number, (city, scene) in zip(range(count), pairs, strict=False):
                location = f"{city}-{split}{expect.scenes.index(scene)}"
                rows.append((f"audio/{scene}-{location}-{number}-{device}.wav", scene, split, scene, location, device))
    clips = pd.DataFrame(rows, columns=["filename", "scene", "split", "meta_scene", "location", "device"], dtype="str")
    nothing = pd.Series(None, index=clips.index, dtype="object")
    clips = clips.assign(
        seconds=10.0, sample_rate=44_100, channels=1, subtype="PCM_24", problem=nothing, defect=nothing
    )
    return clips.astype({"sample_rate": "Int64", "channels": "Int64", "subtype": "str"})


@pytest.mark.parametrize(
    ("more_train", "more_test", "release"),
    [(0, 0, "published"), (3, 2, "older")],
)
def test_both_releases_pass_and_are_told_apart(expect, more_train, more_test, release, tmp_path):
    clips = inspected(
        expect,
        {**TRAIN, "b": TRAIN["b"] + more_train},
        {**TEST, "b": TEST["b"] + more_test // 2, "c": TEST["c"] + more_test // 2},
    )
    assert len(clips) == {"published": 13_962 + 2_968, "older": 13_965 + 2_970}[release]
    frames = tables(clips, clips[["filename"]], expect)
    rows = check(frames, suite(expect), tmp_path)
    verdict(Path("tau"), rows)
    assert report(Path("tau"), frames, rows, expect)["release"] == release


def test_what_is_held_back_for_validation_leaves_the_release_as_it_is(expect, tmp_path):
    clips = inspected(expect, TRAIN, TEST)
    held = hold_back(clips, ValidationSplit(0.2, devices=1))
    frames = tables(clips, clips[["filename"]], expect, held=held)
    rows = check(frames, suite(expect, held), tmp_path)
    verdict(Path("tau"), rows)
    found = report(Path("tau"), frames, rows, expect, held)
    assert found["release"] == "published" and len(held.locations) == 20
    assert sum(found["clips"].values()) + found["held_back"]["clips_in_no_split"] == 13_962 + 2_968
    assert set(found["devices"]["train"]) == TRAIN.keys() - set(held.devices) and len(held.devices) == 1
    assert found["unseen_devices"] == sorted([*held.devices, "s4", "s5", "s6"])


def test_other_lists_are_refused(expect, tmp_path):
    """Three clips more to train on and half of the clips of device s6."""
    clips = inspected(expect, {**TRAIN, "a": TRAIN["a"] + 3}, {**TEST, "s6": TEST["s6"] - 165})
    frames = tables(clips, clips[["filename"]], expect)
    rows = check(frames, suite(expect), tmp_path)
    with pytest.raises(UserError) as caught:
        verdict(Path("tau"), rows)
    assert str(caught.value) == (
        "tau: failed: clips are within data.expect.counts.test.device: 300 to 350: s6: 165; "
        "failed: the splits have the sizes of data.expect.releases: published or older: fold1: 13965 and 2803 "
        "(all rows in reports/validation.json)"
    )
    assert report(Path("tau"), frames, rows, expect)["release"] is None


def test_the_training_split_of_one_release_with_the_test_split_of_the_other_is_refused(expect, tmp_path):
    clips = inspected(expect, TRAIN, {**TEST, "b": 330, "c": 330})
    rows = check({"sizes": tables(clips, clips[["filename"]], expect)["sizes"]}, suite(expect), tmp_path)
    assert [row["bad_rows"] for row in rows] == [[{"train": "13962", "test": "2970", "lists": "fold1"}]]


@pytest.mark.parametrize("part", ["", "-{}"])
def test_all_parts_of_a_recording_belong_together(expect, part):
    """A name has five fields, or six with the part of the segment that a file is."""
    names = [f"audio/bus-lyon-1-0{part.format(number)}-{device}.wav" for number, device in ((0, "a"), (1, "b"))]
    clips = pd.DataFrame({"filename": names, "scene": "bus", "location": "lyon-1", "split": ["train", "test"]})
    frames = tables(clips.assign(device=["a", "b"]), clips[["filename"]], expect)
    assert frames["clips"][["name_device", "city"]].values.tolist() == [["a", "lyon"], ["b", "lyon"]]
    assert frames["segments"][["segment", "splits"]].values.tolist() == [["audio/bus-lyon-1-0", 2]]
    assert frames["locations"]["splits"].tolist() == [2]
