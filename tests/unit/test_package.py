"""The file that ships: what goes in comes out, and nothing else is believed."""

import copy
import hashlib
import json
import lzma
import random
import tracemalloc
from dataclasses import asdict

import numpy as np
import pytest
import torch
from networks import randomize_norms
from safetensors.numpy import load, save
from torch import nn

from asc_core.compression import package
from asc_core.compression.prune import prune
from asc_core.compression.quantize import Affine, deploy, quantize
from asc_core.errors import UserError
from asc_core.models.config import NetworkConfig
from asc_core.models.networks import build

BEGIN = len(package.MAGIC) + package.DIGEST
LABELS = ["bus", "park", "tram"]
CONFIG = NetworkConfig()
DESCRIPTION = {"network": {"name": "bc_resnet_asc", "tau": 1, "norm": "resnorm", "width": 64}, "labels": LABELS}


def deployed(config=CONFIG, ratio=0.5) -> nn.Module:
    torch.manual_seed(0)
    network = randomize_norms(build(config, len(LABELS)))
    prune(network, ratio)
    quantize(network)
    return network


@pytest.fixture(scope="module")
def network():
    return deployed()


@pytest.fixture(scope="module")
def packed(network, tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("package") / "model.asc"
    package.write(path, network, CONFIG, LABELS, features={"seconds": 10.0})
    return path.read_bytes()


@pytest.fixture
def path(packed, tmp_path):
    (tmp_path / "model.asc").write_bytes(packed)
    return tmp_path / "model.asc"


def same(first, second):
    one, other = first.state_dict(), second.state_dict()
    return one.keys() == other.keys() and all(
        torch.equal(one[name], other[name]) and one[name].dtype == other[name].dtype for name in one
    )


def test_a_package_gives_the_same_logits_and_the_description(network, path):
    read, description = package.read(path)
    x = torch.randn(4, 1, 64, 40)
    assert torch.equal(read(x), network(x)) and same(read, network)
    assert description == {"network": asdict(CONFIG), "labels": LABELS, "features": {"seconds": 10.0}}
    assert not any(module.training for module in read.modules())


def test_the_same_network_gives_the_same_bytes(network, packed, tmp_path):
    package.write(tmp_path / "again.asc", network, CONFIG, LABELS, features={"seconds": 10.0})
    assert (tmp_path / "again.asc").read_bytes() == packed


def test_a_package_is_smaller_than_its_tensors(network, packed):
    assert len(packed) < sum(tensor.nbytes for tensor in network.state_dict().values())


def expect_user_error_or_equal(path, network):
    """Whether the package was refused; a package that is read must be the one that was written."""
    try:
        read, _ = package.read(path)
    except UserError as error:
        assert str(path) in str(error) and "\n" not in str(error)
        return True
    assert same(read, network)
    return False


def test_asc_8_pruned_by_the_published_ratio_is_smaller_than_the_published_size(path):
    """Its index and the description included. Published are 61.0 KB; the layers and the ratio say 62,437 bytes: 33,035
    weights of one byte and 14,701 other numbers of two."""
    config = NetworkConfig(tau=8)
    network = deployed(config, 0.89)
    package.write(path, network, config, LABELS, features={"seconds": 10.0})
    assert path.stat().st_size < 62_437
    assert same(package.read(path)[0], network)


def test_damaged_packages_are_refused_and_cost_little_memory(network, packed, path):
    rng = random.Random(0)
    refused = 0
    tracemalloc.start()
    for number in range(1000):
        data = bytearray(packed)
        at, other = rng.randrange(len(data)), rng.randrange(len(data))
        if number % 3 == 0:  # flip
            data[at] ^= 1 << rng.randrange(8)
        elif number % 3 == 1:  # cut
            del data[at : at + rng.randint(1, len(data))]
        else:  # splice
            data[at : at + rng.randint(0, 50)] = packed[other : other + rng.randint(0, 50)]
        path.write_bytes(data)
        refused += expect_user_error_or_equal(path, network)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refused > 950 and peak < 10 * len(packed) + 100_000  # the second number: the interpreter's own


def seal(path, payload: bytes) -> None:
    """A package whose checksum is right, whatever is in it."""
    path.write_bytes(package.MAGIC + hashlib.sha256(payload).digest() + payload)


@pytest.mark.parametrize("part", ["outside", "inside"])
def test_damage_beneath_a_right_checksum_is_refused(network, packed, path, part):
    """Flipped weights cannot be told from others, so this only asks that nothing but the promised error comes out."""
    payload = packed[BEGIN:]
    content = payload if part == "outside" else lzma.decompress(payload)
    rng = random.Random(1)
    for _ in range(100):
        data = bytearray(content)
        at = rng.randrange(len(data) if part == "outside" else 3000)  # inside: where the header is
        if rng.random() < 0.5:
            data[at] ^= 1 << rng.randrange(8)
        else:
            del data[at : at + rng.randint(1, 100)]
        seal(path, bytes(data) if part == "outside" else lzma.compress(data, format=lzma.FORMAT_ALONE))
        try:
            package.read(path)
        except UserError as error:
            assert str(path) in str(error)


def forged(packed, description, **changes) -> bytes:
    """The content of a package with another description, and with parts exchanged; None takes a part away."""
    parts = load(lzma.decompress(packed[BEGIN:]))
    parts = {name: part for name, part in {**parts, **changes}.items() if part is not None}
    return lzma.compress(save(parts, metadata={"asc": json.dumps(description)}), format=lzma.FORMAT_ALONE)


def test_a_forged_package_with_a_true_description_is_read(network, packed, path):
    seal(path, forged(packed, DESCRIPTION))
    assert not expect_user_error_or_equal(path, network)


@pytest.mark.parametrize(
    "changes",
    [
        *({part: None} for part in ("nonzero", "weights", "halves", "floats")),
        {"nonzero": np.zeros(3, np.uint8)},
        {"nonzero": np.full(10_000, 255, np.uint8)},
        {"weights": np.ones(5, np.int8)},
        {"weights": np.zeros(3106, np.int8)},
        {"weights": np.ones(3106, np.float64)},
        {"halves": np.zeros((2, 5), np.uint8)},
        {"halves": np.zeros(5, np.uint8)},
        {"halves": np.zeros((2, 0), np.uint8)},
        {"floats": np.zeros(3, np.float32)},
        {"floats": np.zeros((1, 2), np.float32)},
        {"floats": np.zeros(2, np.float64)},
    ],
)
def test_parts_of_another_length_or_type_than_the_networks_are_refused(packed, path, changes):
    seal(path, forged(packed, DESCRIPTION, **changes))
    with pytest.raises(UserError, match=f"{path}: not a usable package"):
        package.read(path)


@pytest.mark.parametrize(
    "description",
    [
        [],
        1,
        {},
        {"network": [], "labels": LABELS},
        {**DESCRIPTION, "labels": 3},
        {**DESCRIPTION, "labels": LABELS[:2]},
        {**DESCRIPTION, "network": {**DESCRIPTION["network"], "depth": 3}},
        *({**DESCRIPTION, "network": {**DESCRIPTION["network"], "tau": tau}} for tau in (0, -1, 2, "1", None, 1e12)),
        *({**DESCRIPTION, "labels": labels} for labels in (["a", "a", "b"], [1, 2, 3], "abc", ["a", "b", "c" * 1000])),
        *({**DESCRIPTION, "more": {"accuracy": number}} for number in (float("nan"), float("-inf"))),
    ],
)
@pytest.mark.filterwarnings("ignore:Initializing zero-element")
def test_a_false_description_is_refused(network, packed, path, description):
    seal(path, forged(packed, description))
    assert expect_user_error_or_equal(path, network)


@pytest.mark.parametrize("change", [{"name": "resnet"}, {"norm": "batch"}, {"tau": float("inf")}])
def test_a_package_of_an_unknown_network_is_refused(network, packed, path, change):
    seal(path, forged(packed, {**DESCRIPTION, "network": {**DESCRIPTION["network"], **change}}))
    assert expect_user_error_or_equal(path, network)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(network, packed, path, value):
    parts = load(lzma.decompress(packed[BEGIN:]))
    halves = np.ascontiguousarray(parts["halves"][::-1].T).view("<f2")
    halves[7] = value
    seal(path, forged(packed, DESCRIPTION, halves=np.ascontiguousarray(halves.view(np.uint8).reshape(-1, 2).T[::-1])))
    with pytest.raises(UserError, match=f"{path}: .*not finite"):
        package.read(path)
    broken = copy.deepcopy(network)
    next(module for module in broken.modules() if isinstance(module, Affine)).scale[0] = value
    with pytest.raises(UserError, match="not finite"):
        package.write(path, broken, CONFIG, LABELS)


@pytest.mark.parametrize("other", [{"tau": 32}, {"tau": 2}, {"name": "cp_resnet", "width": 256}])
def test_a_network_that_its_numbers_do_not_fill_is_refused_before_it_is_built(packed, path, other, monkeypatch):
    monkeypatch.setattr(package, "build", None)
    seal(path, forged(packed, {**DESCRIPTION, "network": {**DESCRIPTION["network"], **other}}))
    with pytest.raises(UserError, match=f"{path}: not a usable package .*another network"):
        package.read(path)


def test_more_numbers_than_a_package_may_hold_are_refused_before_they_are_unpacked(packed, path, network, monkeypatch):
    monkeypatch.setattr(package, "ENTRIES", 5_000)
    for use in (package.read, lambda path: package.write(path, network, CONFIG, LABELS)):
        with pytest.raises(UserError, match=r"a network of 7,\d\d\d numbers, a package holds up to 5,000"):
            use(path)


def test_what_could_not_be_read_is_not_written(network, path):
    for config, labels in ((CONFIG, ["a", "a", "b"]), (CONFIG, []), (CONFIG, [str(i) for i in range(501)])):
        with pytest.raises(UserError, match="its labels are not"):
            package.write(path.with_name("new.asc"), network, config, labels)
    assert not path.with_name("new.asc").exists()


def test_a_package_that_unpacks_to_far_more_than_itself_is_refused(path):
    seal(path, lzma.compress(bytes(1 << 26), format=lzma.FORMAT_ALONE))
    assert len(path.read_bytes()) < 100_000
    with pytest.raises(UserError, match=str(path)):
        package.read(path)


@pytest.mark.parametrize("ratio", [0.99, 0.999])
def test_whatever_is_written_can_be_read(path, ratio):
    config = NetworkConfig(tau=8)
    sparse = deployed(config, ratio)
    package.write(path, sparse, config, LABELS)
    assert same(package.read(path)[0], sparse)


def test_a_network_of_zeros_can_be_read(path):
    network = build(CONFIG, len(LABELS))
    deploy(network)
    package.write(path, network, CONFIG, LABELS)
    assert same(package.read(path)[0], network)


@pytest.mark.parametrize("content", [b"", b"ASC1", b"ASC1" + bytes(32), b"RIFF" + bytes(100), b"not a package"])
def test_an_empty_or_foreign_file_is_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(UserError, match=str(path)):
        package.read(path)


def test_a_file_with_another_beginning_is_refused(packed, path):
    path.write_bytes(b"RIFF" + packed[4:])
    with pytest.raises(UserError, match=f"{path}: not a package"):
        package.read(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for name in (tmp_path / "nothing.asc", tmp_path):
        with pytest.raises(UserError, match=str(name)):
            package.read(name)


def test_an_oversized_file_is_refused(path):
    with open(path, "r+b") as file:
        file.truncate(package.MOST + 1)  # sparse: costs no space
    with pytest.raises(UserError, match=f"{path}: larger than"):
        package.read(path)
