"""The ONNX graphs: the same network, in float32 and in int8."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from networks import deployed
from onnx import TensorProto, helper, numpy_helper

from asc_core.compression.quantize import QuantConv2d
from asc_core.deploy import graph as graphs
from asc_core.deploy.onnx import to_int8, to_onnx
from asc_core.deploy.predictor import Predictor
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
    NetworkConfig(name="cp_resnet_small", width=8, norm="none"),
    NetworkConfig(name="cp_mobile", width=16, norm="resnorm"),
    NetworkConfig(name="cp_mobile", width=16, norm="none", strides="baseline", grn=False),
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


WHOLE = {**DESCRIPTION, "network": asdict(NetworkConfig())}


@pytest.fixture(scope="module")
def exported(clips) -> bytes:
    return to_onnx(network_of(NetworkConfig(), clips), WHOLE)


@pytest.mark.parametrize("config", NETWORKS, ids=str)
@pytest.mark.parametrize("bands", [32, 64])
def test_every_exported_graph_is_read_again(config, bands, tmp_path):
    """32 bands are too few for the head of a BC-ResNet, which pads them."""
    features = {"config": asdict(FeatureConfig(n_mels=bands)), "seconds": 0.9}
    description = {"labels": LABELS, "features": features, "network": asdict(config)}
    clips = torch.randn(2, 1, bands, 31)
    graph = to_onnx(deployed(config, len(LABELS), clips), description)
    for each in (graph, to_int8(graph, (clip[None].numpy() for clip in clips))):
        (tmp_path / "model.onnx").write_bytes(each)
        content, read = graphs.read(tmp_path / "model.onnx")
        assert content == each and read == description
        probabilities = Predictor(tmp_path / "model.onnx").probabilities(clips.numpy())
        assert probabilities.shape == (3,) and probabilities.sum() == pytest.approx(1)


def described(description: object) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        model.metadata_props[0].value = description if isinstance(description, str) else json.dumps(description)

    return change


def with_features(**changes: object) -> Callable[[onnx.ModelProto], None]:
    config = {name: changes.pop(name) for name in list(changes) if name in DESCRIPTION["features"]["config"]}
    features = {**DESCRIPTION["features"], **changes}
    return described({**WHOLE, "features": {**features, "config": {**features["config"], **config}}})


def renamed(value: onnx.ValueInfoProto, name: str) -> None:
    value.name = name


def resized(value: onnx.ValueInfoProto, index: int, length: int) -> None:
    value.type.tensor_type.shape.dim[index].dim_value = length


def large(model: onnx.ModelProto, size: int) -> None:
    """Features plus as many zeros in a single number of the file."""
    shape = numpy_helper.from_array(np.array([size]), "shape")
    model.graph.initializer.append(shape)
    zeros = helper.make_node("ConstantOfShape", ["shape"], ["zeros"])
    mean = helper.make_node("ReduceMean", ["zeros"], ["zero"], keepdims=0)
    add = helper.make_node("Add", ["features", "zero"], ["more"])
    for node in model.graph.node:
        node.input[:] = ["more" if name == "features" else name for name in node.input]
    for number, node in enumerate((zeros, mean, add)):
        model.graph.node.insert(number, node)


def padded(model: onnx.ModelProto) -> None:
    pads = numpy_helper.from_array(np.array([0, 0, 0, 0, 0, 0, 0, 1 << 40]), "pads")
    model.graph.initializer.append(pads)
    model.graph.node.insert(0, helper.make_node("Pad", ["features", "pads"], ["padded"]))


def pooled(model: onnx.ModelProto, kind: str) -> None:
    """Each number of the features from a square of a million of them on every side."""
    side = 1_000_000
    window = {"kernel_shape": [2 * side + 1] * 2, "pads": [side] * 4}
    model.graph.node.insert(0, helper.make_node(kind, ["features"], ["pooled"], **window))


def elsewhere(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def looping(model: onnx.ModelProto) -> None:
    body = helper.make_graph([], "body", [], [])
    model.graph.node.insert(0, helper.make_node("Loop", [], ["more"], body=body))


def hidden(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("body", helper.make_graph([], "body", [], [])))


FOREIGN: dict[str, tuple[Callable[[onnx.ModelProto], object], str]] = {
    "no metadata": (lambda model: model.metadata_props.pop(), "nothing says what it was trained on"),
    "two descriptions": (lambda model: model.metadata_props.add(key="asc", value="{}"), "nothing says"),
    "a list": (described([1, 2]), "not a mapping"),
    "a number": (described(3), "not a mapping"),
    "no JSON": (described("{"), "Expecting"),
    "deep": (described("[" * 100_000), "recursion"),
    "NaN": (described('{"labels": NaN}'), "not JSON compliant"),
    "no labels": (described({**WHOLE, "labels": None}), "labels"),
    "labels of numbers": (described({**WHOLE, "labels": [1, 2, 3]}), "labels"),
    "the same label twice": (described({**WHOLE, "labels": ["bus", "bus", "tram"]}), "different"),
    "other labels": (described({**WHOLE, "labels": LABELS[:2]}), "not just logits"),
    "no network": (described(DESCRIPTION), "network"),
    "large network": (described({**WHOLE, "network": {"tau": 1000}}), "tau"),
    "clips of a day": (with_features(seconds=86_400), "features"),
    "clips of no length": (with_features(seconds="NaN"), "features"),
    "a low rate": (with_features(sample_rate=1), "features"),
    "other bands": (with_features(n_mels=128), "not just features"),
    "another name of the input": (lambda model: renamed(model.graph.input[0], "x"), "not just features"),
    "another name of the output": (lambda model: renamed(model.graph.output[0], "y"), "not just logits"),
    "no output": (lambda model: model.graph.output.pop(), "not just logits"),
    "two inputs": (lambda model: model.graph.input.add(name="more"), "not just features"),
    "stereo": (lambda model: resized(model.graph.input[0], 1, 2), "not just features"),
    "more classes": (lambda model: resized(model.graph.output[0], 1, 4), "not just logits"),
    "numbers elsewhere": (elsewhere, "another file"),
    "a loop": (looping, "Loop"),
    "a graph in a graph": (hidden, "within a graph"),
    "another domain": (lambda model: setattr(model.graph.node[0], "domain", "evil"), "operator"),
    "functions": (lambda model: model.functions.add(name="f"), "no exported network has"),
    "an operator with an odd name": (lambda model: setattr(model.graph.node[0], "op_type", "\x1b[31m\n"), "operator"),
    "zeros without end": (lambda model: large(model, 1 << 40), "size"),
    "many zeros": (lambda model: large(model, 1 << 26), "size"),
    "a wide margin": (padded, ""),
    "a wide mean": (lambda model: pooled(model, "AveragePool"), "operations"),
    "a wide maximum": (lambda model: pooled(model, "MaxPool"), "operations"),
    "a long tensor": (lambda model: model.graph.initializer[0].dims.append(1 << 40), "numbers"),
    "a tensor of negative length": (lambda model: model.graph.initializer[0].dims.append(-1), "negative"),
    "no nodes": (lambda model: model.graph.ClearField("node"), ""),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_a_foreign_graph_is_refused_in_one_line_before_it_is_computed(exported, tmp_path, monkeypatch, case):
    change, reason = FOREIGN[case]
    model = onnx.load_from_string(exported)
    change(model)
    path = tmp_path / "foreign.onnx"
    path.write_bytes(model.SerializeToString())
    monkeypatch.setattr(onnxruntime, "InferenceSession", None)
    with pytest.raises(UserError, match=f"^{path}: not a graph as `asc export` writes it ") as refused:
        Predictor(path)
    told = str(refused.value)
    assert reason in told and told.isprintable() and len(told) < 500


def test_a_few_zeros_more_are_computed(exported, tmp_path):
    """So it is their number that is refused above."""
    model = onnx.load_from_string(exported)
    large(model, 1 << 10)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    Predictor(tmp_path / "model.onnx")


def test_what_is_no_file_is_no_graph(tmp_path):
    os.mkfifo(tmp_path / "pipe.onnx")
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "large.onnx").touch()
    os.truncate(tmp_path / "large.onnx", graphs.MOST + 1)
    for path in tmp_path.iterdir():
        with pytest.raises(UserError, match=f"^{path}: (not a file|larger than)"):
            Predictor(path)
