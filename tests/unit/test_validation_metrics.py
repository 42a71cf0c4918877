"""What a training says of the validation split, and that it never looks at the test split."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from asc_core.errors import UserError
from asc_core.evaluation.metrics import metrics_of, score
from asc_core.models.config import NetworkConfig
from asc_core.models.inference import predict
from asc_core.models.networks import build
from asc_core.training.augmentation.config import AugmentConfig
from asc_core.training.config import Schedule, TrainingConfig
from asc_core.training.job import Job
from asc_core.training.loop import fit, fit_input

JOB = Job(
    Schedule(epochs=3, learning_rate=0.05, warmup_epochs=1),
    TrainingConfig(batch_size=16, precision="float32"),
    AugmentConfig(roll_seconds=0.3),
    seed=3,
)


def trained(store, **more):
    """A network, and the metrics of each epoch of its training."""
    torch.manual_seed(0)
    network, epochs = build(NetworkConfig(), len(store.scenes)), []
    fit_input(network, store)
    fit(network, store, JOB, label="test", on_epoch=lambda epoch, metrics: epochs.append(metrics), **more)
    return network, epochs


@pytest.fixture(scope="module")
def split(store, write_store, tmp_path_factory):
    """The clips of `store` with the test clips of devices b and c for validation, and NaN in what is left of the test.

    Device c is not in the training split.
    """
    clips, array = store.clips.copy(), np.array(store.array)
    clips.loc[(clips["split"] == "test") & clips["device"].isin(["b", "c"]), "split"] = "validation"
    array[clips["split"] == "test"] = np.nan
    return write_store(tmp_path_factory.mktemp("split") / "features", clips, array)


@pytest.fixture(scope="module")
def outcome(split):
    return trained(split)


def test_every_epoch_has_the_metrics_of_the_validation_split(split, outcome):
    network, epochs = outcome
    assert split.unseen == ["c"] and len(split.rows("validation")) == 12
    for metrics in epochs:
        assert {name for name in metrics if "validation" in name} == {
            "validation_accuracy", "validation_accuracy_seen", "validation_accuracy_unseen", "validation_log_loss",
        }  # fmt: skip
    rows = split.rows("validation")
    found = metrics_of(predict(network, split, rows), split, rows)
    for name in ("accuracy", "accuracy_seen", "accuracy_unseen", "log_loss"):
        assert epochs[-1][f"validation_{name}"] == pytest.approx(found[name], rel=1e-5), name
    assert epochs[0]["validation_log_loss"] != epochs[-1]["validation_log_loss"]


def test_the_test_split_is_never_read(split, outcome):
    """Its clips are not finite numbers, and a reader of one ends with an error."""
    assert len(outcome[1]) == 3
    with pytest.raises(UserError, match=r"the features in row \d+ are not finite"):
        score(outcome[0], split)


def test_looking_at_the_validation_split_changes_no_weight(split, outcome, write_store, tmp_path):
    own = split.rows("train")
    alone = write_store(tmp_path / "alone", split.clips.iloc[own].reset_index(drop=True), split.array[own])
    network, epochs = trained(alone)
    assert not [name for metrics in epochs for name in metrics if "validation" in name]
    ours, others = outcome[0].state_dict(), network.state_dict()
    assert ours.keys() == others.keys() and all(torch.equal(ours[name], others[name]) for name in ours)


def test_devices_of_one_kind_have_no_accuracy_of_the_other(split, write_store, tmp_path):
    clips = split.clips.copy()
    clips.loc[clips["device"] == "c", "split"] = "test"
    _, epochs = trained(write_store(tmp_path / "seen", clips, split.array))
    assert "validation_accuracy_seen" in epochs[0] and "validation_accuracy_unseen" not in epochs[0]


def test_the_progress_line_shows_the_validation_accuracy(split, store, capsys):
    _, epochs = trained(split)
    lines = capsys.readouterr().out.splitlines()
    for line, metrics in zip(lines, epochs, strict=True):
        assert f"  validation {metrics['validation_accuracy']:.1f} %  " in line
    trained(store)
    assert "validation" not in capsys.readouterr().out


def test_a_caller_can_end_a_training_by_an_exception_of_its_own(store, tmp_path):
    class Hopeless(Exception):
        pass

    def judge(epoch, metrics):
        seen.append(epoch)
        if epoch == 2:
            raise Hopeless

    seen, network = [], build(NetworkConfig(), len(store.scenes))
    fit_input(network, store)
    with pytest.raises(Hopeless):
        fit(network, store, JOB, label="test", saved=tmp_path / "state", on_epoch=judge)
    assert seen == [1, 2] and (tmp_path / "state").exists()


def test_a_split_without_clips_cannot_be_scored(store):
    with pytest.raises(UserError, match="the split validation has no clips"):
        score(nn.Identity(), store, "validation")


def test_the_score_of_a_split_is_that_of_its_clips(split, outcome):
    logits, metrics = score(outcome[0], split, "validation")
    rows = split.rows("validation")
    assert len(logits) == len(rows) and metrics == metrics_of(logits, split, rows)
    assert metrics["accuracy_by_device"].keys() == {"b", "c"}


def test_a_split_that_is_none_of_the_three_is_refused(store, write_store, tmp_path):
    clips = pd.concat([store.clips.iloc[:1].assign(split="dev"), store.clips.iloc[1:]])
    with pytest.raises(UserError, match="a split that is none of train, validation, test"):
        write_store(tmp_path / "other", clips, store.array)
