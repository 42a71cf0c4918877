"""The metrics of the challenge."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import log_loss
from torch import nn

from asc_core.evaluation.metrics import measure
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
    metrics = measure(logits(BUS), table, table.rows("test"))
    nll = -np.log([0.9, 0.4, 0.8, 0.4, 0.7, 0.2])  # of the true scene; right: 0, 2 and 4
    expected = {
        "accuracy": 50,
        "log_loss": nll.mean(),
        "accuracy_seen": 200 / 3,
        "accuracy_unseen": 100 / 3,
        "accuracy_by_device": {"a": 50, "b": 100, "s4": 50, "s5": 0},
        "log_loss_by_device": {"a": nll[:2].mean(), "b": nll[2], "s4": nll[3:5].mean(), "s5": nll[5]},
        "accuracy_by_scene": {"bus": 200 / 3, "tram": 100 / 3},
    }
    assert metrics.keys() == expected.keys()
    for name, value in expected.items():
        assert metrics[name] == pytest.approx(value, rel=1e-5), name


def test_log_loss_is_that_of_scikit_learn(table):
    rows = table.rows("test")
    answers = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    expected = log_loss(table.labels[rows], answers.double().softmax(dim=1), labels=[0, 1])
    assert measure(answers, table, rows)["log_loss"] == pytest.approx(expected)


def test_log_loss_of_a_sure_and_wrong_answer_is_finite(table):
    answers = torch.tensor([[1000.0, 0.0]]).repeat(6, 1)
    assert measure(answers, table, table.rows("test"))["log_loss"] == pytest.approx(500)


def test_only_unseen_devices_count_as_unseen(table):
    rows = table.rows("test")
    bus = BUS.copy()
    bus[3:] = [0.1, 0.9, 0.1]  # all clips of s4 and s5 right
    metrics = measure(logits(bus), table, rows)
    assert metrics["accuracy_unseen"] == 100 and metrics["accuracy_seen"] == pytest.approx(200 / 3)


def test_there_is_no_accuracy_where_there_is_no_device(table):
    seen, unseen = np.array([2, 3, 4]), np.array([5, 6, 7])
    assert measure(logits(BUS[:3]), table, seen)["accuracy_unseen"] is None
    metrics = measure(logits(BUS[3:]), table, unseen)
    assert metrics["accuracy_seen"] is None and metrics["accuracy"] == metrics["accuracy_unseen"]
    assert metrics["accuracy_by_device"].keys() == {"s4", "s5"}


def test_the_rows_decide_which_clips_the_logits_belong_to(table):
    rows = table.rows("test")
    backwards = measure(logits(BUS[::-1].copy()), table, rows[::-1].copy())
    for name, value in measure(logits(BUS), table, rows).items():
        assert backwards[name] == pytest.approx(value), name


def test_predictions_are_the_networks_answers_in_the_order_of_the_rows(store):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(32 * 24, 3), nn.Dropout(0.5)).train()
    rows = np.array([50, 3, 60, 3, 11])
    expected = network[1](torch.from_numpy(np.asarray(store.array[rows], np.float32)).flatten(1)).detach()
    for batch_size in (1, 2, 64):
        torch.testing.assert_close(predict(network, store, rows, batch_size), expected, atol=1e-4, rtol=1e-4)
    assert not network.training
