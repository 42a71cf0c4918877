"""Training with activations in 8 bit, and what ships of it."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from networks import deployed
from torch import nn

from asc_core.compression import activations, package
from asc_core.compression.prune import prune
from asc_core.compression.quantize import quantize, start_quantized_training
from asc_core.compression.temperature import fold
from asc_core.deploy.predictor import Engine, load
from asc_core.errors import UserError
from asc_core.models.config import NetworkConfig
from asc_core.models.inference import predict
from asc_core.models.networks import build
from asc_core.training.augmentation.config import AugmentConfig
from asc_core.training.config import Schedule, TrainingConfig
from asc_core.training.job import Job
from asc_core.training.loop import fit, untrained
from asc_core.training.sparsity import Sparsity
from pipeline.configure import configure, parameters

AUGMENT = AugmentConfig(roll_seconds=0.3, mixup_alpha=0, spec_augment=None)
FLOAT = Job(Schedule(6, 0.05), TrainingConfig(16, precision="float32"), AUGMENT, seed=0)
JOB = replace(FLOAT, schedule=Schedule(6, 0.01), sparsity=Sparsity())
NETWORKS = [
    NetworkConfig(),
    NetworkConfig(norm="freqin"),
    NetworkConfig(norm="global_freqnorm"),
    NetworkConfig(name="bc_resnet", norm="none"),
    NetworkConfig(name="cp_resnet", width=8, norm="resnorm_input"),
    NetworkConfig(name="cp_resnet_small", width=8),
    NetworkConfig(name="cp_mobile", width=16),
]


@pytest.fixture(scope="module")
def pruned(store):
    network = untrained(NetworkConfig(), store, 0)
    fit(network, store, FLOAT, label="float")
    prune(network, 0.3)
    return network


def begun(pruned, store) -> nn.Module:
    """A copy of a network that has yet to learn to compute in 8 bit."""
    network = copy.deepcopy(pruned)
    start_quantized_training(network)
    activations.attach(network, store.batch(store.rows("train")[:8]).float())
    return network


@pytest.fixture(scope="module")
def trained(pruned, store):
    """A network trained with activations in 8 bit; statistics and ranges after each epoch."""
    network, seen = begun(pruned, store), []

    def look(epoch, metrics):
        own = activations.of(network)
        ranges = torch.stack([own.least, own.most]) if own.steps is None else own.steps
        seen.append((network.stem[1].running_mean.clone(), copy.deepcopy(ranges), own.rounds))

    fit(network, store, JOB, label="8 bit", on_epoch=look)
    return network, seen


@pytest.fixture(scope="module")
def shipped(trained, store, tmp_path_factory):
    """The package of that network, and its network."""
    network, path = copy.deepcopy(trained[0]), tmp_path_factory.mktemp("shipped") / "model.asc"
    quantize(network)
    package.write(path, network, NetworkConfig(), store.scenes, features=store.description)
    return path, network


def test_statistics_stay_after_a_third_of_the_epochs_and_ranges_before_the_last(trained):
    _, ((first, _, rounds), (second, *_), (third, early, later), (fourth, late, _), (fifth, kept, _), last) = trained
    assert not rounds and later
    assert not torch.equal(first, second) and not torch.equal(second, third)
    assert torch.equal(third, fourth) and torch.equal(fourth, fifth) and torch.equal(fifth, last[0])
    assert not torch.equal(early, late) and torch.equal(late, kept)
    lengths = (kept[1].clamp_min(0) - kept[0].clamp_max(0)).tolist()
    kinds = activations.of(trained[0]).kinds
    for length, kind, (step, zero) in zip(lengths, kinds, last[1], strict=True):
        assert kind is activations.Kind.INT16 or step == pytest.approx(max(length / 255, 1e-11), rel=1e-5)
        assert -128 <= zero <= 127


def test_it_learns_and_its_logits_are_integers(trained, store):
    network, _ = trained
    logits = predict(network, store, store.rows("test"))
    step, zero = activations.of(network).steps[-1]
    levels = logits / step + zero
    assert (levels - levels.round()).abs().max() < 1e-2 and levels.min() > -128.5 and levels.max() < 127.5
    assert (logits.argmax(dim=1) == store.labels[store.rows("test")]).float().mean() > 0.7


def test_an_interrupted_training_ends_with_the_same_weights_and_steps(trained, pruned, store, tmp_path):
    def interrupt(epoch, metrics):
        if epoch == 4:
            raise KeyboardInterrupt

    state = tmp_path / "state.safetensors"
    with pytest.raises(KeyboardInterrupt):
        fit(begun(pruned, store), store, JOB, label="8 bit", saved=state, on_epoch=interrupt)
    network = begun(pruned, store)
    fit(network, store, JOB, label="8 bit", saved=state)
    assert all(
        torch.equal(one, other)
        for one, other in zip(network.state_dict().values(), trained[0].state_dict().values(), strict=True)
    )
    assert activations.of(network).steps == activations.of(trained[0]).steps


def test_with_averages_of_the_weights_the_ranges_are_those_of_the_training(pruned, store):
    network = begun(pruned, store)
    fit(network, store, replace(JOB, training=replace(JOB.training, ema=0.9)), label="averages")
    logits = predict(network, store, store.rows("test"))
    assert (logits.argmax(dim=1) == store.labels[store.rows("test")]).float().mean() > 0.7


def test_what_ships_answers_as_the_trained_network(trained, shipped, store):
    path, network = shipped
    rows = store.rows("test")
    expected, result = predict(trained[0], store, rows), predict(network, store, rows)
    step, _ = activations.of(network).steps[-1]
    # Scales in half precision move numbers over the edge of a step, which layers behind it make more of.
    assert (result - expected).abs().mean() < 6 * step
    assert torch.equal(result.argmax(dim=1), expected.argmax(dim=1))
    again, description = package.read(path)
    assert torch.equal(predict(again, store, rows), result) and description["activations"] == "int8"
    clip = store.batch(rows[:1]).float()
    np.testing.assert_allclose(load(path, Engine.auto, 1)[0](clip.numpy()), result[:1].numpy(), atol=1e-6)


def test_the_int8_file_answers_as_what_ships_and_needs_no_calibration(shipped, store, tmp_path):
    pytest.importorskip("ai_edge_quantizer", reason="it is in the extra edge: pip install -e '.[edge]'")
    from asc_core.commands.export import export

    path, network = shipped
    export(path, tmp_path / "model.tflite", int8=True)
    logits, description = load(tmp_path / "model.tflite", Engine.auto, 1)
    rows = store.rows("test")
    expected = predict(network, store, rows).numpy()
    result = np.concatenate([logits(clip[None].float().numpy()) for clip in store.batch(rows)])
    steps = activations.of(network).steps
    assert description["int8"]["features"]["scale"] == pytest.approx(steps[0][0])
    assert description["int8"]["logits"]["scale"] == pytest.approx(steps[-1][0])
    assert np.abs(result - expected).mean() < 2 * steps[-1][0]
    assert (result.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.9


def test_a_temperature_divides_the_steps_too(trained, store):
    network, clips = copy.deepcopy(trained[0]), store.batch(store.rows("train")[:8]).float()
    with torch.no_grad():
        before = network(clips)
        fold(network, 2.5, clips)
        torch.testing.assert_close(network(clips), before / 2.5, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("config", NETWORKS, ids=str)
def test_every_network_has_the_same_activations_in_training_and_when_it_ships(config):
    torch.manual_seed(0)
    clips = torch.randn(16, 1, 64, 40) - 5 + torch.randn(16, 1, 1, 1)
    network = build(config, 3)
    network.input.fit(clips.mean(dim=(0, 1, 3)), clips.std(dim=(0, 1, 3)), 100 / 3)
    network.train()(clips)
    start_quantized_training(network)
    floats = network.eval()(clips).detach()
    own = activations.attach(network, clips)
    torch.testing.assert_close(network(clips).detach(), floats, atol=1e-3, rtol=1e-3)
    own.calibrate(network, [clips])
    activations.settle(network)
    rounded = network(clips).detach()
    assert 0 < (rounded - floats).abs().mean() < 0.5 * floats.std()
    quantize(network)
    assert (network(clips) - rounded).abs().mean() < 0.5 * (rounded - floats).abs().mean() + own.steps[-1][0]
    again = deployed(config, 3, clips)
    activations.attach(again, clips[:1], own.steps)
    assert activations.of(again).kinds == own.kinds
    activations.detach(again)
    assert activations.of(again) is None and "activations" not in dict(again.named_modules())


class Rolling(nn.Module):
    """A network with something that no exported one has."""

    def forward(self, x):
        return torch.roll(x, 1, dims=3).mean(dim=(2, 3))

    def state_dict(self, *_, **__):
        return {"": torch.zeros(0)}


def test_a_network_that_has_no_counterpart_is_refused_by_the_name_of_the_function():
    with pytest.raises(UserError, match=r"computes roll, for which nothing says"):
        activations.attach(Rolling(), torch.zeros(1, 1, 64, 40))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda steps: steps[:-1], "126 steps of activations, and 127 activations"),
        (lambda steps: [[0.0, 0], *steps[1:]], "no activation has the step 0"),
        (lambda steps: [[1.0, 200], *steps[1:]], "zero at 200"),
        (lambda steps: "all", "no list of pairs"),
        (lambda steps: [[1.0], *steps[1:]], "no list of pairs"),
    ],
)
def test_a_package_with_other_steps_than_activations_is_refused_in_one_line(change, reason, shipped, store, tmp_path):
    _, network = shipped
    own, path = activations.of(network), tmp_path / "other.asc"
    kept = own.steps
    own.steps = change([list(step) for step in kept])
    try:
        package.write(path, network, NetworkConfig(), store.scenes, features=store.description)
    finally:
        own.steps = kept
    with pytest.raises(UserError, match=rf"^{path}: not a usable package .*{reason}"):
        package.read(path)


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("student.network.norm=fixed_pcen", "too coarse for the energies"),
        ("tune_devices={layers: norms, distillation: null, schedule: {epochs: 1, learning_rate: 0.1}}", "tune_devices"),
    ],
)
def test_what_cannot_have_activations_in_8_bit_is_told_by_key(setting, reason, tmp_path):
    with pytest.raises(UserError, match=rf"quantize\.activations: .*{reason}"):
        configure("quick", ["quantize.activations=int8", setting], tmp_path / "params.yaml")
    assert parameters("tau2020").quantize.activations == "float16"
