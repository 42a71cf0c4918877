"""From the gate into MLflow's registry, and from there behind an HTTP port."""

import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from imports import closure, imported
from workspace import ROOT

import asc_core
from asc_core import UserError
from asc_core.cli import run
from asc_core.compression import activations, package
from asc_core.deploy.predictor import Engine, Predictor, _in_torch
from asc_core.features.audio import to_mono
from asc_core.features.config import FeatureConfig
from asc_core.features.log_mel import LogMel, fit_length
from asc_core.models.config import NetworkConfig
from flows.engine.stages import end_trees
from pipeline.release import registry, sync
from pipeline.release.shipped import bundle
from pipeline.reporting.card import Facts, model_card
from pipeline.reporting.tables import median_seed
from pipeline.runtime.journal import Journal

PARAMS = {"tracking": {"experiment": "registry"}}
REFERENCE = Path("models/0/reference.safetensors")


def client(folder: Path):
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{folder}/mlflow.db")


def versions(folder: Path) -> dict[str, object]:
    """Every version of the model in a workspace's store, by its number."""
    return {str(each.version): each for each in client(folder).search_model_versions("name = 'asc'")}


def aliases(folder: Path) -> dict[str, str]:
    return {alias: str(number) for alias, number in client(folder).get_registered_model("asc").aliases.items()}


def read(folder: Path, name: str):
    return json.loads((folder / "reports" / name).read_text())


def test_a_run_that_passes_the_gate_registers_its_package_with_its_card(finished):
    assert set(versions(finished.folder)) == {"1"}
    assert aliases(finished.folder) == {"champion": "1"}
    version = versions(finished.folder)["1"]
    summary = read(finished.folder, "summary.json")["quantized"]
    lock = (finished.folder / "dvc.lock").read_text()
    assert float(version.tags["accuracy.mean"]) == summary["accuracy"]["mean"]
    assert version.tags["seed"] == "0" and version.tags["verdict"] == "there was no champion"
    assert version.tags["features"] and version.tags["features"] in lock
    assert int(version.tags["counted_bytes"]) == summary["size"]["counted_bytes"]
    run = client(finished.folder).get_run(version.run_id)
    assert run.data.metrics["gate.passed"] == 1
    artifacts = Path(client(finished.folder).get_model_version_download_uri("asc", "1")) / "artifacts"
    assert (artifacts / "quantized.asc").read_bytes() == (finished.folder / "models/0/quantized.asc").read_bytes()
    assert (artifacts / "reference.safetensors").read_bytes() == (finished.folder / REFERENCE).read_bytes()
    kept = pd.read_parquet(artifacts / "predictions/0.parquet")
    assert set(kept["model"]) == {"quantized"} and len(kept) == 90
    assert (artifacts / "model_card.md").read_text() == (finished.folder / "reports/model_card.md").read_text()


def test_the_seed_that_ships_is_the_one_in_the_middle():
    assert median_seed({0: 70.0, 3: 90.0, 7: 80.0}) == 7
    assert median_seed({0: 70.0, 1: 90.0, 2: 80.0, 3: 75.0}) == 3
    assert median_seed({4: 70.0}) == 4


# The card


def card(folder: Path, source: str, checks: list[dict]) -> str:
    facts = Facts(
        package=folder / "models/0/quantized.asc",
        seed=0,
        seeds={0: read(folder, "seeds/0.json")["quantized"]},
        over_seeds=read(folder, "summary.json")["quantized"],
        source=source,
        corpus=json.loads((folder / "data/corpus.json").read_text()),
        validation=read(folder, "validation.json"),
        checks=checks,
        device=read(folder, "cost.json"),
    )
    return model_card(facts)


def test_the_card_has_what_was_measured_and_counted(finished):
    text = (finished.folder / "reports/model_card.md").read_text()
    summary = read(finished.folder, "summary.json")["quantized"]
    size = summary["size"]
    for device, value in summary["accuracy_by_device"].items():
        (low, high), loss = value["interval"], summary["log_loss_by_device"][device]["mean"]
        assert f"| {device} | {value['mean']:.1f} [{low:.1f}, {high:.1f}] | {loss:.3f} [" in text
    assert f"| all |  | {size['parameters']:,} | {size['nonzero_parameters']:,} | {size['counted_bytes']:,} |" in text
    for limit in ("131,072", "128,000", "10,240"):
        assert f"| {size['counted_bytes']:,} | at most {limit} | kept |" in text
    assert f"{size['macs']:,} multiply-accumulates" in text and f"{size['macs_torchinfo']:,}." in text
    assert "never heard: s4, s5, s6." in text
    assert "Tampere" not in text


def test_the_card_of_a_model_of_the_tau_corpus_says_who_may_use_it(finished):
    failed = [{"name": "accuracy", "value": 50.5, "sense": "at least", "limit": 60.0, "passed": False}]
    text = card(finished.folder, "tau2020", failed)
    assert "non-commercial, academic use only" in text
    assert "| gate accuracy | 50.50 | at least 60.0 | MISSED |" in text


def test_the_card_tells_of_activations_that_were_trained_in_8_bit(finished, tmp_path):
    folder = finished.copy(tmp_path / "project").folder
    path, told = folder / "models/0/quantized.asc", "activations in 8 bit"
    assert told not in card(folder, "synthetic", [])
    network, description = package.read(path)
    clips = torch.randn(4, 1, description["features"]["config"]["n_mels"], 40)
    activations.attach(network, clips).calibrate(network, [clips])
    activations.settle(network)
    config, labels = NetworkConfig(**description["network"]), description["labels"]
    package.write(path, network, config, labels, features=description["features"])
    assert told in card(folder, "synthetic", [])


# Champion and challenger


@pytest.fixture
def here(finished, tmp_path, monkeypatch):
    """A finished workspace as the current folder, with a store of its own in which version 1 is champion."""
    folder = finished.copy(tmp_path / "project").folder
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    monkeypatch.setenv("ASC_EXECUTION", "today")
    return folder


def hand_over(folder: Path, accuracy: float, features: str | None = None, seeds: int = 3) -> Journal:
    """What the gate writes for a model of three seeds, each right on that share of the clips of every location."""
    journal = Journal("gate", None, PARAMS)
    tables = []
    for seed in range(seeds):
        table = pd.read_parquet(folder / "data/predictions/0.parquet")
        table = table[table["model"] == "quantized"].reset_index(drop=True)
        scenes = table.columns[list(table.columns).index("unseen") + 1 :]
        rank = (table.groupby("location").cumcount() + seed) % 9
        wrong = np.roll(scenes, 1)[scenes.get_indexer(table["scene"])]
        answers = table["scene"].where(rank < 9 * accuracy / 100, wrong)
        table[scenes] = np.where(answers.to_numpy()[:, None] == scenes.to_numpy(), 0.91, 0.01)
        tables.append(folder / f"answers/{seed}.parquet")
        tables[-1].parent.mkdir(exist_ok=True)
        table.to_parquet(tables[-1])
    files = bundle.contents(Path("models/0/quantized.asc"), Path("reports/model_card.md"), REFERENCE, tables)
    files = {
        name: folder / (path.relative_to(ROOT) if path.is_relative_to(ROOT) else path) for name, path in files.items()
    }
    features = features or versions(folder)["1"].tags["features"]
    told = {"mean": accuracy, "std": 1.0, "n": seeds}
    journal.model(files, {"seed": 0, "seeds": [0], "accuracy": told, "features": features})
    journal.end("FINISHED")
    return journal


def command(*arguments: str, name: str = "registry", main=registry.app) -> tuple[int, str]:
    told = io.StringIO()
    with redirect_stdout(told), redirect_stderr(told), pytest.raises(SystemExit) as end:
        run(main, name, list(arguments))
    return end.value.code, told.getvalue()


def test_models_come_and_go_as_champion(here, capsys):
    hand_over(here, 88)
    assert sync.sync() == 0
    told = capsys.readouterr().out
    assert re.search(r"asc version 2 is champion: better: 88\.89 % against .*, 95 % interval \+\d+\.\d+ to", told)
    assert aliases(here) == {"champion": "2"}
    hand_over(here, 88.5)
    hand_over(here, 60)
    hand_over(here, 99, features="another corpus")
    assert sync.sync() == 0
    assert aliases(here) == {"champion": "2", "challenger": "5"}
    found = {number: version.tags["verdict"] for number, version in versions(here).items()}
    assert found["3"].startswith("not distinguishable: 88.89 % against 88.89 %")
    assert found["4"].startswith("worse: 66.67 % against 88.89 %")
    assert found["5"] == "not compared, the champion was measured on other features"
    client(here).delete_model_version("asc", "4")

    assert command("promote", "5") == (0, "asc version 5 is champion\n")
    assert aliases(here) == {"champion": "5"}
    client(here).delete_model_version("asc", "2")
    assert command("rollback") == (0, "asc version 1 is champion\n")
    code, told = command("rollback")
    assert code == 1 and told.startswith("registry: error: no version was champion before version 1;")
    assert aliases(here) == {"champion": "1"}

    code, told = command("show")
    assert code == 0 and max(map(len, told.splitlines())) <= 80
    rows = re.findall(r"^ *(\d+) +(champion)? *(\S+ ±\S+) ", told, re.MULTILINE)
    assert [row[:2] for row in rows] == [("5", ""), ("3", ""), ("1", "champion")]
    assert rows[1][2] == "88.50 ±1.00"


def test_what_cannot_be_compared_is_no_champion_and_the_verdict_says_why(here):
    """Of one seed each, on other clips, and without predictions."""
    hand_over(here, 99, seeds=1)
    hand_over(here, 99, seeds=0)
    table = pd.read_parquet(here / "data/predictions/0.parquet")
    table[table["model"] == "quantized"].iloc[1:].to_parquet(here / "data/predictions/0.parquet")
    hand_over(here, 99.1)
    assert sync.sync() == 0
    found = {number: version.tags["verdict"] for number, version in versions(here).items()}
    assert found["2"].startswith("not compared, of one seed each")
    assert found["3"] == "not compared, version 3 keeps no predictions"
    assert re.match(r"not compared, version 4, 0\.parquet.*: has no clip audio/.*, which is in version 1", found["4"])
    assert aliases(here) == {"champion": "1", "challenger": "4"}


def test_a_champion_that_was_set_in_mlflow_is_what_a_rollback_comes_back_to(here):
    hand_over(here, 99.0)
    hand_over(here, 99.1)
    assert sync.sync() == 0
    client(here).set_registered_model_alias("asc", "champion", "3")
    assert command("promote", "1")[0] == 0
    assert command("rollback") == (0, "asc version 3 is champion\n")
    assert command("rollback") == (0, "asc version 2 is champion\n")


def test_a_model_that_is_sent_twice_makes_one_version_also_after_a_sending_that_was_cut_off(here):
    journal = hand_over(here, 99.0)
    kept = Path(json.loads(journal.path.read_text().splitlines()[1])["path"])
    shutil.copytree(kept, here / "kept")
    assert sync.sync() == 0
    assert aliases(here) == {"champion": "2"} and not kept.exists()

    # As if the sender had been killed once before it gave the aliases, once before it noted its verdict.
    for alias in ({"champion": "1", "challenger": "2"}, {"champion": "2"}):
        client(here).delete_model_version_tag("asc", "2", "verdict")
        for name, version in alias.items():
            client(here).set_registered_model_alias("asc", name, version)
        journal.path.with_suffix(".sent").unlink()
        shutil.copytree(here / "kept", kept)
        assert sync.sync() == 0
        assert set(versions(here)) == {"1", "2"}
        assert aliases(here) == {"champion": "2"}
        assert versions(here)["2"].tags["verdict"]
    assert command("rollback") == (0, "asc version 1 is champion\n")

    # Nor does it undo what was decided since.
    journal.path.with_suffix(".sent").unlink()
    shutil.copytree(here / "kept", kept)
    assert sync.sync() == 0
    assert aliases(here) == {"champion": "1"}


def test_a_model_waits_for_a_server_that_is_down(here, monkeypatch, capsys):
    with monkeypatch.context() as down:
        down.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        hand_over(here, 99.0, features="f")
        assert sync.sync() == 1
        assert "does not answer" in capsys.readouterr().err
        code, told = command("show")
        assert code == 1 and told.startswith("registry: error: MLflow at http://127.0.0.1:9")
    (here / "asc_core/__init__.py").write_text("broken since\n")
    assert sync.sync() == 0
    assert set(versions(here)) == {"1", "2"}
    model = Path(client(here).get_model_version_download_uri("asc", "2"))
    assert (model / "code/asc_core/__init__.py").read_text() == Path(asc_core.__file__).read_text()


def test_a_gate_that_runs_again_registers_nothing_new_and_one_that_fails_nothing(finished, tmp_path):
    workspace = finished.copy(tmp_path / "project")
    assert workspace.run("python", "-m", "pipeline.stages.gate").returncode == 0
    assert set(versions(workspace.folder)) == {"1"}
    client(workspace.folder).delete_registered_model("asc")
    workspace.configure("gates.accuracy=100")
    assert workspace.run("python", "-m", "pipeline.stages.gate", check=False).returncode == 1
    assert versions(workspace.folder) == {}
    assert not list(workspace.folder.glob(".state/tracking/*/artifacts/*/*"))
    assert "| at least 100.0 | MISSED |" in (workspace.folder / "reports/model_card.md").read_text()


def test_mistakes_are_one_line(here, finished):
    done = finished.run("python", "-m", "pipeline.release.registry", "promote", "7", check=False)
    assert done.returncode == 1
    assert done.stdout == (
        "registry: error: asc has no version 7; `python -m pipeline.release.registry show` lists those there are\n"
    )
    client(here).delete_registered_model("asc")
    code, told = command("rollback")
    assert code == 1 and told.startswith("registry: error: sqlite:///") and "no model asc yet" in told


@pytest.mark.parametrize(
    "store", ["http://user:hu5hed@127.0.0.1:1", "postgresql://user:hu5/hed@127.0.0.1:1/db?password=hu5hed"]
)
def test_no_password_of_a_store_is_shown_or_kept(finished, tmp_path, monkeypatch, store):
    workspace = finished.copy(tmp_path / "project")
    environment = {"MLFLOW_TRACKING_URI": store}
    repro = workspace.run("dvc", "repro", "--single-item", "--force", "gate", **environment)
    told = [repro.stdout]
    monkeypatch.chdir(workspace.folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    for name, main, arguments in (("sync", sync.main, []), ("registry", registry.app, ["show"])):
        code, line = command(*arguments, name=name, main=main)
        assert code == 1 and len(line.splitlines()) == 1, line
        told.append(line)
    assert all("127.0.0.1:1" in text for text in told)
    assert not [text for text in told if "hu5" in text]
    kept = [path for path in (workspace.folder / ".state/tracking").rglob("*") if path.is_file()]
    assert kept and not [path for path in kept if b"hu5" in path.read_bytes()]


# What is shipped


def test_what_serves_imports_nothing_that_is_not_shipped():
    served = {path.relative_to(ROOT) for path in bundle.code().values()}
    needed = closure("pipeline.release.shipped.served", without=("pipeline/",))
    needed |= closure("asc_core.deploy.predictor") | closure("asc_core.features.audio")
    assert {path for path in needed if path.parts[0] == "asc_core"} <= served
    assert not {path.parts[1] for path in served} & {"corpus", "training", "evaluation", "cli.py"}


def test_what_is_shipped_predicts_by_itself(finished, tmp_path):
    for name, path in bundle.contents(
        finished.folder / "models/0/quantized.asc", ROOT / "README.md", finished.folder / REFERENCE
    ).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, tmp_path / name)
    code = (
        "import sys\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "sys.modules |= dict.fromkeys(['pipeline', 'flows', 'tools'])\n"  # an import of them fails
        "import asc_core, pandas, served\n"
        "model = served.SceneClassifier()\n"
        f"model.load_context(type('Context', (), {{'artifacts': {{'package': {str(tmp_path / bundle.PACKAGE)!r}}}}}))\n"
        "print(model.predict(None, pandas.DataFrame([{'samples': [0.1, -0.1] * 4000, 'sample_rate': 8000}])))\n"
        "library = [module for name, module in sys.modules.items() if name.startswith('asc_core')]\n"
        f"assert all(module.__file__.startswith({str(tmp_path)!r}) for module in library), library\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "'probabilities'" in done.stdout


def test_shipped_code_is_part_of_a_version_and_what_runs_the_stages_of_nothing(finished, tmp_path):
    workspace = finished.copy(tmp_path / "project")

    def edit(name: str) -> None:
        path = workspace.folder / name
        path.write_text(f"{path.read_text()}\n# edited\n")

    edit("pipeline/runtime/stage.py")
    edit("pipeline/runtime/processes.py")
    edit("pipeline/release/sync.py")
    (workspace.folder / "asc_core/deploy/__pycache__").mkdir(exist_ok=True)
    (workspace.folder / "asc_core/deploy/__pycache__/odd.pyc").write_bytes(b"new")
    assert "up to date" in workspace.run("dvc", "status", "dvc.yaml").stdout
    edit("asc_core/deploy/predictor.py")
    assert workspace.run("dvc", "status", "dvc.yaml").stdout.count("changed deps") == 1
    assert workspace.ran() == ["gate"]
    assert set(versions(workspace.folder)) == {"1", "2"}
    assert aliases(workspace.folder) == {"champion": "1", "challenger": "2"}
    model = Path(client(workspace.folder).get_model_version_download_uri("asc", "2"))
    assert (model / "code/asc_core/deploy/predictor.py").read_text().endswith("# edited\n")
    assert not (model / "code/asc_core/training").exists() and not list(model.rglob("*.pyc"))


# Serving


@pytest.fixture(scope="module")
def served(finished, tmp_path_factory):
    """The address at which `mlflow models serve` answers for the champion, far from the project's folder."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = ["--host", "127.0.0.1", "--port", str(port)]
    serving = subprocess.Popen(
        ["mlflow", "models", "serve", "--env-manager", "local", "--model-uri", "models:/asc@champion", *address],
        cwd=tmp_path_factory.mktemp("elsewhere"),
        env={**finished.environment, "MLFLOW_TRACKING_URI": f"sqlite:///{finished.folder}/mlflow.db"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 120
    while not answers(url):
        assert serving.poll() is None and time.monotonic() < deadline
        time.sleep(0.3)
    yield url
    end_trees({serving.pid})
    assert not answers(url)


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ping").status_code == 200
    except httpx.HTTPError:
        return False


def test_what_is_served_needs_nothing_of_the_pipeline():
    assert {name.split(".")[0] for name in imported("pipeline.release.shipped.served")} == {"asc_core"}


def ask(url: str, *clips: tuple[np.ndarray, int]) -> httpx.Response:
    records = [{"samples": samples.tolist(), "sample_rate": rate} for samples, rate in clips]
    return httpx.post(f"{url}/invocations", json={"dataframe_records": records}, timeout=60)


def test_the_champion_answers_as_the_package_does(served, finished):
    predictions = pd.read_parquet(finished.folder / "data/predictions/0.parquet")
    evaluated = predictions[predictions["model"] == "quantized"].iloc[0]
    samples, rate = soundfile.read(finished.folder / "data/synthetic" / evaluated["filename"])
    short = np.random.default_rng(0).normal(0, 0.1, 2_000)
    answer = ask(served, (samples, rate), (short, 8_000))
    assert answer.status_code == 200, answer.text
    first, second = answer.json()["predictions"]

    network, description = package.read(finished.folder / "models/0/quantized.asc")
    labels = description["labels"]
    assert list(first["probabilities"]) == labels
    # The first clip is of the test split: the server must say of it what the evaluation said.
    np.testing.assert_allclose(list(first["probabilities"].values()), evaluated[labels].astype(float), atol=1e-4)
    assert first["label"] == labels[int(np.argmax(evaluated[labels]))]

    config = FeatureConfig(**description["features"]["config"])
    mono = to_mono(short, 8_000, config.sample_rate)
    log_mel = LogMel(config)(fit_length(mono, round(description["features"]["seconds"] * config.sample_rate)))
    with torch.inference_mode():
        expected = network(torch.from_numpy(log_mel)[None, None]).softmax(dim=1)[0]
    np.testing.assert_allclose(list(second["probabilities"].values()), expected, atol=2e-3)


@pytest.mark.parametrize(
    ("samples", "rate", "reason"),
    [
        ([], 16_000, "row 1: has no samples"),
        ([0.1, float("nan")], 16_000, "row 1: has samples that are not finite numbers"),
        ([0.1, 0.2], 0, "row 1: a sample rate of 0 Hz is not from 1000"),
        ([0.1, 1e30], 16_000, "row 1: has a sample of 1e+30 times full scale"),
        ([0, -32768], 16_000, "row 1: has a sample of 3.28e+04 times full scale"),
        ([0] * 601_000, 1_000, "row 1: lasts 601 s, and 600 is the most"),
    ],
    ids=["empty", "nan", "rate", "1e30", "integers of 16 bits", "long"],
)
def test_a_clip_that_cannot_be_used_is_named(served, samples, rate, reason):
    good = {"samples": [0.0, 0.1], "sample_rate": 16_000}
    body = json.dumps({"dataframe_records": [good, {"samples": samples, "sample_rate": rate}]})
    answer = httpx.post(f"{served}/invocations", content=body, headers={"content-type": "application/json"}, timeout=60)
    assert answer.status_code == 400
    assert reason in answer.json()["message"]


def test_whole_numbers_are_samples_too(served):
    whole, broken = np.array([0, 1, 0, -1] * 2_000), np.array([0.0, 1.0, 0.0, -1.0] * 2_000)
    mixed = {"samples": [0, 0.5, 0.0, 1] * 2_000, "sample_rate": 8_000}
    answer = ask(served, (whole, 8_000), (broken, 8_000))
    assert answer.status_code == 200, answer.text
    first, second = answer.json()["predictions"]
    assert first == second
    assert httpx.post(f"{served}/invocations", json={"dataframe_records": [mixed]}, timeout=60).status_code == 200


def of_samples(samples: str) -> str:
    return f'{{"dataframe_records": [{{"samples": {samples}, "sample_rate": 192000}}]}}'


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("[" * 200_000, "nested too deeply"),
        (of_samples("[" * 50_000 + "]" * 50_000), "nested too deeply"),
        (of_samples("[1" + "0" * 5_000 + "]"), "cannot be read"),
        (of_samples("[0" + ",0" * (33 << 20) + "]"), "67108864 is the most"),
        (of_samples("[[0.1, 0.2]]"), "row 0: its samples are not a list of numbers"),
        (of_samples('["0.1"]'), "row 0: its samples are not a list of numbers"),
        (of_samples("[null]"), "row 0: its samples are not a list of numbers"),
        (of_samples("[[0], []]"), "row 0: its samples are not a list of numbers"),
        (of_samples("7"), "row 0: its samples are not a list of numbers"),
    ],
    ids=["deep", "deep samples", "digits", "long", "two dimensions", "texts", "null", "ragged", "no list"],
)
def test_a_request_that_cannot_be_read_is_refused(served, body, reason):
    answer = httpx.post(f"{served}/invocations", content=body, headers={"content-type": "application/json"}, timeout=60)
    assert answer.status_code == 400, answer.text
    assert reason in answer.json()["message"]
    assert httpx.get(f"{served}/ping").status_code == 200


def test_a_network_that_answers_with_no_number_is_an_error(finished, tmp_path):
    network, description = package.read(finished.folder / "models/0/quantized.asc")
    predictor = Predictor(finished.folder / "models/0/quantized.asc", Engine.torch)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.fill_(float("nan"))
    predictor._logits = _in_torch(network)
    with pytest.raises(UserError, match="no finite number"):
        predictor.probabilities(np.zeros((1, 1, description["features"]["config"]["n_mels"], 100), np.float32))
