"""Intervals of metrics and comparisons of systems, by bootstrap over locations."""

import numpy as np
import pandas as pd
import pytest
from answers import answered, by_location, clips
from scipy.stats import t

from asc_core.comparison.bootstrap import Spread, interval, weights
from asc_core.comparison.intervals import intervals
from asc_core.comparison.systems import compare
from asc_core.comparison.tally import Design, System
from asc_core.errors import UserError
from asc_core.evaluation.metrics import metrics_of
from asc_core.evaluation.predictions import prediction_table


def flat(values: dict) -> dict:
    """{"a": {"b": 1}} as {("a", "b"): 1}."""
    parts = {name: value if isinstance(value, dict) else {None: value} for name, value in values.items()}
    return {(name, *filter(None, [key])): each for name, part in parts.items() for key, each in part.items()}


# Metrics from sums


def test_metrics_of_all_locations_once_are_those_of_the_evaluation(store):
    import torch

    rows = store.rows("test")
    answers = torch.randn(len(rows), 3, generator=torch.Generator().manual_seed(0)).mul(2)
    table = prediction_table(store, rows, answers, "net")
    found = System([table], np.zeros(1, int), Design(table)).estimates()
    expected = flat(metrics_of(answers, store, rows))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-5), name


def test_metrics_of_a_resample_are_those_of_the_clips_that_it_drew():
    """Oracle: a table in which the clips of each location stand as often as it counts."""
    rng = np.random.default_rng(0)
    own = clips(3)
    table = answered(own, rng.random(len(own)) < 0.6, rng.uniform(0.4, 1, len(own)))
    design = Design(table)
    counts = rng.integers(0, 3, len(design.locations))
    drawn = System([table], np.zeros(1, int), design).metrics(counts[None].astype(float))
    again = pd.concat([table[table["location"] == name] for name in np.repeat(design.locations, counts)])
    expected = System([again], np.zeros(1, int), Design(again)).estimates()
    for name, value in expected.items():
        assert drawn[name][0] == pytest.approx(value), name


def test_a_mean_over_networks_is_the_mean_of_their_metrics():
    rng = np.random.default_rng(0)
    own = clips(5)
    tables = [answered(own, rng.random(len(own)) < 0.6, rng.uniform(0.4, 1, len(own))) for _ in range(3)]
    design = Design(own)
    pooled = System(tables, np.zeros(3, int), design).estimates()
    alone = [System([table], np.zeros(1, int), design).estimates() for table in tables]
    for name, value in pooled.items():
        assert value == pytest.approx(np.mean([each[name] for each in alone])), name


# Resampling


def test_resampled_locations_vary_as_the_mean_of_so_many_does():
    """Oracle: the textbook variance of a stratified mean; each stratum keeps its weight in every resample."""
    rng = np.random.default_rng(0)
    strata = np.repeat([0, 1], [3, 7])
    values = rng.normal(0, [1, 1, 1, 4, 4, 4, 4, 4, 4, 4])
    drawn = weights(strata, 40_000, rng)
    np.testing.assert_allclose(drawn[:, :3].sum(axis=1), 3)
    np.testing.assert_allclose(drawn[:, 3:].sum(axis=1), 7)
    parts = values[:3], values[3:]
    expected = sum((len(part) / 10) ** 2 * part.var(ddof=1) / len(part) for part in parts)
    assert (drawn @ values / 10).var() == pytest.approx(expected, rel=0.03)
    assert (weights(np.array([4]), 5, rng) == 1).all()


def test_an_interval_is_student_ts():
    low, high = interval(50.0, Spread(4.0, 9))
    assert (low + high) / 2 == pytest.approx(50) and high - 50 == pytest.approx(2 * t.ppf(0.975, 9))
    low, high = interval(50.0, Spread(4.0, 9), Spread(4.0, 1))  # Satterthwaite: 8^2 / (16 / 9 + 16 / 1)
    assert high - 50 == pytest.approx(8**0.5 * t.ppf(0.975, 3.6))
    assert interval(50.0, Spread(4.0, 3)) is None
    assert interval(50.0, Spread(0.0, 9)) == (50, 50)


@pytest.mark.parametrize(("right", "accuracy"), [(True, [100, 100]), (False, [0, 0])])
def test_where_all_answers_are_alike_the_interval_is_a_point(right, accuracy):
    table = answered(clips(5), right)
    found = intervals({"net": table}, 200)
    assert found["accuracy"] == found["accuracy_by_device"]["c"] == found["accuracy_by_scene"]["bus"] == accuracy
    assert found["accuracy_unseen"] == accuracy
    assert found["log_loss"] == pytest.approx([-np.log(0.8 if right else 0.1)] * 2)
    assert found["calibration_error"] == pytest.approx([20, 20] if right else [80, 80])


def test_an_interval_is_that_of_the_mean_over_the_locations():
    """Oracle: Student's interval of the mean of the locations' accuracies, worked out for a hard and an easy scene."""
    own = clips(6, scenes=("bus", "tram"))
    right_there = np.array([0, 0, 1, 0, 0, 0, 1, 1, 1, 0, 1, 1], bool)
    right = by_location(own, lambda count: right_there)
    accuracies = 100.0 * right_there
    parts = accuracies[:6], accuracies[6:]
    reach = t.ppf(0.975, 10) * sum(part.var(ddof=1) / 6 / 4 for part in parts) ** 0.5
    found = intervals({"net": answered(own, right)}, 40_000)
    for metric in ("accuracy", "accuracy_micro"):
        assert found[metric] == pytest.approx([50 - reach, 50 + reach], abs=0.5)


def test_intervals_contain_the_truth_about_as_often_as_they_say():
    """200 sets of locations, which differ in how hard they are, as scenes do."""
    rng = np.random.default_rng(0)
    own = clips(6, "abcdefgh")
    level = own["scene"].map({"bus": 0.4, "park": 0.6, "tram": 0.7}).to_numpy()
    hits = 0
    for _ in range(200):
        chance = level + by_location(own, lambda count: rng.uniform(-0.3, 0.3, count))
        low, high = intervals({"net": answered(own, rng.random(len(own)) < chance)}, 300)["accuracy_micro"]
        hits += low <= 100 * (0.4 + 0.6 + 0.7) / 3 <= high
    assert 180 <= hits <= 198


def test_more_seeds_are_no_more_locations():
    own = clips(6)
    table = answered(own, by_location(own, lambda count: np.arange(count) % 3 > 0))
    one, three = (intervals({str(seed): table for seed in range(n)}) for n in (1, 3))
    assert one["accuracy"] == pytest.approx(three["accuracy"])


def test_few_locations_have_no_interval():
    assert intervals({"net": answered(clips(2, scenes=("bus", "tram")), True)}, 10)["accuracy"] is None
    found = intervals({"net": answered(clips(3), True)}, 10)
    assert found["accuracy"] == [100, 100] and found["accuracy_by_scene"]["bus"] is None
    whole = clips(5, "a")
    assert intervals({"net": answered(whole.assign(unseen=False), True)}, 10)["accuracy_unseen"] is None


def test_an_interval_is_the_same_every_time():
    own = clips(5)
    table = answered(own, by_location(own, lambda count: np.arange(count) % 3 > 0))
    assert intervals({"net": table}) == intervals({"net": table})


# Comparing


def paired(seed: int, gain: float, locations: int = 8) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two systems that find the same locations hard; the first is right on more of the clips of each."""
    rng = np.random.default_rng(seed)
    own = clips(locations, "abcdefgh")
    hard = by_location(own, lambda count: rng.uniform(0, 1, count))
    luck = rng.random(len(own))
    return answered(own, luck < hard + gain), answered(own, luck < hard)


def verdicts(first: dict, other: dict) -> dict:
    return {name: each.verdict for name, each in compare(first, other, 2000).differences.items()}


def test_pairing_tells_apart_what_the_intervals_of_each_do_not():
    better, worse = paired(0, 0.12)
    low, _ = intervals({"a": better})["accuracy"]
    _, high = intervals({"b": worse})["accuracy"]
    assert low < high
    found = compare({"a": better}, {"b": worse})
    difference = found.differences["accuracy",]
    assert difference.verdict == "better" and difference.interval[0] > 0
    assert difference.difference == pytest.approx(difference.first - difference.other)
    assert (found.clips, found.locations, found.several) == (192, 24, (False, False))
    other_way = verdicts({"b": worse}, {"a": better})
    assert other_way["accuracy",] == "worse" and other_way["log_loss",] == "worse"
    assert verdicts({"a": better}, {"b": worse})["log_loss",] == "better"


def test_only_the_slices_that_differ_are_told_to():
    own = clips(8, "abcd")
    hard = by_location(own, lambda count: np.random.default_rng(0).random(count)) < 0.7
    first, other = answered(own, hard | (own["device"] == "d").to_numpy()), answered(own, hard)
    found = verdicts({"a": first}, {"b": other})
    assert found["accuracy_unseen",] == found["accuracy_by_device", "d"] == "better"
    assert found["accuracy_seen",] == found["accuracy_by_device", "a"] == "not distinguishable"


def test_a_system_is_not_distinguishable_from_itself():
    seeds = {str(seed): paired(seed, 0.1)[0] for seed in range(2)}
    found = compare(seeds, seeds)
    assert {each.verdict for each in found.differences.values()} == {"not distinguishable"}
    assert all(each.difference == 0 for each in found.differences.values())
    low, high = found.differences["accuracy",].interval
    assert low < 0 < high  # other seeds could have differed
    assert compare({"0": seeds["0"]}, {"0 again": seeds["0"]}).differences["accuracy",].interval == (0, 0)


def test_seeds_that_differ_make_a_difference_less_sure():
    """Seeds of the first system are 0 and 20 points ahead of the other one; a third could be anywhere."""
    own = clips(8, "abcdefghij")
    each = own.groupby("location").cumcount().to_numpy()
    steady, ahead = answered(own, each < 6), answered(own, each < 8)
    assert compare({"a": ahead}, {"b": steady}).differences["accuracy",].verdict == "better"
    found = compare({"0": ahead, "1": steady}, {"2": steady, "3": steady})
    assert found.several == (True, True)
    assert found.differences["accuracy",].difference == pytest.approx(10)
    assert found.differences["accuracy",].verdict == "not distinguishable"


def test_two_seeds_of_a_kind_are_seldom_told_apart():
    """40 pairs whose clips differ by chance alone; headlines are told apart one time in twenty, slices together too."""
    rng, own = np.random.default_rng(0), clips(6, "abcdefgh")
    told: dict[str, int] = {}
    for _ in range(40):
        hard = by_location(own, lambda count: rng.uniform(0.2, 1, count))
        first, other = (answered(own, rng.random(len(own)) < hard) for _ in range(2))
        found = compare({"a": first}, {"b": other}, 300).differences
        for metric in ("accuracy", "log_loss", "accuracy_by_device", "accuracy_by_scene"):
            kinds = {each.verdict for name, each in found.items() if name[0] == metric}
            told[metric] = told.get(metric, 0) + (kinds != {"not distinguishable"})
    assert max(told.values()) <= 6, told


def test_folds_are_taken_together():
    own = [clips(5, prefix=f"fold{fold}-") for fold in (1, 2)]
    right, half = [answered(table, True) for table in own], [answered(table, table["device"] == "a") for table in own]
    found = compare(dict(zip("ab", right, strict=True)), dict(zip("cd", half, strict=True)))
    assert (found.clips, found.locations, found.several) == (90, 30, (False, False))
    assert found.differences["accuracy",].other == pytest.approx(100 / 3)
    folds = {"1": right[0], "2": half[1]}
    assert compare(folds, folds).differences["accuracy",].first == pytest.approx((100 + 100 / 3) / 2)
    uneven = {"2": half[1], "1": right[0], "1 again": right[0]}  # a fold with two seeds weighs no more
    assert compare(uneven, folds).differences["accuracy",].first == pytest.approx((100 + 100 / 3) / 2)


def test_what_is_not_of_the_same_clips_is_not_compared():
    table = answered(clips(5), True)
    first = table["filename"].iloc[0]
    for other, told in (
        (table.iloc[1:], f"b: has no clip {first}, which is in a;"),
        (table.rename(columns={"bus": "train"}).replace({"scene": {"bus": "train"}}), "b: has no scene 'bus'"),
        (table.assign(device="x"), f"{first}: is of the device a in a and of the device x in b"),
        (table.assign(unseen=True), f"{first}: is of an unseen device: False in a and of an unseen device: True in b"),
    ):
        with pytest.raises(UserError, match=told):
            compare({"a": table}, {"b": other})
        with pytest.raises(UserError, match=told):
            intervals({"a": table, "b": other})
    with pytest.raises(UserError, match="c: has no clip"):
        compare({"a": table}, {"c": answered(clips(5, prefix="x"), True)})
