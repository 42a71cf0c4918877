"""Teachers that hear every clip once, before the training."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_training import JOB, PLAIN, fresh, trained
from torch import nn

from asc_core.training.augmentation.mixup import Mixup
from asc_core.training.batches import batches
from asc_core.training.config import DistillationConfig, Schedule
from asc_core.training.objective import Teacher, objective

OFFLINE = DistillationConfig(0.9, 2.0, offline=True)


class Listener(nn.Module):
    """Answers with numbers of the clip itself, and counts the clips that it has heard."""

    heard = 0

    def forward(self, x):
        self.heard += len(x)
        return 10 * x[:, 0, :3, 0]


def test_each_answer_is_the_one_to_its_clip(store):
    rows, listener = store.rows("train")[5:], Listener()
    answers = Teacher(listener, OFFLINE).offline(store, rows)
    assert not answers[:5].any() and not answers[store.rows("test")].any()
    rng = torch.Generator().manual_seed(3)
    for batch in batches(store, rows, 8, rng, torch.device("cpu"), answers):
        torch.testing.assert_close(batch.answers, (listener(batch.x) / 2).softmax(dim=1))


def test_without_augmentation_it_teaches_what_it_would_have_taught_in_every_epoch(store):
    losses, teachers = [], [fresh(store, seed=seed).eval() for seed in (5, 5, 6)]
    for teacher, offline in zip(teachers, (False, True, True), strict=True):
        job = replace(JOB, augment=PLAIN, teacher=Teacher(teacher, DistillationConfig(0.9, 2.0, offline)))
        job = replace(job, schedule=Schedule(epochs=1, learning_rate=0.05))
        trained(store, job, on_epoch=lambda epoch, metrics: losses.append(metrics["loss"]))
    assert losses[1] == pytest.approx(losses[0], rel=1e-4) and losses[2] != pytest.approx(losses[0], rel=1e-2)


def test_it_hears_the_clips_once(store):
    listener = Listener()
    trained(store, replace(JOB, teacher=Teacher(listener, OFFLINE)))
    assert JOB.schedule.epochs > 1 and listener.heard == len(store.rows("train"))


def test_mixup_mixes_its_answers_as_it_mixes_the_labels(store):
    labels = nn.functional.one_hot(store.labels, 3).float()
    (batch,) = batches(store, store.rows("train"), 48, torch.Generator(), torch.device("cpu"), labels)
    mixed = Mixup(0.3)(batch, torch.Generator().manual_seed(0))
    assert torch.equal(mixed.answers, mixed.targets) and not torch.equal(mixed.answers, batch.answers)


def test_a_teacher_that_is_quite_sure_teaches_a_finite_amount():
    logits, answers = torch.zeros(2, 3), torch.eye(3)[:2]
    loss = objective(logits, answers, torch.zeros(2, 1, 2, 2), Teacher(Listener(), OFFLINE), answers).item()
    assert loss == pytest.approx((0.1 + 0.9 * 4) * np.log(3), rel=1e-5)
