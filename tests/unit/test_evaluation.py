"""The metrics of the challenge."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, log_loss
from torch import nn

from asc_core.errors import UserError
from asc_core.evaluation.metrics import calibration_error, log_losses, metrics_of
from asc_core.evaluation.predictions import prediction_table
from asc_core.models.inference import predict

CLIPS = pd.DataFrame(
    [
        ("bus", "a", "train"),
        ("tram", "b", "train"),
        ("bus", "a", "test"),
        ("bus", "a", "test"),
        ("tram", "b", "test"),
        ("tram", "s4", "test"),
        ("bus", "s4", "test"),
        ("tram", "s5", "test"),
    ],
    columns=["scene", "device", "split"],
)
# The probability that the network gives to "bus", for the six clips of the test split.
BUS = np.array([0.9, 0.4, 0.2, 0.6, 0.7, 0.8])


@pytest.fixture(scope="module")
def table(tmp_path_factory, write_store):
    """Two training clips and six test clips; the content of the features does not matter."""
    return write_store(tmp_path_factory.mktemp("table") / "store", CLIPS, np.zeros((8, 32, 4)))


def logits(bus):
    return torch.tensor(np.log(np.stack([bus, 1 - bus], axis=1)) + 5, dtype=torch.float32)


def test_the_metrics_equal_those_computed_by_hand(table):
    metrics = metrics_of(logits(BUS), table, table.rows("test"))
    nll = -np.log([0.9, 0.4, 0.8, 0.4, 0.7, 0.2])  # of the true scene; right: 0, 2 and 4
    expected = {
        "accuracy": 50,  # of bus 2 of 3, of tram 1 of 3
        "accuracy_micro": 50,
        "log_loss": nll.mean(),
        "accuracy_seen": 75,  # of bus 1 of 2, of tram the only one
        "accuracy_unseen": 50,  # of bus the only one, of tram none of 2
        "accuracy_by_device": {"a": 50, "b": 100, "s4": 50, "s5": 0},
        "log_loss_by_device": {"a": nll[:2].mean(), "b": nll[2], "s4": nll[3:5].mean(), "s5": nll[5]},
        "accuracy_by_scene": {"bus": 200 / 3, "tram": 100 / 3},
    }
    assert metrics.keys() == {*expected, "calibration_error"}
    for name, value in expected.items():
        assert metrics[name] == pytest.approx(value, rel=1e-5), name


def test_the_calibration_error_equals_one_computed_by_hand(table):
    """Bins of a fifteenth: 0.70, 0.71 and 0.72 are in one, 0.9 in another, and 0.61 and 0.65 in one."""
    bus = np.array([0.70, 0.29, 0.28, 0.90, 0.61, 0.35])
    gaps = [0.70 - 1 + 0.71 - 0 + 0.72 - 1, 0.90 - 0, 0.61 - 1 + 0.65 - 1]
    expected = 100 * np.abs(gaps).sum() / 6
    assert metrics_of(logits(bus), table, table.rows("test"))["calibration_error"] == pytest.approx(expected)


def test_the_calibration_error_of_a_network_that_knows_how_sure_it_is_is_none():
    rng = np.random.default_rng(0)
    sure = np.repeat([0.55, 0.75, 0.95], 40_000)
    probabilities, labels = np.stack([sure, 1 - sure], axis=1), (rng.random(len(sure)) > sure).astype(int)
    assert calibration_error(probabilities, labels) < 0.5
    assert calibration_error(np.eye(2)[labels], labels) == 0 and calibration_error(np.eye(2)[1 - labels], labels) == 100


def test_log_loss_is_that_of_scikit_learn(table):
    rows = table.rows("test")
    answers = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    expected = log_loss(table.labels[rows], answers.double().softmax(dim=1), labels=[0, 1])
    assert metrics_of(answers, table, rows)["log_loss"] == pytest.approx(expected)


def test_accuracy_is_averaged_over_the_scenes_overall_and_within_each_device(write_store, tmp_path):
    rng = np.random.default_rng(0)
    scenes = rng.choice(["bus", "park", "tram"], 300, p=[0.8, 0.15, 0.05])
    devices = rng.choice(["a", "b", "s4"], 300)
    clips = pd.DataFrame({"scene": scenes, "device": devices, "split": ["train", "test"] * 150})
    clips.loc[clips["device"] == "s4", "split"] = "test"
    store = write_store(tmp_path / "store", clips, np.zeros((300, 32, 4)))
    rows = store.rows("test")
    answers = torch.randn(len(rows), 3) + 2 * nn.functional.one_hot(store.labels[rows], 3)
    answers[:, 0] += 1
    metrics, found, truth = metrics_of(answers, store, rows), answers.argmax(dim=1).numpy(), store.labels[rows].numpy()
    assert metrics["accuracy"] == pytest.approx(100 * balanced_accuracy_score(truth, found))
    assert metrics["accuracy_micro"] == pytest.approx(100 * (truth == found).mean()) != metrics["accuracy"]
    for device, value in metrics["accuracy_by_device"].items():
        own = devices[rows] == device
        assert value == pytest.approx(100 * balanced_accuracy_score(truth[own], found[own]))
    assert metrics["accuracy_unseen"] == metrics["accuracy_by_device"]["s4"]


@pytest.mark.parametrize("least", [1e-15, 0.0, 1e-300])
def test_log_loss_is_bounded_and_its_probabilities_are_brought_to_a_sum_of_one_again(least):
    """Worked out for three classes: two of them have hardly any probability, and one of those is right."""
    probabilities = np.array([[1 - 2 * least, least, least], [0.5, 0.5, least]])
    bounded = 1e-15
    expected = [-np.log(bounded / (1 - bounded + 2 * bounded)), -np.log(0.5 / (1 + bounded))]
    np.testing.assert_allclose(log_losses(probabilities, np.array([1, 0])), expected, rtol=1e-14)


def test_log_loss_of_a_sure_and_wrong_answer_is_finite(table):
    answers = torch.tensor([[1000.0, 0.0]]).repeat(6, 1)
    assert metrics_of(answers, table, table.rows("test"))["log_loss"] == pytest.approx(-np.log(1e-15) / 2)


def test_only_unseen_devices_count_as_unseen(table):
    rows = table.rows("test")
    bus = BUS.copy()
    bus[3:] = [0.1, 0.9, 0.1]  # all clips of s4 and s5 right
    metrics = metrics_of(logits(bus), table, rows)
    assert metrics["accuracy_unseen"] == 100 and metrics["accuracy_seen"] == pytest.approx(75)


def test_there_is_no_accuracy_where_there_is_no_device(table):
    seen, unseen = np.array([2, 3, 4]), np.array([5, 6, 7])
    assert metrics_of(logits(BUS[:3]), table, seen)["accuracy_unseen"] is None
    metrics = metrics_of(logits(BUS[3:]), table, unseen)
    assert metrics["accuracy_seen"] is None and metrics["accuracy"] == metrics["accuracy_unseen"]
    assert metrics["accuracy_by_device"].keys() == {"s4", "s5"}


def test_the_rows_decide_which_clips_the_logits_belong_to(table):
    rows = table.rows("test")
    backwards = metrics_of(logits(BUS[::-1].copy()), table, rows[::-1].copy())
    for name, value in metrics_of(logits(BUS), table, rows).items():
        assert backwards[name] == pytest.approx(value), name


def test_predictions_are_the_networks_answers_in_the_order_of_the_rows(store):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(32 * 24, 3), nn.Dropout(0.5)).train()
    rows = np.array([50, 3, 60, 3, 11])
    expected = network[1](torch.from_numpy(np.asarray(store.array[rows], np.float32)).flatten(1)).detach()
    for batch_size in (1, 2, 64):
        torch.testing.assert_close(predict(network, store, rows, batch_size), expected, atol=1e-4, rtol=1e-4)
    assert not network.training


def test_an_answer_that_is_not_finite_is_an_error_that_names_the_clip(store):
    class Broken(nn.Module):
        def forward(self, x):
            return x.mean(dim=(1, 2))[:, :3] / 0

    rows = store.rows("test")
    first = store.clips["filename"].iloc[rows[0]]
    with pytest.raises(UserError, match=f"{store.folder}: what the network answers to {first} is not finite"):
        predict(Broken(), store, rows)


def test_a_table_of_predictions_has_what_it_takes_to_judge_each_answer(store):
    rows = store.rows("test")[::-1].copy()
    answers = torch.randn(len(rows), 3, generator=torch.Generator().manual_seed(0))
    found, clips = prediction_table(store, rows, answers, "mine"), store.clips.iloc[rows]
    assert list(found) == ["filename", "scene", "device", "model", "location", "unseen", "bus", "park", "tram"]
    for column in ("filename", "scene", "device", "location"):
        assert found[column].tolist() == clips[column].tolist()
    assert set(found["model"]) == {"mine"} and set(found["device"][found["unseen"]]) == {"c"}
    torch.testing.assert_close(torch.from_numpy(found[store.scenes].to_numpy(copy=True)), answers.softmax(dim=1))


def test_a_scene_that_is_called_what_a_column_is_costs_one_line(write_store, tmp_path):
    clips = CLIPS.replace({"scene": {"tram": "location"}}).assign(filename="x", location="y")
    store = write_store(tmp_path / "store", clips, np.zeros((8, 32, 4)))
    with pytest.raises(UserError, match="a scene is called 'location', as a column of predictions is; rename it"):
        prediction_table(store, store.rows("test"), torch.zeros(6, 2), "mine")
