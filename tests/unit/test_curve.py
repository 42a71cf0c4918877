"""The learning curve of a training: whole when the training was interrupted."""

import pytest

from asc_core.models.config import NetworkConfig
from asc_core.training.augmentation.config import AugmentConfig
from asc_core.training.config import Schedule, TrainingConfig
from asc_core.training.job import Job
from asc_core.training.loop import untrained
from pipeline.runtime import training
from pipeline.runtime.journal import SilentJournal
from pipeline.runtime.training import Training


class Killed(Exception):
    pass


class Killer(SilentJournal):
    """Ends a training in an epoch: its curve has that epoch then, and its state has not."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def metrics(self, values, step=0, *, summary=False):
        if step == self.epoch:
            raise Killed


def test_a_curve_has_every_epoch_once_whatever_interrupts_the_training(store, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "STATES", tmp_path / "states")
    job = Job(Schedule(epochs=4, learning_rate=0.01), TrainingConfig(batch_size=24), AugmentConfig(), seed=0)

    def train(curve, *journals):
        for journal in journals:
            network = untrained(NetworkConfig(tau=0.5), store, 0)
            with Training(journal, curve) as fit:
                if isinstance(journal, Killer):
                    with pytest.raises(Killed):
                        fit("prune", network, store, job)
                    assert not curve.exists()
                else:
                    fit("prune", network, store, job)

    train(tmp_path / "whole.csv", SilentJournal())
    train(tmp_path / "broken.csv", Killer(3), Killer(3), Killer(4), SilentJournal())
    assert (tmp_path / "broken.csv").read_text() == (tmp_path / "whole.csv").read_text()
    head, *rows = (tmp_path / "whole.csv").read_text().splitlines()
    assert head == "epoch,loss,learning_rate" and [row.split(",")[0] for row in rows] == ["1", "2", "3", "4"]
    assert list((tmp_path / "states").iterdir()) == []
