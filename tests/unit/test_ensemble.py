"""Several networks as one: teachers whose mean logits a student learns from."""

from dataclasses import replace

import pytest
import torch
from test_training import JOB, Constant, evaluate, example, fresh, same, softmax, trained  # noqa: F401 (a fixture)

from asc_core.compression.size import totals
from asc_core.errors import UserError
from asc_core.models import checkpoint, ensemble
from asc_core.models.config import NetworkConfig
from asc_core.models.inference import predict
from asc_core.models.macs import costs
from asc_core.models.networks import build, lay_out
from asc_core.training.config import DistillationConfig
from asc_core.training.objective import Teacher


@pytest.fixture(scope="module")
def both(store):
    return [fresh(store, seed=1).eval(), fresh(store, seed=2).eval()]


def test_an_ensemble_answers_with_the_mean_of_its_logits(store, both):
    rows = store.rows("test")
    one, other = (predict(network, store, rows) for network in both)
    torch.testing.assert_close(predict(ensemble.together(both), store, rows), (one + other) / 2)
    assert ensemble.together(both[:1]) is both[0]


def test_an_ensemble_is_as_large_as_its_networks_together(both):
    whole, shape = ensemble.together(both), (1, 32, 24)
    for count in (totals, lambda network: costs(network, shape)):
        one, other, sums = count(both[0]), count(both[1]), count(whole)
        assert all(sums[key] == one[key] + other[key] for key in sums if key != "weight_bits")


def test_checkpoints_are_loaded_as_one_network(store, both, tmp_path):
    paths = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for path, network in zip(paths, both, strict=True):
        checkpoint.save(path, network, NetworkConfig(norm="resnorm"), store.scenes)
    loaded = ensemble.load(paths)
    assert not loaded.training and same(loaded, ensemble.together(both))
    with pytest.raises(UserError, match="missing"):
        ensemble.load([tmp_path / "missing.safetensors"])


def test_a_student_learns_from_the_mean_of_the_logits_and_not_of_the_probabilities(example):  # noqa: F811
    logits, answers, targets, cross_entropy = example
    teacher = ensemble.together([Constant(3 * answers), Constant(-answers)])
    expected, student = softmax(answers / 2.0), softmax(logits / 2.0)
    divergence = (expected * torch.tensor(expected / student).log().numpy()).sum(axis=1).mean()
    found = evaluate(logits, targets, Teacher(teacher, DistillationConfig(0.9, 2.0)))
    assert found == pytest.approx(0.1 * cross_entropy + 0.9 * 4 * divergence, rel=1e-5)


def test_the_networks_of_an_ensemble_lie_in_memory_as_each_is_fastest(both):
    other = build(NetworkConfig("cp_resnet", width=8), 3)
    whole = ensemble.together([both[0], other])
    lay_out(whole, training=True)
    assert all(each.is_contiguous() for each in both[0].parameters())
    assert not all(each.is_contiguous() for each in other.parameters())
    lay_out(whole, training=False)
    assert all(each.is_contiguous() for each in whole.parameters())


def test_two_teachers_of_one_kind_teach_what_that_one_teaches(store, both):
    alone, twice = (
        trained(store, replace(JOB, teacher=Teacher(ensemble.together(part), DistillationConfig())))
        for part in ([both[0]], [both[0], both[0]])
    )
    other = trained(store, replace(JOB, teacher=Teacher(ensemble.together(both), DistillationConfig())))
    assert same(alone, twice) and not same(alone, other)
