"""The fit loop: learning, reproducibility, interruption, and what it minimises."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from asc_core.compression.config import PruningConfig
from asc_core.compression.prune import conv_weights, prune
from asc_core.errors import ConfigError, UserError
from asc_core.models.config import NetworkConfig
from asc_core.models.inference import predict
from asc_core.models.networks import build
from asc_core.training.augmentation.config import AugmentConfig
from asc_core.training.augmentation.device_transfer import DeviceTransfer
from asc_core.training.augmentation.freq_mixstyle import FreqMixStyle
from asc_core.training.augmentation.spec_augment import SpecAugment
from asc_core.training.batches import batches
from asc_core.training.config import DistillationConfig, Schedule, TrainingConfig
from asc_core.training.job import Job
from asc_core.training.loop import Diverged, fit, fit_input
from asc_core.training.objective import Teacher, objective
from asc_core.training.sparsity import Sparsity
from asc_core.training.state import autocast_dtype

JOB = Job(
    Schedule(epochs=4, learning_rate=0.05, warmup_epochs=1),
    TrainingConfig(batch_size=16, precision="float32"),
    AugmentConfig(roll_seconds=0.3, spec_augment=SpecAugment(max_bands=4, max_frames=4)),
    seed=3,
)
PLAIN = AugmentConfig(roll_seconds=0, mixup_alpha=0, spec_augment=None)


def fresh(store, seed=0, norm="resnorm"):
    torch.manual_seed(seed)
    network = build(NetworkConfig(norm=norm), len(store.scenes))
    fit_input(network, store)
    return network


def same(first, second):
    one, other = first.state_dict(), second.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def trained(store, job=JOB, **more):
    network = fresh(store)
    fit(network, store, job, label="test", **more)
    return network


@pytest.fixture(scope="module")
def reference(store):
    """The network of an uninterrupted training, and the metrics of its epochs."""
    seen = []
    return trained(store, on_epoch=lambda epoch, metrics: seen.append((epoch, metrics))), seen


def test_every_epoch_is_shuffled_and_augmented_anew(store):
    heard = []
    network = fresh(store)
    network.register_forward_pre_hook(lambda module, inputs: heard.append(inputs[0]))
    plain = replace(JOB, schedule=Schedule(2, 0.05), augment=PLAIN)
    for job in (plain, replace(plain, augment=JOB.augment.masked(False))):
        heard.clear()
        fit(network, store, job, label="test")
        assert len(heard) == 6
        first, second = torch.cat(heard[:3]), torch.cat(heard[3:])
        assert not torch.equal(first, second)
        again = [(second == clip).all(dim=(1, 2, 3)).any() for clip in first[:, None]]
        assert all(again) if job is plain else not any(again)


def test_training_lowers_the_loss_and_learns(store):
    losses = []
    job = replace(JOB, schedule=Schedule(12, 0.05, 1), augment=replace(PLAIN, roll_seconds=0.3))
    network = trained(store, job, on_epoch=lambda epoch, metrics: losses.append(metrics["loss"]))
    assert losses[-1] < 0.7 * losses[0]
    rows = store.rows("test")
    assert (predict(network, store, rows).argmax(dim=1) == store.labels[rows]).float().mean() > 0.6


def test_the_result_is_in_evaluation_mode_and_every_epoch_is_reported(reference):
    network, seen = reference
    assert not any(module.training for module in network.modules())
    assert [epoch for epoch, _ in seen] == [1, 2, 3, 4]
    assert all(metrics["clips_per_second"] > 0 and math.isfinite(metrics["loss"]) for _, metrics in seen)
    assert [metrics["learning_rate"] for _, metrics in seen] == [JOB.schedule.rate(epoch) for epoch in range(4)]


def test_how_weights_lie_in_memory_while_they_are_trained_is_gone_afterwards(store):
    torch.manual_seed(0)
    network = build(NetworkConfig("cp_resnet_small", norm="none", width=4), len(store.scenes))
    fit_input(network, store)
    lies = []
    job = replace(JOB, schedule=Schedule(epochs=1, learning_rate=0.01), augment=PLAIN)
    fit(network, store, job, label="test", on_epoch=lambda *_: lies.append(_channels_last(network)))
    assert lies == [True]
    assert all(tensor.is_contiguous() for tensor in network.state_dict().values())


def _channels_last(network):
    weights = [weight for weight in conv_weights(network) if weight.shape[1] > 1 and weight.shape[-1] > 1]
    return all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)


def test_the_same_seed_gives_the_same_weights(store, reference):
    torch.manual_seed(99)  # what came before does not matter
    assert same(trained(store), reference[0])


def test_another_seed_gives_other_weights(store, reference):
    assert not same(trained(store, replace(JOB, seed=4)), reference[0])


@pytest.mark.parametrize("stop", [1, 2, 4])
def test_an_interrupted_training_ends_with_the_weights_of_an_uninterrupted_one(store, reference, tmp_path, stop):
    state = tmp_path / "state" / "training.safetensors"
    epochs = []

    def interrupt(epoch, metrics):
        epochs.append(epoch)
        if epoch == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(store, saved=state, on_epoch=interrupt)
    assert state.exists() == (stop > 1)
    torch.manual_seed(99)
    network = trained(store, saved=state, on_epoch=lambda epoch, metrics: epochs.append(epoch))
    assert same(network, reference[0])
    # The interruption comes before the epoch is written: only that epoch is done again.
    assert epochs == [*range(1, stop + 1), *range(stop, 5)]
    assert not state.exists()


@pytest.mark.parametrize("frozen", [True, False])
def test_frozen_zeros_stay_zero_and_the_rest_learns(store, frozen):
    network = fresh(store)
    prune(network, 0.6)
    before = [weight.detach().clone() for weight in conv_weights(network)]
    fit(network, store, replace(JOB, sparsity=Sparsity() if frozen else None), label="test")
    after = conv_weights(network)
    was_zero = torch.cat([weight.flatten() == 0 for weight in before])
    is_zero = torch.cat([weight.flatten() == 0 for weight in after])
    assert torch.equal(is_zero, was_zero) if frozen else is_zero.sum() < 10
    assert all(not torch.equal(one, other) for one, other in zip(before, after, strict=True) if one.any())


def test_frozen_zeros_survive_an_interruption(store, tmp_path):
    def network():
        network = fresh(store)
        prune(network, 0.6)
        return network

    def interrupt(epoch, metrics):
        if epoch == 3:
            raise KeyboardInterrupt

    job, state = replace(JOB, sparsity=Sparsity()), tmp_path / "state"
    with pytest.raises(KeyboardInterrupt):
        fit(network(), store, job, label="test", saved=state, on_epoch=interrupt)
    resumed, whole = network(), network()
    fit(resumed, store, job, label="test", saved=state)
    fit(whole, store, job, label="test")
    assert same(resumed, whole)


def test_weights_go_step_by_step_and_stay_away(store):
    network, left = fresh(store), []
    count = sum(weight.numel() for weight in conv_weights(network))

    def look(epoch, metrics):
        left.append([weight != 0 for weight in conv_weights(network)])

    fit(network, store, replace(JOB, sparsity=Sparsity(PruningConfig(0.8, rise_epochs=3))), label="test", on_epoch=look)
    ratios = [0.8 * (1 - (2 / 3) ** 3), 0.8 * (1 - (1 / 3) ** 3), 0.8, 0.8]
    assert [sum(int(kept.sum()) for kept in each) for each in left] == [count - round(r * count) for r in ratios]
    for before, after in pairwise(left):
        assert all((before_ | ~after_).all() for before_, after_ in zip(before, after, strict=True))


def test_a_rise_of_one_epoch_is_pruning_before_the_training(store):
    before, within = fresh(store), fresh(store)
    prune(before, 0.6)
    fit(before, store, replace(JOB, sparsity=Sparsity()), label="test")
    fit(within, store, replace(JOB, sparsity=Sparsity(PruningConfig(0.6))), label="test")
    assert same(before, within)


@pytest.mark.parametrize(
    ("sparsity", "anew"), [(Sparsity(PruningConfig(0.8)), True), (Sparsity(), True), (None, False)]
)
def test_the_statistics_of_a_sparse_network_are_measured_anew(store, sparsity, anew):
    job = replace(JOB, sparsity=sparsity)
    asked_for = replace(job, training=replace(JOB.training, precise_bn=True))
    assert same(trained(store, job), trained(store, asked_for)) is anew


@pytest.mark.parametrize("stop", [1, 3])
def test_what_is_pruned_on_the_way_survives_an_interruption(store, tmp_path, stop):
    def interrupt(epoch, metrics):
        if epoch == stop + 1:
            raise KeyboardInterrupt

    job, state = replace(JOB, sparsity=Sparsity(PruningConfig(0.8, rise_epochs=3))), tmp_path / "state"
    with pytest.raises(KeyboardInterrupt):
        trained(store, job, saved=state, on_epoch=interrupt)
    assert same(trained(store, job, saved=state), trained(store, job))


@pytest.mark.parametrize(("ratio", "rise"), [(1.0, 1), (-0.1, 1), (0.5, 0)])
def test_impossible_pruning_is_an_error(ratio, rise):
    with pytest.raises(UserError, match=r"^(ratio|rise_epochs): needs "):
        PruningConfig(ratio, rise)


def test_the_teacher_changes_the_student_and_stays_as_it_was(store, reference):
    teacher = fresh(store, seed=5).eval()
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    student = trained(store, replace(JOB, teacher=Teacher(teacher, DistillationConfig())))
    assert not same(student, reference[0])
    assert all(torch.equal(before[name], tensor) for name, tensor in teacher.state_dict().items())
    ignored = Teacher(teacher, DistillationConfig(weight=0))
    assert same(trained(store, replace(JOB, teacher=ignored)), reference[0])


def test_a_perfect_teacher_is_imitated(store):
    """With all the weight on a teacher that always answers 'tram', the labels do not matter."""
    job = replace(JOB, schedule=Schedule(6, 0.05), teacher=Teacher(Constant([0, 0, 9]), DistillationConfig(1.0, 1.0)))
    assert (predict(trained(store, job), store, store.rows("test")).argmax(dim=1) == 2).all()


def test_a_loss_that_is_not_finite_is_an_error(store):
    with pytest.raises(Diverged, match=r"the loss is not finite in epoch \d, at a learning rate of 1000"):
        trained(store, replace(JOB, schedule=Schedule(4, 1000, weight_decay=1)))


def test_one_training_clip_is_an_error(store, write_store, tmp_path):
    clips = store.clips.iloc[[0, 60]]
    with pytest.raises(UserError, match="1 training clips"):
        trained(write_store(tmp_path / "one", clips, store.array[[0, 60]]))


def test_fit_input_brings_the_training_split_to_a_common_scale(store):
    x = fresh(store).input(store.batch(store.rows("train")).float())
    assert abs(x.mean()) < 1e-3 and abs(x.std() - 1) < 1e-3


# The learning rate.


def test_the_rate_rises_linearly_and_falls_along_a_cosine():
    schedule = Schedule(epochs=25, learning_rate=0.06, warmup_epochs=5)
    expected = {0: 0, 2.5: 0.03, 5: 0.06, 10: 0.03 * (1 + math.sqrt(0.5)), 15: 0.03, 25: 0}
    assert {epoch: schedule.rate(epoch) for epoch in expected} == pytest.approx(expected)


def test_without_warmup_the_rate_begins_at_its_highest():
    assert Schedule(10, 0.1).rate(0) == 0.1


@pytest.mark.parametrize("values", [(0, 0.1, 0), (5, 0, 0), (5, 1001, 0), (5, 0.1, 5), (5, 0.1, -1)])
def test_an_impossible_schedule_is_an_error(values):
    with pytest.raises(ConfigError, match=r"^(epochs|learning_rate|warmup_epochs): "):
        Schedule(*values)


def test_the_rate_of_every_step_is_the_scheduled_one(store):
    """With one step an epoch, no momentum and no decay, a step is the rate times the gradient: none at rate 0."""
    job = replace(JOB, schedule=Schedule(2, 0.05, 1), training=TrainingConfig(48, 0, 0, "float32"))
    states = []
    network = fresh(store)
    start = network.classifier.weight.detach().clone()
    fit(network, store, job, label="t", on_epoch=lambda *_: states.append(network.classifier.weight.detach().clone()))
    assert torch.equal(states[0], start) and not torch.equal(states[1], start)


# The objective.


class Constant(nn.Module):
    """Answers every clip with the same logits, or with those given for each."""

    def __init__(self, logits):
        super().__init__()
        self.logits = torch.as_tensor(logits, dtype=torch.float32)

    def forward(self, x):
        return self.logits.expand(len(x), -1)


def softmax(values):
    return np.exp(values) / np.exp(values).sum(axis=1, keepdims=True)


@pytest.fixture
def example():
    rng = np.random.default_rng(0)
    logits, answers = rng.normal(0, 2, (5, 4)), rng.normal(0, 2, (5, 4))
    targets = rng.dirichlet(np.ones(4), 5)
    cross_entropy = -(targets * np.log(softmax(logits))).sum(axis=1).mean()
    return logits, answers, targets, cross_entropy


def evaluate(logits, targets, teacher):
    return objective(torch.tensor(logits), torch.tensor(targets), torch.zeros(len(logits), 1, 2, 2), teacher).item()


def test_without_a_teacher_the_objective_is_the_cross_entropy(example):
    logits, _, targets, cross_entropy = example
    assert evaluate(logits, targets, None) == pytest.approx(cross_entropy)


@pytest.mark.parametrize(("weight", "temperature"), [(0.5, 2.0), (0.9, 4.0), (1.0, 1.0), (0.0, 3.0)])
def test_with_a_teacher_the_objective_equals_its_equation(example, weight, temperature):
    logits, answers, targets, cross_entropy = example
    teacher, student = softmax(answers / temperature), softmax(logits / temperature)
    divergence = (teacher * np.log(teacher / student)).sum(axis=1).mean()
    expected = (1 - weight) * cross_entropy + weight * temperature**2 * divergence
    config = DistillationConfig(weight, temperature)
    assert evaluate(logits, targets, Teacher(Constant(answers), config)) == pytest.approx(expected, rel=1e-5)


def test_a_teacher_of_the_same_opinion_leaves_only_the_cross_entropy(example):
    logits, _, targets, cross_entropy = example
    teacher = Teacher(Constant(logits), DistillationConfig(0.3, 2.0))
    assert evaluate(logits, targets, teacher) == pytest.approx(0.7 * cross_entropy, rel=1e-5)


def test_the_gradient_does_not_reach_the_teacher():
    teacher = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    logits = torch.randn(2, 3, requires_grad=True)
    x, targets = torch.randn(2, 1, 2, 2), torch.eye(3)[:2]
    objective(logits, targets, x, Teacher(teacher, DistillationConfig())).backward()
    assert logits.grad.abs().max() > 0 and teacher[1].weight.grad is None


# The batches.


def drawn(store, batch_size, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return list(batches(store, store.rows("train"), batch_size, rng, torch.device("cpu")))


def test_an_epoch_is_a_shuffle_of_the_training_split(store):
    parts = drawn(store, 16)
    x, targets, devices = (torch.cat([getattr(part, name) for part in parts]) for name in ("x", "targets", "devices"))
    assert [len(part.x) for part in parts] == [16, 16, 16] and x.dtype == torch.float32
    whole = store.batch(store.rows("train")).float()
    found = [(whole == clip).all(dim=(1, 2, 3)).nonzero().item() for clip in x[:, None]]
    assert sorted(found) == list(range(48)) and found != list(range(48))
    assert torch.equal(torch.eye(3)[store.labels[found]], targets)
    assert torch.equal(store.device_indices[found], devices)
    assert not torch.equal(drawn(store, 16, seed=1)[0].x, parts[0].x)


@pytest.mark.parametrize(("batch_size", "sizes"), [(20, [20, 20]), (48, [48]), (100, [48])])
def test_a_last_batch_that_is_not_full_is_left_out_unless_it_is_the_only_one(store, batch_size, sizes):
    assert [len(batch.x) for batch in drawn(store, batch_size)] == sizes


def test_precision():
    cpu = torch.device("cpu")
    assert autocast_dtype("float32", cpu) == torch.float32 and autocast_dtype("bfloat16", cpu) == torch.bfloat16
    assert autocast_dtype("auto", cpu) in {torch.float32, torch.bfloat16}


def test_training_in_bfloat16_leaves_float32_weights(store):
    job = replace(JOB, schedule=Schedule(1, 0.05), training=replace(JOB.training, precision="bfloat16"))
    network = trained(store, job)
    assert all(tensor.isfinite().all() for tensor in network.state_dict().values())
    assert all(parameter.dtype == torch.float32 for parameter in network.parameters())


# The augmentations that are off by default.


def test_a_training_with_all_augmentations_is_reproducible_and_differs_from_the_plain_one(store, reference):
    options = replace(JOB.augment, freq_mixstyle=FreqMixStyle(p=0.5), device_transfer=DeviceTransfer(0.5))
    jobs = [replace(JOB, augment=options)] * 2
    first, second = (trained(store, job) for job in jobs)
    assert same(first, second) and not same(first, reference[0])


def test_clips_are_moved_to_the_other_training_device(store):
    """The store's devices differ by a slope over the bands; moved clips of one look like the other's."""
    heard = []
    network = fresh(store)
    network.register_forward_pre_hook(lambda module, inputs: heard.append(inputs[0]))
    augment = replace(PLAIN, device_transfer=DeviceTransfer(1.0))
    job = replace(JOB, schedule=Schedule(1, 0.01), training=TrainingConfig(48, precision="float32"))
    fit(network, store, replace(job, augment=augment), label="test")
    x = store.batch(store.rows("train")).float()
    devices = store.device_indices[store.rows("train")]
    curves = store.device_curves()
    slope = np.linspace(-1, 1, x.shape[2])
    assert np.abs((curves[1] - curves[0]).numpy() - slope).max() < 0.25
    expected = x + (curves[1 - devices] - curves[devices])[:, None, :, None]
    nearest = torch.cdist(heard[0].flatten(1).double(), expected.flatten(1).double())
    assert nearest.amin(dim=1).max() < 1e-2 and sorted(nearest.argmin(dim=1).tolist()) == list(range(48))
