"""A package with networks that are tuned to devices: the right one answers, and nothing else in it is believed."""

import copy
import hashlib
import json
import lzma
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from networks import deployed
from safetensors.numpy import load, save

from asc_core.cli import main
from asc_core.commands.info import describe
from asc_core.compression import package, size
from asc_core.compression.quantize import QuantConv2d
from asc_core.deploy.predictor import Engine, Predictor
from asc_core.errors import UserError
from asc_core.features.config import FeatureConfig
from asc_core.models.config import NetworkConfig

LABELS = ["bus", "park", "tram"]
CONFIG = NetworkConfig(norm="global_freqnorm")  # of its input layer the number of bands is known to the numbers alone
FEATURES = {"config": asdict(FeatureConfig(n_mels=32)), "seconds": 0.5}
BEGIN = len(package.MAGIC) + package.DIGEST


@pytest.fixture(scope="module")
def general() -> torch.nn.Module:
    return deployed(CONFIG, len(LABELS), torch.randn(8, 1, 32, 16, generator=torch.Generator().manual_seed(0)))


@pytest.fixture(scope="module")
def devices(general) -> dict[str, torch.nn.Module]:
    """One device that is as the general network, one with other shifts, one with another number of zero weights."""
    tuned = {name: copy.deepcopy(general) for name in ("a", "b", "c")}
    for name, tensor in tuned["b"].state_dict().items():
        if name.endswith("shift"):
            tensor += 0.25
    conv = next(module for module in tuned["c"].modules() if isinstance(module, QuantConv2d))
    conv.weight.fill_(3)
    return tuned


@pytest.fixture(scope="module")
def path(general, devices, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("devices") / "model.asc"
    package.write(path, general, CONFIG, LABELS, devices=devices, features=FEATURES)
    return path


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    states = one.state_dict(), other.state_dict()
    return states[0].keys() == states[1].keys() and all(
        torch.equal(states[0][key], states[1][key]) for key in states[0]
    )


def test_the_networks_of_a_package_are_those_that_were_written(general, devices, path):
    network, read, _ = package.read_devices(path)
    assert same(network, general) and read.keys() == devices.keys()
    assert all(same(read[device], devices[device]) for device in devices)
    for device, correct in {"b": devices["b"], "s9": general, None: general}.items():
        network, description = package.read(path, device)
        assert same(network, correct)
        assert description.get("tuned_to") == (device if device in devices else None) and "devices" not in description


def test_only_what_differs_is_stored_and_without_devices_a_package_is_as_ever(general, devices, path, tmp_path):
    for name, of in {"none.asc": None, "empty.asc": {}, "alike.asc": {"a": general}}.items():
        package.write(tmp_path / name, general, CONFIG, LABELS, devices=of, features=FEATURES)
    none, empty, alike = ((tmp_path / name).read_bytes() for name in ("none.asc", "empty.asc", "alike.asc"))
    assert none == empty and len(alike) < len(none) + 60
    halves = sum(t.nbytes for name, t in general.state_dict().items() if name.endswith("shift"))
    assert len(path.read_bytes()) < len(none) + halves + 500


def test_a_device_that_is_known_is_heard_by_its_own_network_and_any_other_by_the_general_one(
    devices, path, rendered, capsys
):
    sound = next((rendered / "audio").glob("*.wav"))
    answers = {device: Predictor(path, Engine.torch, device=device)(sound) for device in (None, "a", "b", "s9")}
    assert (answers[None] == answers["a"]).all() and (answers[None] == answers["s9"]).all()
    assert abs(answers["b"] - answers[None]).max() > 1e-3
    exported = path.with_suffix(".onnx")
    command(["export", str(path), str(exported), "--device", "b"], 0)
    assert abs(Predictor(exported)(sound) - answers["b"]).max() < 1e-4
    assert Predictor(exported, device="b").device == "b"
    for arguments, code, told in (
        (["predict", str(path), str(sound), "--device", "b"], 0, ""),
        (["predict", str(path), str(sound), "--device", "s9"], 0, "has no network for the device s9; the general one"),
        (["predict", str(exported), str(sound), "--device", "a"], 1, "it is not of the device a"),
        (["export", str(path), str(exported), "--device", "s9"], 1, "has no network for the device s9"),
    ):
        capsys.readouterr()
        command(arguments, code)
        error = capsys.readouterr().err
        assert told in error and bool(told) == bool(error)


def command(arguments: list[str], code: int) -> None:
    threads = torch.get_num_threads()
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    torch.set_num_threads(threads)
    assert (stopped.value.code or 0) == code


def test_info_lists_the_devices_and_what_each_network_takes_by_the_rules(devices, path, capsys):
    told = describe(path)["devices"]
    assert {device: row["counted_bytes"] for device, row in told.items()} == {
        device: size.totals(network)["counted_bytes"] for device, network in devices.items()
    }
    assert told["c"]["counted_bytes"] > told["a"]["counted_bytes"] == told["b"]["counted_bytes"]
    assert told["a"]["own_tensors"] == 0 and told["b"]["own_tensors"] > 1 and told["c"]["own_tensors"] == 1
    command(["info", str(path)], 0)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["c", "1", f"{told['c']['counted_bytes']:,}", f"{told['c']['parameter_bytes']:,}"] in rows


@pytest.mark.parametrize(
    "claimed",
    [
        [],
        "ab",
        {"a": None},
        {"a": ["nothing"]},
        {"a": ["input.mean"]},
        {"a": [["x"]]},
        {"a": [1]},
        {"x" * 201: []},
        {str(number): [] for number in range(101)},
        {"a": []},  # fewer than there are numbers of
        {"a": "twice"},
    ],
)
def test_what_a_package_says_of_devices_is_held_to_what_is_in_it(path, tmp_path, claimed):
    parts = lzma.decompress(path.read_bytes()[BEGIN:])
    length = int.from_bytes(parts[:8], "little")
    description = json.loads(json.loads(parts[8 : 8 + length])["__metadata__"]["asc"])
    if claimed == {"a": "twice"}:
        name = description["devices"]["c"][0]
        claimed = {"a": [], "b": description["devices"]["b"], "c": [name, name]}
    forged = save(load(parts), metadata={"asc": json.dumps({**description, "devices": claimed})})
    payload = lzma.compress(forged, format=lzma.FORMAT_ALONE)
    made = tmp_path / "made.asc"
    made.write_bytes(package.MAGIC + hashlib.sha256(payload).digest() + payload)
    for use in (package.read, package.read_devices):
        with pytest.raises(UserError, match=f"{made}: not a usable package"):
            use(made)


def test_networks_that_do_not_fit_the_general_one_and_too_many_are_not_written(general, tmp_path, monkeypatch):
    path = tmp_path / "new.asc"
    other = deployed(NetworkConfig(tau=1, norm="resnorm"), len(LABELS), torch.randn(8, 1, 32, 16))
    moved = copy.deepcopy(general)
    moved.input.mean += 1
    entries = sum(tensor.numel() for tensor in general.state_dict().values())
    monkeypatch.setattr(package, "ENTRIES", 2 * entries)
    for devices, told in (
        ({"b": other}, "the network of the device 'b' is of another structure"),
        ({"b": moved}, "device 'b' are not some of those"),
        ({"b" * 201: general}, "its devices are not up to"),
        ({"b": general, "c": general}, "as many for each of 2 devices, a package holds up to"),
    ):
        with pytest.raises(UserError, match=told):
            package.write(path, general, CONFIG, LABELS, devices=devices)
    assert not path.exists()
