"""What is held back from training: whole locations of every scene, and whole devices."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from asc_core.corpus.config import SyntheticConfig, ValidationSplit
from asc_core.corpus.synthetic import plan
from asc_core.corpus.validation_split import HeldBack, hold_back
from asc_core.errors import ConfigError

SEEN = ("b", "c", "s1", "s2", "s3")


def rendered() -> pd.DataFrame:
    """The tables of the built-in corpus."""
    rows = [
        (item.filenames(device, None)[0], item.scene, split, item.identifier, device)
        for split, part in zip(("train", "test"), plan(SyntheticConfig()), strict=True)
        for item in part
        for device in item.devices
    ]
    return pd.DataFrame(rows, columns=["filename", "scene", "split", "location", "device"], dtype="str")


def mobile() -> pd.DataFrame:
    """Tables like those of TAU: 10 to 40 locations a scene of very unequal size, most clips of one device."""
    rng, rows = np.random.default_rng(0), []
    for number in range(350):
        scene, split = f"scene{rng.integers(10)}", "train" if number < 250 else "test"
        for segment in range(int(rng.integers(1, 80))):
            others = SEEN if split == "train" else (*SEEN, "s4", "s5", "s6")
            kept = [device for device in others if split == "test" or rng.random() < 0.07]
            for device in ("a", *kept):
                rows.append((f"audio/{scene}-x-{number}-{segment}-{device}.wav", scene, split, f"x-{number}", device))
    return pd.DataFrame(rows, columns=["filename", "scene", "split", "location", "device"], dtype="str")


@pytest.fixture(scope="module", params=[rendered, mobile])
def clips(request) -> pd.DataFrame:
    return request.param()


def locations_of(clips: pd.DataFrame) -> pd.Series:
    """How many locations each scene has."""
    return clips.groupby("scene")["location"].nunique()


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5])
def test_the_share_of_the_locations_of_every_scene_is_held_back_with_all_their_devices(clips, share):
    held = hold_back(clips, ValidationSplit(share, devices=2))
    splits = held.splits(clips)
    training, inside = clips["split"] == "train", splits == "validation"
    assert (splits[~training] == "test").all()
    assert (inside == training & clips["location"].isin(held.locations)).all()
    assert set(clips["location"][inside]) == set(held.locations)
    wanted, found = share * locations_of(clips[training]), locations_of(clips[inside])
    assert ((found - wanted).abs() <= 0.5).where(wanted >= 1, found == 1).all() and len(found) == len(wanted)
    for column in ("filename", "location"):
        assert clips.assign(split=splits).groupby(column)["split"].nunique().max() == 1


def test_devices_that_are_held_back_are_in_validation_or_in_no_split(clips):
    held = hold_back(clips, ValidationSplit(devices=["s3", "b", "s3"]))
    splits, theirs = held.splits(clips), clips["device"].isin(["b", "s3"])
    assert held.devices == ["b", "s3"]
    assert not theirs[splits == "train"].any() and set(clips["device"][splits == "train"]) == {"a", "c", "s1", "s2"}
    # Left out are their clips at the other training locations, and nothing else.
    others = (clips["split"] == "train") & ~clips["location"].isin(held.locations)
    assert (splits.isna() == theirs & others).all() and splits.isna().sum() > 50
    assert theirs[splits == "validation"].any() and theirs[splits == "test"].any()


def test_what_is_held_back_is_a_matter_of_the_seed_and_not_of_the_order_of_the_rows(clips):
    config, held = ValidationSplit(devices=2, seed=5), hold_back(clips, ValidationSplit(devices=2, seed=5))
    shuffled = clips.sample(frac=1, random_state=0)
    assert hold_back(shuffled, config) == held
    pd.testing.assert_series_equal(held.splits(shuffled).sort_index(), held.splits(clips))
    others = [hold_back(clips, replace(config, seed=seed)) for seed in range(5)]
    assert len({tuple(each.locations) for each in others}) == 5 and len({tuple(each.devices) for each in others}) > 1


def test_more_holds_back_what_less_does_and_the_locations_do_not_depend_on_the_devices(clips):
    steps = [hold_back(clips, ValidationSplit(share, number)) for share, number in ((0.1, 0), (0.2, 2), (0.5, 4))]
    for less, more in pairwise(steps):
        assert set(less.locations) < set(more.locations) and set(less.devices) < set(more.devices)
    assert steps[0].devices == []
    assert hold_back(clips, ValidationSplit(0.2, ["a"])).locations == steps[1].locations


def test_the_device_with_the_most_clips_is_never_drawn(clips):
    drawn = [hold_back(clips, ValidationSplit(devices=1, seed=seed)).devices for seed in range(40)]
    assert {name for names in drawn for name in names} == set(SEEN)
    assert hold_back(clips, ValidationSplit(devices=5)).devices == sorted(SEEN)


def test_a_scene_of_one_location_is_trained_on_and_a_location_of_two_scenes_is_in_one_split():
    rows = [("bus", "x-1"), ("park", "x-2"), ("park", "x-3")]
    rows += [("tram", location) for location in ("x-3", "x-4", "x-5", "x-1")]
    clips = pd.DataFrame(rows, columns=["scene", "location"]).assign(split="train", device="a")
    for seed in range(60):
        splits = hold_back(clips, ValidationSplit(0.3, 0, seed)).splits(clips)
        assert splits[0] == "train" and sorted(splits[1:3]) == ["train", "validation"] and splits[2] == splits[3]
        assert "validation" in splits[3:].tolist() and "train" in splits[3:].tolist()


def test_clips_of_which_the_tables_do_not_say_where_they_are_from_stay_in_training():
    clips = rendered()
    clips.loc[[0, 7], ["location", "device"]] = None
    splits = hold_back(clips, ValidationSplit()).splits(clips)
    assert splits[[0, 7]].tolist() == ["train", "train"]


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (ValidationSplit(devices=["b", "s4", "x"]), r"devices: unknown name s4, x, training has a, b, c, s1, s2, s3$"),
        (ValidationSplit(devices=6), "devices: 6 is more than the 5 training devices that there are beside the one"),
        (
            ValidationSplit(devices=["a", *SEEN]),
            "devices: without a, b, c, s1, s2, s3 there is no clip of the scene airport to train on;",
        ),
    ],
)
def test_devices_that_cannot_be_held_back_are_an_error(config, told):
    with pytest.raises(ConfigError, match=f"^{told}"):
        hold_back(rendered(), config)


def test_a_share_that_leaves_nothing_of_a_scene_is_an_error():
    clips = pd.DataFrame({"scene": ["bus"] * 4 + ["tram"] * 2, "location": list("123456")})
    clips = clips.assign(split="train", device="a")
    with pytest.raises(
        ConfigError, match=r"^locations: 0.8 of the 2 locations of the scene tram leaves none to train on; "
    ):
        hold_back(clips, ValidationSplit(0.8, 0))
    # What half of it leaves is of a device that is not trained on.
    clips.loc[4:, "device"] = ["b", "b"]
    with pytest.raises(ConfigError, match=r"^devices: without b there is no clip of the scene tram to train on; "):
        hold_back(clips, ValidationSplit(0.2, ["b"]))


@pytest.mark.parametrize("location", ["x-1", None])
def test_a_corpus_without_two_locations_of_a_scene_is_an_error(location):
    clips = pd.DataFrame({"scene": ["bus", "bus"], "location": location, "split": "train", "device": "a"})
    with pytest.raises(ConfigError, match=r"^locations: no scene has two training locations"):
        hold_back(clips, ValidationSplit())


@pytest.mark.parametrize("values", [{"locations": 0.0}, {"locations": 1.0}, {"devices": -1}, {"devices": "b"}])
def test_impossible_settings_are_an_error(values):
    with pytest.raises(ConfigError, match=rf"^{next(iter(values))}: needs "):
        ValidationSplit(**values)


def test_nothing_is_held_back_of_the_test_split():
    clips = rendered()
    held = HeldBack(sorted(set(clips["location"])), sorted(set(clips["device"])))
    assert (held.splits(clips)[clips["split"] == "test"] == "test").all()
