"""The ONNX graphs: the same network, in float32 and in int8."""

import json
from dataclasses import asdict

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from networks import deployed

from asc_core.compression.quantize import QuantConv2d
from asc_core.deploy.onnx import to_int8, to_onnx
from asc_core.errors import UserError
from asc_core.features.config import FeatureConfig
from asc_core.features.frontend import Frontend
from asc_core.models.config import NetworkConfig

LABELS = ["bus", "park", "tram"]
DESCRIPTION = {"labels": LABELS, "features": {"config": asdict(FeatureConfig(n_mels=64)), "seconds": 0.9}, "seed": 3}
NETWORKS = [
    *(NetworkConfig(norm=norm) for norm in ("none", "resnorm", "resnorm_input", "freqin", "fixed_pcen")),
    NetworkConfig(norm="global_freqnorm"),
    NetworkConfig(tau=2),
    NetworkConfig(name="bc_resnet", tau=1, norm="none"),
    NetworkConfig(name="cp_resnet", width=8, norm="none"),
]


@pytest.fixture(scope="module")
def clips(rendered) -> np.ndarray:
    """Features of real sound: (clips, 1, mel, frame)."""
    frontend = Frontend(DESCRIPTION)
    return np.concatenate([frontend.read(path) for path in sorted((rendered / "audio").iterdir())[::10]])


def network_of(config: NetworkConfig, clips: np.ndarray) -> torch.nn.Module:
    return deployed(config, len(LABELS), torch.from_numpy(clips))


def run(graph: bytes, features: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return probabilities(session.run(["logits"], {"features": features})[0])


def probabilities(logits) -> np.ndarray:
    return torch.as_tensor(logits).double().softmax(dim=1).numpy()


@torch.inference_mode()
def expected(network, features: np.ndarray) -> np.ndarray:
    return probabilities(network(torch.from_numpy(features)))


@pytest.mark.parametrize("config", NETWORKS, ids=str)
def test_a_graph_computes_what_torch_does(config, clips):
    network = network_of(config, clips)
    graph = to_onnx(network, DESCRIPTION)
    onnx.checker.check_model(onnx.load_from_string(graph), full_check=True)
    result, correct = run(graph, clips), expected(network, clips)
    assert len(set(correct.argmax(axis=1))) > 1 and correct.std(axis=0).max() > 0.1  # the network tells clips apart
    np.testing.assert_allclose(result, correct, atol=1e-4)
    assert (result.argmax(axis=1) == correct.argmax(axis=1)).all()


@pytest.mark.parametrize("norm", ["none", "resnorm", "fixed_pcen"])
def test_digital_silence_and_loud_sound_are_no_special_cases(norm, clips):
    network = network_of(NetworkConfig(norm=norm), clips)
    features = np.stack([np.full_like(clips[0], value) for value in (np.log(1e-10), -3, 8)])
    np.testing.assert_allclose(run(to_onnx(network, DESCRIPTION), features), expected(network, features), atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 31), (3, 31), (2, 64), (1, 333)])
def test_batch_and_time_may_have_any_length(shape, clips):
    network = network_of(NetworkConfig(), clips)
    features = np.random.default_rng(0).normal(-8, 3, (shape[0], 1, 64, shape[1])).astype(np.float32)
    np.testing.assert_allclose(run(to_onnx(network, DESCRIPTION), features), expected(network, features), atol=1e-4)


def test_exporting_leaves_the_network_as_it_was(clips):
    network = network_of(NetworkConfig(), clips)
    before, names = expected(network, clips), [name for name, _ in network.named_modules()]
    to_onnx(network, DESCRIPTION)
    assert np.array_equal(expected(network, clips), before)
    assert [name for name, _ in network.named_modules()] == names


def weights(graph: bytes) -> list[np.ndarray]:
    """The int8 initialisers of convolutions, in the graph's order."""
    model = onnx.load_from_string(graph)
    values = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    dequantised = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    return [values[dequantised[node.input[1]]] for node in convolutions]


def test_the_int8_graph_holds_the_integers_of_the_package_and_predicts_nearly_the_same(clips):
    network = network_of(NetworkConfig(), clips)
    graph = to_int8(to_onnx(network, DESCRIPTION), (clip[None] for clip in clips))
    packed = [module.weight.numpy() for module in network.modules() if isinstance(module, QuantConv2d)]
    exported = weights(graph)
    assert len(exported) == len(packed) and all(weight.dtype == np.int8 for weight in exported)
    for mine, theirs in zip(packed, exported, strict=True):
        for one, other in zip(mine, theirs, strict=True):
            # A channel that uses the whole range has a scale of its own; a negative one turns the signs.
            if np.abs(one).max() == 127:
                assert np.array_equal(one, other) or np.array_equal(one, -other)
            assert np.array_equal(one != 0, other != 0)
    # How far 8-bit activations lead astray is up to the network; this one is untrained, and its logits are stretched.
    assert 1e-4 < np.abs(run(graph, clips) - expected(network, clips)).mean() < 0.1


def test_a_graph_says_of_itself_what_the_package_does(clips):
    graph = to_onnx(network_of(NetworkConfig(), clips), DESCRIPTION)
    for each in (graph, to_int8(graph, (clip[None] for clip in clips[:2]))):
        metadata = {entry.key: entry.value for entry in onnx.load_from_string(each).metadata_props}
        assert json.loads(metadata["asc"]) == DESCRIPTION


@pytest.mark.parametrize(
    "features", [None, {}, {"config": {"bands": 3}, "seconds": 1}, {"config": {}, "seconds": 0}, {"config": {}}]
)
def test_a_description_without_features_is_an_error(features, clips):
    with pytest.raises(UserError, match="what features"):
        to_onnx(network_of(NetworkConfig(), clips), {"labels": LABELS, "features": features})
