"""`dvc repro`, whole: on a tiny corpus, in a workspace of its own."""

import json
import os

import pytest
from workspace import Workspace

from asc_core import UserError
from asc_core.compression import package
from asc_core.files import read_json
from pipeline import params
from pipeline.paths import SEEDS, SUMMARY
from pipeline.runtime.journal import Journal, SilentJournal
from pipeline.stages.gate import checks, gate

AFTER_TEACHERS = ("train_student", "prune", "quantize", "tune_devices", "evaluate")
SEEDED = ["train_teacher@{}-asc", *(f"{stage}@{{}}" for stage in AFTER_TEACHERS)]


@pytest.fixture
def workspace(finished, tmp_path):
    return finished.copy(tmp_path / "project")


def test_the_summary_keeps_its_interface(finished):
    summary = json.loads((finished.folder / "reports/summary.json").read_text())
    assert list(summary) == ["teacher", "student", "pruned", "quantized"]
    for name, model in summary.items():
        for metric in ("accuracy", "log_loss", "accuracy_seen", "accuracy_unseen"):
            assert set(model[metric]) == {"mean", "std", "n", "interval"}
            assert model[metric]["n"] == 1
            low, high = model[metric]["interval"]
            assert low < model[metric]["mean"] < high
        assert set(model["accuracy_by_device"]) == {"a", "b", "c", "s1", "s2", "s3", "s4", "s5", "s6"}
        assert len(model["accuracy_by_scene"]) == 10
        assert {value["interval"] for value in model["accuracy_by_scene"].values()} == {None}  # of one location
        assert None not in [value["interval"] for value in model["log_loss_by_device"].values()]
        assert {"parameters", "nonzero_parameters", "counted_bytes"} <= set(model["size"])
        assert ("file_bytes" in model["size"]) == (name == "quantized")
    gate = json.loads((finished.folder / "reports/gate.json").read_text())
    assert gate["passed"] is True
    assert {"name", "value", "limit", "passed"} <= set(gate["checks"][0])


def test_sizes_are_those_of_the_method(finished):
    """tau 1: 6,215 convolution weights, half of them pruned; float32 before, 8 and 16 bit after."""
    summary = json.loads((finished.folder / "reports/summary.json").read_text())
    assert summary["student"]["size"]["parameters"] == 8055
    assert summary["student"]["size"]["counted_bytes"] == 4 * summary["student"]["size"]["nonzero_parameters"]
    assert summary["pruned"]["size"]["nonzero_parameters"] <= 8055 - 6215 + 3108
    quantized = summary["quantized"]["size"]
    assert quantized["counted_bytes"] <= 3108 + 2 * (quantized["parameters"] - 6215)
    assert quantized["file_bytes"] == (finished.folder / "models/0/quantized.asc").stat().st_size
    rows = json.loads((finished.folder / "reports/sizes/0.json").read_text())
    assert sum(row["counted_bytes"] for row in rows) == quantized["counted_bytes"]
    assert f"| {quantized['counted_bytes']:,} |" in (finished.folder / "reports/size.md").read_text()


def test_the_package_says_what_was_measured_of_it(finished):
    """Evaluation reads the file anew, and gets to the digit what the stage that made it got."""
    measured = json.loads((finished.folder / "reports/seeds/0.json").read_text())["quantized"]
    _, description = package.read(finished.folder / "models/0/quantized.asc")
    for name, value in description["evaluation"].items():
        assert value == (9 * 10 if name == "clips" else measured[name]), name
    assert description["size"].items() <= measured["size"].items()


def test_the_rules_of_later_years_can_be_chosen(workspace, monkeypatch):
    workspace.configure("gates.rules=dcase2022", "gates.counted_bytes=null")
    monkeypatch.chdir(workspace.folder)
    settings = params.load()
    gate(settings, Journal("gate", None, settings.model_dump(mode="json")))
    checks = {row["name"]: row for row in json.loads((workspace.folder / "reports/gate.json").read_text())["checks"]}
    rules = {"dcase2022: parameters", "dcase2022: weight_bits", "dcase2022: macs"}
    assert set(checks) == rules | {"file_bytes", "onnx: accuracy_drop", "onnx: agreement"}
    assert checks["dcase2022: parameters"]["value"] == 8065 and checks["dcase2022: macs"]["limit"] == 30_000_000


def test_a_second_repro_runs_nothing(workspace):
    assert workspace.ran() == []


def test_one_more_seed_runs_only_its_stages_and_the_aggregates(with_second_seed, tmp_path):
    workspace = with_second_seed.copy(tmp_path / "project")
    ran = json.loads((workspace.folder / "ran.json").read_text())
    assert ran == [*(stage.format(3) for stage in SEEDED), "summarise", "gate"]
    summary = json.loads((workspace.folder / "reports/summary.json").read_text())
    assert summary["teacher"]["accuracy"]["n"] == 2

    workspace.configure("seeds=[3]")
    assert workspace.ran() == ["summarise", "gate"]
    only = json.loads((workspace.folder / "reports/seeds/3.json").read_text())
    summary = json.loads((workspace.folder / "reports/summary.json").read_text())
    interval = summary["teacher"]["accuracy"].pop("interval")
    assert summary["teacher"]["accuracy"] == {"mean": only["teacher"]["accuracy"], "std": 0.0, "n": 1}
    assert interval[0] < only["teacher"]["accuracy"] < interval[1]


def test_earlier_parameters_are_restored_and_not_computed_again(workspace):
    weights = (workspace.folder / "models/0/quantized.asc").read_bytes()
    workspace.configure("quantize.schedule={epochs: 1, learning_rate: 0.005}")
    assert workspace.ran("quantize@0") == ["quantize@0"]
    assert (workspace.folder / "models/0/quantized.asc").read_bytes() != weights
    workspace.configure()
    assert workspace.ran("quantize@0") == []
    assert (workspace.folder / "models/0/quantized.asc").read_bytes() == weights


def test_training_again_gives_the_same_weights(workspace):
    weights = (workspace.folder / "models/0/teachers/asc.safetensors").read_bytes()
    assert workspace.ran("--force", "--single-item", "train_teacher@0-asc") == ["train_teacher@0-asc"]
    assert (workspace.folder / "models/0/teachers/asc.safetensors").read_bytes() == weights


def test_a_model_over_its_budget_fails_the_run_and_leaves_the_reports(workspace):
    value = json.loads((workspace.folder / "reports/summary.json").read_text())["quantized"]["size"]["counted_bytes"]
    workspace.configure(f"gates.counted_bytes={value - 5}")
    done = workspace.run("dvc", "repro", check=False)
    assert done.returncode != 0
    told = [line for line in done.stdout.splitlines() if "error: " in line]
    assert told[0] == (
        f"gate: error: counted_bytes is {value:,} bytes, the limit is at most {value - 5:,} bytes, missed by 5 bytes"
    )
    assert "Traceback" not in done.stdout
    gate = json.loads((workspace.folder / "reports/gate.json").read_text())
    assert gate["passed"] is False
    assert [check["name"] for check in gate["checks"] if not check["passed"]] == ["counted_bytes"]
    parents = [run for run in runs(workspace) if "mlflow.parentRunId" not in run.data.tags]
    assert parents[0].info.status == "FAILED"
    assert "missed by 5 bytes" in parents[0].data.tags["mlflow.note.content"]


def test_each_gate_can_fail(workspace, monkeypatch):
    monkeypatch.chdir(workspace.folder)
    low, high = dict.fromkeys(["counted_bytes", "file_bytes"], 10), {"accuracy": 100, "worst_device": 100}
    missed = {**low, **high, "accuracy_drop": -100, "seed_accuracy": 100}
    settings, measured = params.load(), (read_json(SUMMARY), {0: read_json(SEEDS / "0.json")["quantized"]})
    for name, limit in missed.items():
        rows = checks(*measured, settings.gates.model_copy(update={name: limit}))
        told = "accuracy of seed 0" if name == "seed_accuracy" else name
        assert [row["name"] for row in rows if not row["passed"]] == [told]
    gates = settings.gates.model_copy(update=missed)
    with pytest.raises(UserError) as error:
        gate(settings.model_copy(update={"gates": gates}), SilentJournal())
    assert [each.split(" is ")[0] for each in str(error.value).split("; ")] == [
        *("counted_bytes", "file_bytes", "accuracy", "accuracy_drop", "worst_device", "accuracy of seed 0")
    ]


def test_a_killed_training_goes_on_where_it_was(finished, tmp_path):
    workspace = finished.copy(tmp_path / "project")
    workspace.configure("teachers.asc.schedule={epochs: 20, learning_rate: 0.02}")
    import signal
    import subprocess

    training = subprocess.Popen(
        ["python", "-m", "pipeline.stages.train_teacher", "--seed", "0", "--teacher", "asc"],
        cwd=workspace.folder,
        env={**workspace.environment, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert training.stdout is not None
    for line in training.stdout:
        if "epoch 5/20" in line:
            training.send_signal(signal.SIGKILL)
            break
    training.wait()
    done = workspace.run("python", "-m", "pipeline.stages.train_teacher", "--seed", "0", "--teacher", "asc")
    assert "continues after epoch" in done.stdout
    assert "epoch 20/20" in done.stdout
    resumed = (workspace.folder / "models/0/teachers/asc.safetensors").read_bytes()
    workspace.run("python", "-m", "pipeline.stages.train_teacher", "--seed", "0", "--teacher", "asc")
    assert (workspace.folder / "models/0/teachers/asc.safetensors").read_bytes() == resumed


def runs(workspace: Workspace) -> list:
    """Every run in the workspace's MLflow store, the newest first."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{workspace.folder}/mlflow.db")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return list(client.search_runs(experiments, max_results=1000))


def test_mlflow_holds_one_parent_and_a_child_for_every_stage(finished):
    found = runs(finished)
    parents = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
    assert len(parents) == 1
    children = {run.info.run_name: run for run in found if run is not parents[0]}
    assert set(children) == {
        *("download", "validate", "extract_features", "summarise", "gate"),
        *(stage.format(0) for stage in SEEDED),
    }
    assert {run.data.tags["mlflow.parentRunId"] for run in children.values()} == {parents[0].info.run_id}
    assert {run.info.status for run in found} == {"FINISHED"}

    summary = json.loads((finished.folder / "reports/summary.json").read_text())
    assert parents[0].data.metrics["quantized.accuracy"] == summary["quantized"]["accuracy"]["mean"]
    assert {"quantized.accuracy.std", "quantized.accuracy.n"} <= set(parents[0].data.metrics)
    assert parents[0].data.tags["dvc.lock"] and parents[0].data.tags["git.commit"]
    evaluate = children["evaluate@0"]
    assert evaluate.data.tags["seed"] == "0"
    assert evaluate.data.params["features.n_mels"] == "32"
    seed = json.loads((finished.folder / "reports/seeds/0.json").read_text())
    for device, accuracy in seed["quantized"]["accuracy_by_device"].items():
        assert evaluate.data.metrics[f"quantized.accuracy_by_device.{device}"] == accuracy

    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{finished.folder}/mlflow.db")
    history = client.get_metric_history(children["train_teacher@0-asc"].info.run_id, "loss")
    assert [point.step for point in history] == [1, 2]
    assert "summary.json" in {item.path for item in client.list_artifacts(parents[0].info.run_id)}


def test_a_journal_that_is_sent_again_doubles_nothing(workspace):
    before = {run.info.run_id: run.data.metrics for run in runs(workspace)}
    for note in workspace.folder.glob(".state/tracking/*/*.sent"):
        note.unlink()
    workspace.run("python", "-m", "pipeline.release.sync")
    assert {run.info.run_id: run.data.metrics for run in runs(workspace)} == before
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{workspace.folder}/mlflow.db")
    teacher = next(run for run in runs(workspace) if run.info.run_name == "train_teacher@0-asc")
    assert len(client.get_metric_history(teacher.info.run_id, "loss")) == 2
