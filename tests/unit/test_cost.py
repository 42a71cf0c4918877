"""What a model costs on a device, as estimated without one."""

import json
from dataclasses import asdict

import onnx
import pytest
import torch
from networks import deployed
from onnx import helper
from torch import nn

from asc_core.commands.cost import cost
from asc_core.commands.export import export
from asc_core.compression import package
from asc_core.deploy import memory
from asc_core.deploy.cost import costs
from asc_core.deploy.graph import with_shapes
from asc_core.errors import UserError
from asc_core.features.config import FeatureConfig
from asc_core.models.config import NetworkConfig

FEATURES = {"config": asdict(FeatureConfig(n_mels=64)), "seconds": 1.8}
FRAMES = FeatureConfig().frames(1.8)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("cost") / "model.asc"
    config = NetworkConfig()
    network = deployed(config, 2, torch.randn(4, 1, 64, FRAMES))
    package.write(path, network, config, ["bus", "park"], features=FEATURES)
    return path


def test_tensors_share_memory_unless_they_are_used_at_the_same_time():
    steps = [(["x"], "a"), (["a"], "b"), (["a", "b"], "c"), (["c", "weights"], "y")]
    sizes = {"x": 10, "a": 32, "b": 64, "c": 32, "y": 16}
    offsets, total = memory.placement(sizes, steps, ["x"], ["y"])
    assert total == 64 + 32 + 32  # b, while a is still needed, and c
    assert offsets["x"] >= offsets["a"] + 32 or offsets["a"] >= offsets["x"] + 10


def one_convolution(pads: list[int]) -> tuple[onnx.GraphProto, dict[str, tuple[int, ...]]]:
    """A stem of 3x3 with stride 2, its normalisation and its ReLU, for 8 bands of 8 frames."""
    convolution = helper.make_node(
        "Conv", ["features", "w"], ["y"], kernel_shape=[3, 3], strides=[2, 2], dilations=[1, 1], pads=pads
    )
    nodes = [convolution, helper.make_node("Relu", ["y"], ["logits"])]
    ends = {"features": [1, 1, 8, 8], "logits": None}
    values = {name: helper.make_tensor_value_info(name, 1, shape) for name, shape in ends.items()}
    weights = helper.make_tensor("w", 1, [5, 1, 3, 3], [0.0] * 45)
    graph = helper.make_graph(nodes, "stem", [values["features"]], [values["logits"]], [weights])
    return with_shapes(helper.make_model(graph), (1, 1, 8, 8))


def test_what_is_fused_takes_no_memory_and_uneven_zeros_are_put_around_first():
    before, after = 8 * 8, 5 * 4 * 4
    uneven, even = (memory.estimate(*one_convolution(pads)) for pads in ([1, 1, 1, 1], [0, 0, 1, 1]))
    own = memory.kept(2 + 2, 1, 1, 5)
    assert even == {"float32": 4 * (before + after) + own, "int8": before + after + own}
    padded = 10 * 10
    assert uneven["float32"] == 4 * (padded + after) + memory.kept(3 + 2, 2, 2, 5)


def test_squares_have_16_bit_where_all_else_has_8():
    values = {name: helper.make_tensor_value_info(name, 1, [1, 1, 8, 8]) for name in ("features", "logits")}
    square = helper.make_node("Mul", ["features", "features"], ["logits"])
    graph = helper.make_graph([square], "square", [values["features"]], [values["logits"]])
    found = memory.estimate(*with_shapes(helper.make_model(graph), (1, 1, 8, 8)))
    assert found["float32"] == 2 * 4 * 64 + memory.kept(2, 1, 1, 0)
    assert found["int8"] == 2 * 2 * 64 + memory.kept(
        3, 2, 2, 0
    )  # a copy in 16 bit and its squares; the input is gone by then


def test_in_8_bit_a_network_takes_between_a_quarter_and_half_of_the_memory(model):
    found = costs(model)
    structure = memory.kept(300, 170, 170, 600)  # about
    floats, integers = (found["ram_bytes"][kind] - structure for kind in ("float32", "int8"))
    assert floats / 4 < integers < floats / 2  # the squares of its normalisations have 16 bit
    largest = 20 * 32 * -(-FRAMES // 2)  # of its maps, which leaves the stem
    assert 4 * largest < floats < 8 * largest
    assert found["file_bytes"] == model.stat().st_size and found["arena_bytes"] is None
    assert found["macs_per_second"] == round(found["macs"] / 1.8)


def test_the_graph_costs_what_the_package_does(model, tmp_path):
    export(model, tmp_path / "model.onnx")
    graph, own = costs(tmp_path / "model.onnx"), costs(model)
    assert graph["ram_bytes"] == {"float32": own["ram_bytes"]["float32"]}
    assert (graph["macs"], graph["macs_per_second"]) == (own["macs"], own["macs_per_second"])


def test_the_command_shows_a_row_a_file_and_refuses_what_does_not_fit(model, capsys):
    cost([model, model])
    assert capsys.readouterr().out.count(str(model)) == 2
    cost([model], ram=1000, as_json=True)
    (row,) = json.loads(capsys.readouterr().out)
    least = row["ram_bytes"]["int8"]
    cost([model], ram=least / 1024)
    with pytest.raises(UserError) as refused:
        cost([model], ram=32)
    assert str(refused.value) == f"{model}: needs about {least / 1024:.0f} KB of memory in int8, and the device has 32"


@pytest.mark.parametrize(
    "config", [NetworkConfig(name="cp_mobile", width=8), NetworkConfig(norm="fixed_pcen")], ids=str
)
def test_every_network_has_an_estimate(config, tmp_path):
    network: nn.Module = deployed(config, 2, torch.randn(4, 1, 64, FRAMES))
    package.write(tmp_path / "model.asc", network, config, ["bus", "park"], features=FEATURES)
    assert 20_000 < costs(tmp_path / "model.asc")["ram_bytes"]["int8"] < 200_000
