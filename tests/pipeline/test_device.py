"""What ships to a device: held to what was measured of the network, and to what a device has."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from networks import deployed, saved_by_the_mean

from asc_core.compression import package
from asc_core.deploy.fidelity import fidelity
from asc_core.errors import UserError
from asc_core.evaluation.metrics import score
from asc_core.evaluation.predictions import prediction_table
from asc_core.models.config import NetworkConfig
from flows.engine.report import evaluation
from pipeline.configure import parameters
from pipeline.device.shipped import limits, on_device
from pipeline.params import ExportGate
from pipeline.stages.gate import complaint
from pipeline.stages.gate import on_device as rows_of

SETTINGS = parameters("quick").gates


def gates(form=None, **changes):
    export = form and ExportGate(file=form, accuracy_drop=1, agreement=99)
    return SETTINGS.model_copy(update={"export": export, **changes})


@pytest.fixture(scope="module")
def shipped(store, tmp_path_factory):
    """A package, what its network was measured to answer, and with which accuracy."""
    folder = tmp_path_factory.mktemp("shipped")
    network = deployed(NetworkConfig(), len(store.scenes), store.batch(store.rows("train")).float())
    package.write(folder / "model.asc", network, NetworkConfig(), store.scenes, features=store.description)
    logits, metrics = score(network, store)
    table = prediction_table(store, store.rows("test"), logits, "quantized")
    table.to_parquet(folder / "answers.parquet", index=False)
    return folder / "model.asc", folder / "answers.parquet", metrics


@pytest.mark.parametrize("form", ["onnx", "tflite", "tflite_int8"])
def test_an_exported_file_is_measured_like_the_network_and_compared_with_it(form, shipped, store):
    if form != "onnx":
        pytest.importorskip("ai_edge_quantizer", reason="it is in the extra edge: pip install -e '.[edge]'")
    path, answers, metrics = shipped
    found = on_device(path, answers, store, gates(form))
    exported = found["exported"]
    assert set(exported) == {"form", *metrics, "agreement", "probability_difference", "logit_cosine"}
    network, file = found["costs"]
    assert file["file"].startswith("model")
    saved = saved_by_the_mean(package.read(path)[0], store.batch(store.rows("test")[:1]).float())
    assert saved > 0 and network["macs"] - file["macs"] == (0 if form == "onnx" else saved)
    if form == "tflite_int8":
        # How far 8-bit activations lead astray is up to the network; this one is untrained.
        assert 0.3 < exported["logit_cosine"] < 0.9999 and exported["probability_difference"] > 1e-3
        assert list(file["ram_bytes"]) == ["int8"]
    else:
        assert exported["agreement"] == 100 and exported["logit_cosine"] > 0.999999
        assert exported["accuracy_by_device"] == metrics["accuracy_by_device"]
        assert all(row["passed"] for row in rows_of(found, metrics["accuracy"], gates(form)))


def test_answers_that_were_not_measured_of_this_network_fail_the_gate(shipped, store, tmp_path):
    path, answers, metrics = shipped
    table = pd.read_parquet(answers)
    some = table.index[:4]  # of 18 clips
    table.loc[some, store.scenes] = np.roll(table.loc[some, store.scenes].to_numpy(), 1, axis=1)
    table.to_parquet(tmp_path / "answers.parquet", index=False)
    found = on_device(path, tmp_path / "answers.parquet", store, gates("onnx"))
    rows = {row["name"]: row for row in rows_of(found, metrics["accuracy"] + 2, gates("onnx"))}
    assert not rows["onnx: agreement"]["passed"] and not rows["onnx: accuracy_drop"]["passed"]
    assert (
        complaint(rows["onnx: accuracy_drop"]) == "onnx: accuracy_drop is 2.00, the limit is at most 1, missed by 1.00"
    )


def test_a_network_that_takes_more_than_a_device_has_fails_the_gate_in_one_line(shipped, store):
    path, answers, _ = shipped
    found = on_device(path, answers, store, gates())
    assert found["exported"] is None
    needed, speed = found["costs"][0]["ram_bytes"]["int8"], found["costs"][0]["macs_per_second"]
    assert [row["passed"] for row in rows_of(found, 0, gates(ram_bytes=needed, macs_per_second=speed))] == [True, True]
    ram, macs = (complaint(row) for row in rows_of(found, 0, gates(ram_bytes=needed - 1, macs_per_second=speed - 1)))
    assert ram == f"ram_bytes is {needed:,} bytes, the limit is at most {needed - 1:,} bytes, missed by 1 bytes"
    assert macs == f"macs_per_second is {speed:,}, the limit is at most {speed - 1:,}, missed by 1"
    floats = on_device(path, answers, store, gates("onnx"))
    ((name, value, *_),) = limits(floats, 0, gates(ram_bytes=1))
    assert name == "ram_bytes" and value == floats["costs"][0]["ram_bytes"]["float32"] > needed


def test_a_form_whose_maker_is_not_installed_is_told_with_the_key(shipped, store, monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    path, answers, _ = shipped
    with pytest.raises(UserError, match=r"^gates.export.file: tflite needs ai_edge_litert, .* or say onnx$"):
        on_device(path, answers, store, gates("tflite"))


def test_nearness_is_of_scenes_probabilities_and_logits():
    network = np.array([[2.0, 0.0, -2.0], [1.0, 0.9, 0.0], [0.0, 0.0, 3.0], [5.0, 1.0, 1.0]])
    shifted = network + np.array([[7.0], [-7.0], [0.0], [1.0]])
    assert fidelity(shifted, network) == pytest.approx(
        {"agreement": 100, "probability_difference": 0, "logit_cosine": 1}, abs=1e-9
    )
    other = network.copy()
    other[1] = [0.9, 1.0, 0.0]
    found = fidelity(other, network)
    assert found["agreement"] == 75
    odds = torch.tensor(np.stack([other[1], network[1]])).softmax(dim=1)
    assert found["probability_difference"] == pytest.approx(float((odds[0] - odds[1]).abs().max()))
    assert fidelity(-network, network)["logit_cosine"] == pytest.approx(-1)


def test_a_run_leaves_what_ships_and_files_are_measured_beside_the_package(finished, tmp_path):
    cost = json.loads((finished.folder / "reports/cost.json").read_text())
    shipped = finished.folder / "models/0/quantized.asc"
    assert [row["file"] for row in cost["costs"]] == ["models/0/quantized.asc", "quantized.onnx"]
    assert cost["costs"][0]["file_bytes"] == shipped.stat().st_size and cost["exported"]["agreement"] == 100
    assert (
        "The exported file (onnx) tells the network's scene" in (finished.folder / "reports/model_card.md").read_text()
    )
    graph = tmp_path / "model.onnx"
    finished.run("python", "-m", "asc_core.cli", "export", str(shipped), str(graph))
    files = ("models/0/quantized.asc", str(graph))
    own, exported = finished.run("python", "-m", "pipeline.release.measure", *files).stdout.splitlines()
    assert "compared" not in json.loads(own) and json.loads(exported)["compared"]["agreement"] == 100
    assert json.loads(exported)["accuracy"] == json.loads(own)["accuracy"] == cost["exported"]["accuracy"]
    for line, counted in ((own, True), (exported, False)):  # as deployment asc/evaluate tells it
        told = evaluation(json.loads(line))
        assert "bytes in the file" in told and ("bytes counted" in told) == counted
    table = finished.run("python", "-m", "pipeline.release.measure", "--table", *files).stdout
    assert table.count(".asc") == 1 and str(graph) in table and "100.00" in table
