"""The LiteRT files: the same network, in float32 and in int8, for phones and for microcontrollers."""

import re
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import onnx
import pytest
import torch
from networks import deployed, saved_by_the_mean, trained
from torch import nn

from asc_core.commands.export import export
from asc_core.commands.info import describe
from asc_core.compression import package
from asc_core.deploy import memory
from asc_core.deploy.graph import with_shapes
from asc_core.deploy.onnx import to_onnx
from asc_core.deploy.predictor import Engine, Predictor
from asc_core.errors import UserError
from asc_core.features.config import FeatureConfig
from asc_core.features.frontend import Frontend
from asc_core.models.config import NetworkConfig
from asc_core.models.macs import macs

pytest.importorskip("ai_edge_litert", reason="LiteRT is in the extra edge: pip install -e '.[edge]'")
pytest.importorskip("ai_edge_quantizer", reason="its quantizer is in the extra edge: pip install -e '.[edge]'")

from asc_core.deploy.tflite import cost, reading
from asc_core.deploy.tflite.builder import Builder, add_metadata, parse, seal
from asc_core.deploy.tflite.convert import to_tflite
from asc_core.deploy.tflite.int8 import to_int8
from asc_core.deploy.tflite.running import runner

LABELS = ["bus", "park", "tram"]
FEATURES = {"config": asdict(FeatureConfig(n_mels=64)), "seconds": 0.9}
RESNORM = NetworkConfig()
PREDICTED = ("model.asc", "float.tflite", "int8.tflite")
NETWORKS = [
    RESNORM,
    NetworkConfig(norm="global_freqnorm"),
    NetworkConfig(norm="fixed_pcen"),
    NetworkConfig(name="bc_resnet", tau=1, norm="none"),
    NetworkConfig(name="cp_resnet", width=8, norm="none"),
    NetworkConfig(name="cp_mobile", width=16, norm="resnorm"),
]


def description(config: NetworkConfig) -> dict:
    return {"labels": LABELS, "features": FEATURES, "network": asdict(config)}


@pytest.fixture(scope="module")
def clips(rendered) -> np.ndarray:
    """Features of real sound: (clips, 1, mel, frame)."""
    frontend = Frontend(description(RESNORM))
    return np.concatenate([frontend.read(path) for path in sorted((rendered / "audio").iterdir())[::10]])


@pytest.fixture(scope="module")
def network(clips) -> nn.Module:
    targets = torch.arange(len(clips)) % len(LABELS)  # to be learnt by heart
    return trained(RESNORM, torch.from_numpy(clips), targets, steps=30)


@pytest.fixture(scope="module")
def floats(network) -> bytes:
    return to_tflite(network, description(RESNORM))


@pytest.fixture(scope="module")
def integers(floats, clips) -> bytes:
    return to_int8(floats, (clip[None] for clip in clips))


def run(tmp_path, content: bytes, clips: np.ndarray) -> np.ndarray:
    logits = runner(tmp_path / "model.tflite", content)
    return np.concatenate([logits(clip[None]) for clip in clips])


@torch.inference_mode()
def expected(network: nn.Module, clips: np.ndarray) -> np.ndarray:
    return network(torch.from_numpy(clips)).numpy()


@pytest.mark.parametrize("config", NETWORKS, ids=str)
def test_a_float_file_computes_what_torch_does_and_is_read_again(config, clips, tmp_path):
    network = deployed(config, len(LABELS), torch.from_numpy(clips))
    content, correct = to_tflite(network, description(config)), expected(network, clips)
    assert len(set(correct.argmax(axis=1))) > 1  # the network tells clips apart
    np.testing.assert_allclose(run(tmp_path, content, clips), correct, atol=1e-3)
    assert reading.check(content) == description(config)
    estimated = memory.estimate(
        *with_shapes(onnx.load_from_string(to_onnx(network, description(config))), clips[:1].shape)
    )
    assert estimated["float32"] == pytest.approx(cost.arena(reading.graph_of(content)), rel=0.1)
    saved = macs(network, clips.shape[1:]) - reading.macs(reading.graph_of(content))
    assert saved == saved_by_the_mean(network, torch.from_numpy(clips)) or config.norm == "fixed_pcen"


def test_an_int8_file_takes_and_returns_integers_and_says_how_they_are_meant(integers, network, clips, tmp_path):
    graph = reading.graph_of(integers)
    kinds = {graph.tensors[index].kind for index in (*graph.inputs, *graph.outputs)}
    told = reading.check(integers)["int8"]
    assert kinds == {"INT8"} and set(told) == {"features", "logits"}
    features = graph.tensors[graph.inputs[0]]
    assert (told["features"]["scale"], told["features"]["zero_point"]) == (features.scales[0], features.zeros[0])
    logits, correct = run(tmp_path, integers, clips), expected(network, clips)
    difference = np.abs(logits - correct).mean() / correct.std()  # up to the network; 30 steps from others 0.10 to 0.12
    assert 1e-3 < difference < 0.25


def test_the_maps_of_an_int8_file_are_integers_and_only_few_statistics_are_not(integers, clips):
    graph = reading.graph_of(integers)
    map_size = clips[0].size
    floats = [tensor for tensor in graph.tensors if tensor.kind == "FLOAT32" and tensor.data is None]
    assert floats and max(tensor.entries for tensor in floats) <= 64  # a number for each frequency
    wide = [tensor for tensor in graph.tensors if tensor.kind == "INT16"]
    assert max(tensor.entries for tensor in wide) >= map_size  # the squares


def test_the_numbers_of_a_large_network_are_in_the_int8_file_where_they_belong(clips, tmp_path):
    """The quantizer puts those of a model of a megabyte behind the model."""
    config = NetworkConfig(tau=8)
    network = deployed(config, len(LABELS), torch.from_numpy(clips))
    floats = to_tflite(network, description(config))
    integers = to_int8(floats, (clip[None] for clip in clips[:4]))
    assert reading.check(integers)["int8"]
    assert len(integers) > 300_000
    assert np.corrcoef(run(tmp_path, integers, clips[:4]).ravel(), expected(network, clips[:4]).ravel())[0, 1] > 0.5


def test_a_channel_whose_weights_are_all_pruned_keeps_its_bias(clips):
    """The bias is in steps of the weights: too small a step of zeros, and it does not fit."""
    config = NetworkConfig(name="cp_mobile", width=16, norm="none", grn=False)
    network = deployed(config, len(LABELS), torch.from_numpy(clips))
    graph = reading.graph_of(to_int8(to_tflite(network, description(config)), (clip[None] for clip in clips[:2])))
    convolutions = [each for each in graph.operators if each.name in reading.CONVOLUTIONS]
    kernels = [np.frombuffer(graph.tensors[each.inputs[1]].data, np.int8) for each in convolutions]
    biases = [np.frombuffer(graph.tensors[each.inputs[2]].data, np.int32) for each in convolutions]
    pruned = [
        not kernel.reshape(graph.tensors[each.inputs[1]].shape)[..., channel].any()
        for each, kernel in zip(convolutions, kernels, strict=True)
        if each.name == "DEPTHWISE_CONV_2D"
        for channel in range(graph.tensors[each.inputs[1]].shape[-1])
    ]
    assert any(pruned) and max(np.abs(bias.astype(np.int64)).max() for bias in biases) < 2**31 - 1


def test_nothing_is_left_in_an_int8_file_of_the_one_that_it_was_made_from(integers):
    model = parse(integers)
    used = {0, *(each.buffer for each in (*model.subgraphs[0].tensors, *model.metadata))}
    assert used == set(range(len(model.buffers)))
    assert integers.count(b'"labels"') == 1


def test_the_file_is_mostly_weights_and_not_words(floats):
    weights = sum(len(tensor.data) for tensor in reading.graph_of(floats).tensors if tensor.data)
    assert len(floats) < 2 * weights


def test_the_memory_that_is_estimated_is_that_of_the_interpreter_for_microcontrollers(floats, integers, network):
    pytest.importorskip("tflite_micro", reason="the interpreter is in the extra edge: pip install -e '.[edge]'")
    from asc_core.deploy.tflite import micro

    graph = onnx.load_from_string(to_onnx(network, description(RESNORM)))
    estimated = memory.estimate(*with_shapes(graph, (1, 1, 64, FeatureConfig().frames(FEATURES["seconds"]))))
    for kind, content in {"float32": floats, "int8": integers}.items():
        told = micro.arena(content)
        assert cost.arena(reading.graph_of(content)) == pytest.approx(told, rel=0.1)
        assert estimated[kind] == pytest.approx(told, rel=0.1)


def test_microcontrollers_tell_the_scenes_that_the_reference_kernels_of_litert_do(integers, clips):
    """Its optimised kernels, for phones, round in ways of their own."""
    pytest.importorskip("tflite_micro", reason="the interpreter is in the extra edge: pip install -e '.[edge]'")
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    from asc_core.deploy.tflite import micro
    from asc_core.deploy.tflite.running import to_integers

    compute = micro.runner(integers)
    reference = Interpreter(
        model_content=integers, num_threads=1, experimental_op_resolver_type=OpResolverType.BUILTIN_REF
    )
    reference.allocate_tensors()
    (features,), (logits,) = reference.get_input_details(), reference.get_output_details()
    for clip in clips:
        values = to_integers(clip.reshape(features["shape"]), features)
        reference.set_tensor(features["index"], values)
        reference.invoke()
        assert compute(values).argmax() == reference.get_tensor(logits["index"]).argmax()


def test_what_is_exported_is_predicted_and_shown_like_the_package(network, rendered, tmp_path, capsys):
    package.write(tmp_path / "model.asc", network, RESNORM, LABELS, features=FEATURES)
    for name, more in {"float.tflite": {}, "int8.tflite": {"int8": True, "calibrate": rendered / "audio"}}.items():
        export(tmp_path / "model.asc", tmp_path / name, **more)
    assert re.search(r"int8 against float32 on \d+ clips: ", capsys.readouterr().err)
    sound = sorted((rendered / "audio").iterdir())[3]
    package_, floats, integers = (Predictor(tmp_path / f"{name}")(sound) for name in PREDICTED)
    np.testing.assert_allclose(floats, package_, atol=1e-4)
    np.testing.assert_allclose(integers, package_, atol=0.3)
    np.testing.assert_allclose(Predictor(tmp_path / "model.asc", Engine.litert)(sound), package_, atol=1e-4)
    told = describe(tmp_path / "int8.tflite")
    assert told["labels"] == LABELS and told["int8"]["features"]["scale"] > 0
    assert 0 < told["device"]["activation_bytes"] < told["device"]["arena_bytes"] < 100_000 < told["device"]["macs"]
    command = [sys.executable, "-m", "asc_core.cli", "predict", str(tmp_path / "float.tflite"), str(sound)]
    done = subprocess.run([*command, "--format", "csv"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1].split(",")[2] == LABELS[package_.argmax()]
    assert done.stderr == ""


class Rolling(nn.Module):
    """A network with something that no exported one has."""

    def forward(self, x):
        return torch.roll(x, 1, dims=3).mean(dim=(2, 3))


def test_a_network_that_has_no_counterpart_is_refused_by_the_name_of_the_operator():
    with pytest.raises(UserError, match=r"aten\.roll"):
        to_tflite(Rolling(), description(RESNORM))


def large(model) -> None:
    """The largest map of the file, and a hundred times as many channels added to it."""
    tensors, first = model.subgraphs[0].tensors, model.subgraphs[0].operators[0]
    shape = [1, 1, 1, 1 << 14]
    tensors[first.inputs[1]].shape, tensors[first.outputs[0]].shape = shape, [1, 64, 31, 1 << 14]
    model.buffers[tensors[first.inputs[1]].buffer].data = np.zeros(4 << 14, np.uint8)


def before(model) -> None:
    model.subgraphs[0].operators[0].outputs = [-5]


def renamed(model) -> None:
    model.subgraphs[0].tensors[model.subgraphs[0].inputs[0]].name = "x"


def custom(model) -> None:
    model.operatorCodes[0].builtinCode = model.operatorCodes[0].deprecatedBuiltinCode = 32


def elsewhere(model) -> None:
    model.subgraphs[0].tensors[3].externalBuffer = 1


def padded(model) -> None:
    for tensor in model.subgraphs[0].tensors:
        if list(tensor.shape) == [4, 2]:
            zeros = model.buffers[tensor.buffer].data.view(np.int32).copy()
            zeros[3] = 1 << 28
            model.buffers[tensor.buffer].data = zeros.view(np.uint8)


FOREIGN = {
    "no description": (lambda model: setattr(model, "metadata", []), "nothing says"),
    "another description": (lambda model: add_metadata(model, "asc", b"{}"), "labels"),
    "no JSON": (lambda model: add_metadata(model, "asc", b"[" * 100_000), "recursion"),
    "two graphs": (lambda model: model.subgraphs.append(model.subgraphs[0]), "no exported network has"),
    "another name": (renamed, "not just features"),
    "a custom operator": (custom, "CUSTOM"),
    "numbers elsewhere": (elsewhere, "no exported network has"),
    "a large sum": (large, "numbers"),
    "a wide margin": (padded, "size"),
    "a negative index": (before, "that there is not"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_a_foreign_file_is_refused_in_one_line_before_it_is_computed(floats, tmp_path, monkeypatch, case):
    from ai_edge_litert import interpreter

    change, reason = FOREIGN[case]
    model = parse(floats)
    change(model)
    path = tmp_path / "foreign.tflite"
    path.write_bytes(seal(model))
    monkeypatch.setattr(interpreter, "Interpreter", None)
    with pytest.raises(UserError, match=f"^{path}: not a file as `asc export` writes it ") as refused:
        Predictor(path)
    told = str(refused.value)
    assert reason in told and told.isprintable() and len(told) < 500


def test_a_damaged_file_is_refused_in_one_line(integers):
    """Bytes changed at random, or cut off: LiteRT would end the process over some of them."""
    rng = np.random.default_rng(0)
    for number in range(40):
        damaged = bytearray(integers)
        for at in rng.integers(0, len(damaged), rng.integers(1, 6)):
            damaged[at] ^= rng.integers(1, 256)
        if number % 5 == 0:
            del damaged[int(rng.integers(len(damaged))) :]
        with pytest.raises(UserError) as refused:
            reading.check(bytes(damaged))
        assert str(refused.value).isprintable() and len(str(refused.value)) < 500


def test_the_wrong_engine_is_told(tmp_path, floats):
    path = tmp_path / "model.tflite"
    path.write_bytes(floats)
    with pytest.raises(UserError, match=f"^{path}: torch does not compute .tflite files; use the engine litert"):
        Predictor(path, Engine.torch)


def test_a_builder_leaves_out_what_is_not_used():
    builder = Builder()
    taken = builder.tensor([1, 2])
    builder.constant(np.ones(3, np.float32))
    model = builder.finish({"x": taken}, {"y": builder.operator("EXP", [taken], [1, 2])})
    assert len(model.subgraphs[0].tensors) == 2 and len(model.buffers) == 1
