"""AdamW and averages of the weights, beside and after a step of SGD."""

import copy
import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from test_saved import interrupted, write_again
from test_training import JOB, fresh, same, trained
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from asc_core.compression.config import PruningConfig
from asc_core.compression.prune import conv_weights
from asc_core.errors import ConfigError
from asc_core.files import digest
from asc_core.training.averages import Averages
from asc_core.training.config import Schedule, TrainingConfig
from asc_core.training.loop import fit
from asc_core.training.optimizer import optimizer
from asc_core.training.saved import Unusable, checksum, resume
from asc_core.training.sparsity import Sparsity
from asc_core.training.state import State

ADAMW = replace(JOB, schedule=replace(JOB.schedule, learning_rate=0.002, optimizer="adamw"))
AVERAGED = replace(ADAMW, training=replace(JOB.training, ema=0.9), sparsity=Sparsity(PruningConfig(0.6, 4)))


def test_the_first_step_of_adamw_is_that_of_the_paper():
    """arXiv 1711.05101, algorithm 2: corrected for their bias, the first moments are the gradient and its square."""
    weight = nn.Parameter(torch.tensor([1.0, -2.0]))
    step = optimizer([weight], replace(ADAMW.schedule, weight_decay=0.1), TrainingConfig(weight_decay=0.5))
    step.param_groups[0]["lr"] = 0.01
    weight.grad = torch.tensor([3.0, -4.0])
    step.step()
    expected = torch.tensor([1.0, -2.0]) * (1 - 0.01 * 0.1) - 0.01 * torch.tensor([1.0, -1.0])
    torch.testing.assert_close(weight.detach(), expected)


@pytest.mark.parametrize(("own", "decay"), [(None, 0.5), (0.25, 0.25)])
@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_a_schedule_may_have_a_weight_decay_of_its_own(store, name, own, decay):
    schedule = Schedule(1, 0.01, optimizer=name, weight_decay=own)
    job = replace(JOB, schedule=schedule, training=TrainingConfig(16, weight_decay=0.5))
    assert State.begin(fresh(store), store, job).optimizer.param_groups[0]["weight_decay"] == decay


@pytest.mark.parametrize("job", [JOB, ADAMW], ids=["sgd", "adamw"])
def test_no_training_waits_for_the_compiler_of_torch(store, job, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch._dynamo", None)  # its import is an error
    trained(store, replace(job, schedule=replace(job.schedule, epochs=1, warmup_epochs=0)))
    step = State.begin(fresh(store), store, job).optimizer
    step.load_state_dict(step.state_dict())


def test_an_optimiser_that_there_is_not_is_named(store):
    with pytest.raises(ConfigError, match=r"^optimizer: needs one of sgd, adamw, got 'lion'$"):
        State.begin(fresh(store), store, replace(JOB, schedule=Schedule(1, 0.1, optimizer="lion")))


def test_averages_follow_their_equation_and_can_be_exchanged():
    network, expected = nn.BatchNorm2d(3), torch.ones(3)
    averages = Averages(network, 0.3)
    for step, decay in enumerate([1 / 10, 2 / 11, 3 / 12, 0.3, 0.3]):
        nn.init.normal_(network.weight)
        network.num_batches_tracked.add_(1)
        averages.update(step)
        expected = decay * expected + (1 - decay) * network.weight.detach()
    last = copy.deepcopy(network)
    averages.exchange()
    torch.testing.assert_close(network.weight.detach(), expected)
    assert network.num_batches_tracked == 5
    averages.exchange()
    assert same(network, last)


def test_a_training_ends_with_the_averages_and_its_steps_are_those_without(store):
    """Watched from outside: the weights after every step, their average, and statistics of plain clips."""
    plain, seen = fresh(store), []
    hook = register_optimizer_step_post_hook(lambda *_: seen.append(plain.classifier.weight.detach().clone()))
    average = plain.classifier.weight.detach().clone()
    try:
        fit(plain, store, ADAMW, label="test")
    finally:
        hook.remove()
    for step, weight in enumerate(seen):
        decay = min(0.9, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * weight
    ended = trained(store, replace(ADAMW, training=replace(JOB.training, ema=0.9)))
    assert len(seen) == 12
    torch.testing.assert_close(ended.classifier.weight.detach(), average)
    x = store.batch(store.rows("train")).float()
    norm, heard = next(each for each in ended.modules() if isinstance(each, nn.BatchNorm2d)), []
    norm.register_forward_pre_hook(lambda module, inputs: heard.append(inputs[0]))
    with torch.no_grad():
        ended(x)
    torch.testing.assert_close(norm.running_mean, heard[0].mean(dim=(0, 2, 3)), rtol=1e-3, atol=1e-4)


def test_looking_at_the_validation_split_leaves_averages_and_steps_as_they_are(store, write_store, tmp_path):
    clips = store.clips.replace({"split": {"test": "validation"}})
    split, job, told = write_store(tmp_path / "split", clips, store.array), replace(AVERAGED, sparsity=None), []
    network = trained(split, job, on_epoch=lambda epoch, metrics: told.append(metrics["validation_log_loss"]))
    assert same(network, trained(store, job))
    plain = replace(job, training=replace(job.training, ema=None))
    alone: list[float] = []
    trained(split, plain, on_epoch=lambda epoch, metrics: alone.append(metrics["validation_log_loss"]))
    assert all(one != other for one, other in zip(told, alone, strict=True))


def test_averages_of_what_was_pruned_are_zero(store):
    network = trained(store, AVERAGED)
    weights = torch.cat([weight.flatten() for weight in conv_weights(network)])
    assert int((weights == 0).sum()) == round(0.6 * len(weights))


@pytest.mark.parametrize("job", [ADAMW, AVERAGED], ids=["adamw", "averaged"])
def test_an_interrupted_training_ends_with_the_weights_of_an_uninterrupted_one(store, tmp_path, job):
    whole = trained(store, job)
    path = interrupted(store, tmp_path / "state", job)
    torch.manual_seed(99)
    assert same(trained(store, job, saved=path), whole)


@pytest.fixture(scope="module")
def state(store, tmp_path_factory):
    """The bytes of a state after two epochs of AdamW, with averages."""
    return interrupted(store, tmp_path_factory.mktemp("state") / "state", AVERAGED).read_bytes()


FORGED = {
    "a step back": (lambda it: it["optimizer.0.step"].sub_(1), "how far the optimiser is"),
    "no step": (lambda it: it.pop("optimizer.3.step"), "not all that an optimiser needs"),
    "no squares": (lambda it: it.pop("optimizer.3.exp_avg_sq"), "not all that an optimiser needs"),
    "squares below zero": (lambda it: it["optimizer.1.exp_avg_sq"].neg_(), "squares below zero"),
    "no average": (lambda it: it.pop("averages.classifier.weight"), "another network"),
    "a momentum": (
        lambda it: it.update({"optimizer.0.momentum_buffer": it["optimizer.0.exp_avg"].clone()}),
        "another network",
    ),
    "a long step": (lambda it: it.update({"optimizer.0.step": torch.zeros(2)}), "another size"),
}


@pytest.mark.parametrize("forged", FORGED)
def test_what_no_training_writes_is_refused_though_its_checksum_fits(store, state, tmp_path, forged):
    change, told = FORGED[forged]
    path = tmp_path / "state"
    path.write_bytes(state)
    tensors = load_file(path)
    change(tensors)
    network = fresh(store)
    begun, before = State.begin(network, store, AVERAGED), copy.deepcopy(network)
    write_again(path, state, change, checksum=checksum(tensors, "2", digest(repr(AVERAGED))))
    with pytest.raises(Unusable, match=told):
        resume(path, begun)
    assert same(network, before) and begun.epoch == 0 and not begun.optimizer.state_dict()["state"]
    assert all(torch.equal(begun.averages.tensors[name], tensor) for name, tensor in before.state_dict().items())
