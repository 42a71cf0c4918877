"""The stage tune_devices: a network of each training device, what is measured of it, and what it is held to."""

import json

import numpy as np
import pytest
import torch
from networks import randomize_norms
from workspace import TINY

from asc_core.compression import package
from asc_core.compression.quantize import QuantConv2d, quantize, start_quantized_training, stop_quantized_training
from asc_core.errors import UserError
from asc_core.evaluation.known_devices import measure_devices
from asc_core.evaluation.predictions import KNOWN, SHIPPED
from asc_core.models.config import NetworkConfig
from asc_core.models.inference import predict
from asc_core.models.networks import build
from asc_core.training import loop
from asc_core.training.config import DistillationConfig
from pipeline import params
from pipeline.configure import configure
from pipeline.stages.gate import checks
from pipeline.stages.tune_devices import tuned

ON = "tune_devices={layers: norms, distillation: null, schedule: {epochs: 1, learning_rate: 0.01}}"


def settings(folder, *overrides: str) -> params.Params:
    configure("quick", [*TINY, ON, *overrides], folder / "params.yaml")
    return params.load(folder / "params.yaml")


def fit(stage, network, store, job):
    loop.fit(network, store, job, label=stage)


def deployed(network):
    start_quantized_training(network)
    quantize(network)
    return network


def untrained(store, seed: int):
    torch.manual_seed(seed)
    network = randomize_norms(build(NetworkConfig(norm="resnorm"), len(store.scenes)))
    loop.fit_input(network, store)
    return network.eval()


@pytest.fixture
def network(store):
    """In full precision, as the stage quantize leaves it."""
    return untrained(store, 0)


def weights(network):
    return torch.cat([each.weight.flatten() for each in network.modules() if isinstance(each, QuantConv2d)])


def test_each_training_device_gets_a_network_that_has_learnt_from_its_clips_alone(store, network, tmp_path):
    found = settings(tmp_path, "augment.random_device={}", "augment.device_transfer={p: 0.5}")
    heard = []

    def told(stage, network, store, job):
        heard.append((job, store.clips["device"].iloc[job.rows(store, "train")].unique().tolist()))
        fit(stage, network, store, job)

    devices = tuned(network, 1, found.tune_devices, found, store, 0, None, told)
    assert [rows for _, rows in heard] == [["a"], ["b"]] and list(devices) == ["a", "b"]
    assert all(job.augment.random_device is None and job.augment.device_transfer is None for job, _ in heard)
    general = deployed(network)
    for each in devices.values():
        assert torch.equal(weights(each), weights(general))  # the normalisations alone have learnt
    package.write(tmp_path / "x.asc", general, NetworkConfig(norm="resnorm"), store.scenes, devices=devices)
    assert not torch.equal(*(each(store.batch(np.arange(4)).float()) for each in devices.values()))


def test_all_layers_can_learn_and_from_teachers_and_a_temperature_divides_every_network(store, network, tmp_path):
    found = settings(tmp_path)
    stage = found.tune_devices.model_copy(update={"layers": "all", "distillation": DistillationConfig()})
    teacher, jobs = build(NetworkConfig(norm="resnorm"), len(store.scenes)), []
    devices = tuned(network, 1, stage, found, store, 0, teacher, lambda *of: (fit(*of), jobs.append(of[-1])))
    assert jobs[0].teacher.network is teacher
    assert not torch.equal(weights(devices["b"]), weights(deployed(network)))
    clips = store.batch(np.arange(8)).float()
    untuned = {divided: tuned(untrained(store, 1), divided, stage, found, store, 0, None, lambda *_: None)
               for divided in (1, 2.5)}  # fmt: skip
    cool, plain = untuned[2.5]["b"](clips), untuned[1]["b"](clips)
    torch.testing.assert_close(2.5 * cool, plain, atol=0.02 * float(plain.abs().max()), rtol=0.02)


def test_training_with_8_bit_can_stop_and_start_without_a_trace(network):
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    start_quantized_training(network)
    stop_quantized_training(network)
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())


def test_a_clip_is_heard_by_its_devices_network_and_by_the_general_one_otherwise(store, network, tmp_path):
    devices = {device: deployed(untrained(store, 1)) for device in ("b", "never heard of")}
    general, rows = deployed(network), store.rows("test")
    logits, own = predict(general, store, rows), predict(devices["b"], store, rows)
    together, metrics = measure_devices(logits, devices, store)
    of_b = torch.from_numpy(np.array(store.clips["device"])[rows] == "b")[:, None]
    assert of_b.any() and (own - logits).abs().min() > 1e-3
    torch.testing.assert_close(together, torch.where(of_b, own, logits))
    assert {"parameter_bytes", "parameter_bytes_torch", "macs"} <= metrics["size"].keys()


@pytest.mark.parametrize(
    "value", ["{}", "{layers: first, distillation: null, schedule: {epochs: 1, learning_rate: 1}}"]
)
def test_a_mistake_names_its_key(value, tmp_path):
    with pytest.raises(UserError, match=r"^[^\n]*tune_devices\.(layers|distillation|schedule)[^\n]*$"):
        settings(tmp_path, f"tune_devices={value}")


def test_device_networks_go_through_the_pipeline_and_are_held_to_the_rules(finished, tmp_path):
    workspace = finished.copy(tmp_path / "project")
    none = (workspace.folder / "models/0/devices.asc").read_bytes()
    assert none == (workspace.folder / "models/0/quantized.asc").read_bytes()
    workspace.configure(ON, "gates.rules=dcase2025")
    some = ["tune_devices@0", "evaluate@0", "summarise"]
    assert workspace.ran("--single-item", *some) == some

    _, devices, _ = package.read_devices(workspace.folder / "models/0/devices.asc")
    assert list(devices) == ["a", "b", "c", "s1", "s2", "s3"]
    summary = json.loads((workspace.folder / "reports/summary.json").read_text())
    known, shipped = summary[KNOWN], summary[SHIPPED]
    for device in ("s4", "s5", "s6"):
        assert known["accuracy_by_device"][device] == shipped["accuracy_by_device"][device]
    gain = known["gain"]
    assert gain["accuracy"]["mean"] == pytest.approx(known["accuracy"]["mean"] - shipped["accuracy"]["mean"])
    assert list(gain["accuracy_by_device"]) == list(devices)
    low, high = gain["accuracy"]["interval"]
    assert low < gain["accuracy"]["mean"] < high
    text = (workspace.folder / "reports/summary.md").read_text()
    assert "| device | its own network | the general one | gain | its own is |" in text and "| s3 |" in text

    gates = params.load(workspace.folder / "params.yaml").gates
    seeds = {0: json.loads((workspace.folder / "reports/seeds/0.json").read_text())[SHIPPED]}
    found = {row["name"]: row for row in checks(summary, seeds, gates)}
    row = found["dcase2025, each device's network: parameter_bytes"]
    assert row["passed"] and row["value"] == found["dcase2025: parameter_bytes"]["value"]
    known["size"]["parameter_bytes"] = 128_001
    found = {row["name"]: row for row in checks(summary, seeds, gates)}
    assert not found["dcase2025, each device's network: parameter_bytes"]["passed"]
    assert found["dcase2025: parameter_bytes"]["passed"]
