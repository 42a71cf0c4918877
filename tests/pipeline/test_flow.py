"""The pipeline through Prefect: a real server, a real serving process, real runs."""

import base64
import contextlib
import json
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pandas as pd
import psutil
import pytest
import yaml
from prefect.client.schemas.sorting import FlowRunSort
from workspace import ROOT, Workspace

from flows.engine.stages import Outcome, StageFailed, end_all, end_trees, reason, run_command, run_stage, status
from flows.servers.process import free_address, is_up


@pytest.fixture(scope="module")
def served(finished, set_up_prefect, tmp_path_factory):
    """A finished workspace in which `make serve` runs, on a port of its own."""
    workspace = finished.copy(tmp_path_factory.mktemp("served") / "project")
    set_up_prefect(workspace.environment)
    url = f"{free_address()}/api"
    workspace.environment["PREFECT_API_URL"] = url
    serving = subprocess.Popen(
        [sys.executable, "-m", "flows.servers.serve"],
        cwd=workspace.folder,
        env=workspace.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not is_served(url):
        assert serving.poll() is None and time.monotonic() < deadline
        time.sleep(0.2)
    yield workspace
    serving.send_signal(signal.SIGINT)
    try:
        serving.wait(30)
    except subprocess.TimeoutExpired:
        end_trees({serving.pid})
    assert not is_up(url), "the server outlived the process that started it"


def is_served(url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{url}/deployments/name/asc/full").status_code == 200
    return False


def processes_in(workspace: Workspace) -> list[str]:
    """The command lines of the stages that run in a workspace."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            command = " ".join(process.cmdline())
            if "pipeline." in command and process.cwd() == str(workspace.folder):
                found.append(command)
    return found


def deployment_run(
    workspace: Workspace, *parameters: str, deployment: str = "asc/full"
) -> subprocess.CompletedProcess[str]:
    flags = [word for parameter in parameters for word in ("-p", parameter)]
    return workspace.run("prefect", "deployment", "run", deployment, "--watch", *flags, check=False)


def artifact(workspace: Workspace, key: str) -> str:
    """The latest Markdown artifact of a name."""
    wanted = {"artifacts": {"key": {"any_": [key]}}}
    with workspace.prefect() as client:
        return client.request("POST", "/artifacts/latest/filter", json=wanted).json()[0]["data"]


def last_message(workspace: Workspace) -> str:
    """The state message of the latest flow run, as the API gives it."""
    with workspace.prefect() as client:
        return client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)[0].state.message


def test_a_good_run_returns_0_and_leaves_its_result(served):
    done = deployment_run(served)
    assert done.returncode == 0, done.stdout
    text = artifact(served, "summary")
    assert text.startswith("# Gate: passed")
    assert (served.folder / "reports/summary.md").read_text().strip() in text
    assert "| train_teacher@0-asc | unchanged | " in text
    assert "experiment asc (`make ui`)" in text
    assert (
        f"Report: `reports/index.html` in `{served.folder}` on {socket.gethostname()}" in text and "file:" not in text
    )
    images = re.findall(r"!\[([^]]+)\]\(data:image/png;base64,([^)]+)\)", artifact(served, "plots"))
    assert [name for name, _ in images] == ["accuracy by device", "confusion quantized"]
    for name, image in images:
        path = served.folder / "reports/plots" / f"{name.replace(' ', '_')}.png"
        assert base64.b64decode(image) == path.read_bytes()


def test_new_recordings_are_watched_and_their_page_is_named(served):
    new = served.folder / "new"
    new.mkdir()
    answers = pd.read_parquet(served.folder / "data/predictions/0.parquet")
    for name in answers[answers["device"] == "a"]["filename"].unique():
        shutil.copy(served.folder / "data/synthetic" / name, new)
    done = deployment_run(served, f"folder={new}", "model=models/0/quantized.asc", deployment="asc/watch")
    assert done.returncode == 0, done.stdout
    text = artifact(served, "watch")
    assert "10 recordings; of the devices of training most like a." in text
    assert f"Report: `reports/watch/new.html` in `{served.folder}` on " in text
    assert (served.folder / "reports/watch/new.html").is_file()


def test_a_run_over_budget_returns_1_and_its_state_says_by_how_much(served):
    summary = json.loads((served.folder / "reports/summary.json").read_text())
    value = summary["quantized"]["size"]["counted_bytes"]
    done = deployment_run(served, f'overrides=["gates.counted_bytes={value - 7}"]')
    assert done.returncode == 1, done.stdout
    assert "missed by 7 bytes" in last_message(served)
    text = artifact(served, "summary")
    assert text.startswith("# Failed") and "# Gate: FAILED" in text
    assert f"| counted_bytes | {value} | at most {value - 7} | NO |" in text


def test_seeds_of_a_run_are_trained_side_by_side_and_summarised(served):
    done = deployment_run(served, "seeds=[0, 1, 2]", 'overrides=["gates.counted_bytes=10240"]')
    assert done.returncode == 0, done.stdout
    summary = json.loads((served.folder / "reports/summary.json").read_text())
    assert summary["quantized"]["accuracy"]["n"] == 3
    for key in ("train-teacher-2-asc", "quantize-1"):
        assert float(artifact(served, key)) == 100


def test_a_package_is_evaluated_device_by_device(served):
    package = served.folder / "models/0/quantized.asc"
    done = deployment_run(served, f"package={package}", deployment="asc/evaluate")
    assert done.returncode == 0, done.stdout
    seed = json.loads((served.folder / "reports/seeds/0.json").read_text())["quantized"]
    text = artifact(served, "evaluation")
    for device, accuracy in seed["accuracy_by_device"].items():
        assert f"| {device} | {accuracy:.1f} | {seed['log_loss_by_device'][device]:.3f} |" in text


def test_the_schedule_and_the_automation_of_the_page_are_taken(served):
    text = (ROOT / "docs/orchestration.md").read_text()
    (served.folder / "notify.yaml").write_text(text.partition("```yaml\n")[2].partition("```")[0])
    for start in ("prefect deployment schedule create", "prefect automation create"):
        (line,) = (line for line in text.splitlines() if line.startswith(f"    {start}"))
        served.run(*shlex.split(line))
    with served.prefect() as client:
        (schedule,) = client.request("GET", "/deployments/name/asc/full").json()["schedules"]
        (automation,) = client.request("POST", "/automations/filter").json()
    assert (schedule["schedule"]["cron"], schedule["schedule"]["timezone"]) == ("0 3 * * *", "Europe/Berlin")
    assert automation["name"] == "a run of asc failed" and automation["enabled"]


def test_links_lead_to_an_mlflow_that_is_a_server(tmp_path, monkeypatch):
    from flows.engine import report

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://user:secret@mlflow.example.org/base/")
    note = tmp_path / ".state/tracking/today/prune@0-1a2b3c4d.sent"
    note.parent.mkdir(parents=True)
    note.write_text('{"bytes": 3, "run": "17", "parent": "16"}')
    text = report.stages("today", [Outcome("prune@0", "ran", 1.0), Outcome("gate", "unchanged", 1.0)], "asc")
    assert "[prune@0](https://mlflow.example.org/base/#/runs/17) | ran | 1.0 |" in text
    assert "| gate | unchanged |" in text
    assert "[today](https://mlflow.example.org/base/#/runs/16), experiment asc" in text
    page = Path("reports/index.html")
    note.rename(note.with_name("gate-1a2b3c4d.sent"))
    linked = "[index.html](https://mlflow.example.org/base/get-artifact?run_uuid=16&path=index.html)"
    assert report.kept("today", "gate", page) == linked
    assert report.kept("today", "prune@0", page) == f"`{page}` in `{tmp_path}` on {socket.gethostname()}"


def test_parameters_of_every_deployment_are_explained_in_prefect():
    from prefect.utilities.callables import parameter_schema

    from flows.servers import serve

    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    assert set(serve.SERVED) == {each["name"] for each in deployments}
    for name, flow in serve.SERVED.items():
        for parameter, described in parameter_schema(flow).properties.items():
            assert described.get("description"), f"asc/{name}: {parameter}"


def test_without_a_server_the_flow_runs_as_well(finished, set_up_prefect, tmp_path):
    workspace = finished.copy(tmp_path / "project")
    set_up_prefect(workspace.environment)
    # A port where nothing listens stands for the configured server that was not started.
    done = workspace.run("asc", "run", PREFECT_API_URL="http://127.0.0.1:9/api")
    assert "Finished in state Completed()" in done.stdout
    workspace.configure("gates.accuracy=100")
    done = workspace.run("python", "-m", "flows.full", check=False, PREFECT_API_URL="http://127.0.0.1:9/api")
    assert done.returncode == 1
    assert any(line.startswith("asc: error: gate: error: accuracy is ") for line in done.stdout.splitlines())
    assert "Traceback" not in done.stdout


def test_a_stage_that_takes_too_long_is_ended_with_its_children(finished, tmp_path, monkeypatch):
    workspace = finished.copy(tmp_path / "project")
    workspace.configure("teachers.asc.schedule={epochs: 5000, learning_rate: 0.02}")
    monkeypatch.chdir(workspace.folder)
    for name, value in workspace.environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StageFailed, match="ended after its limit of 12 s"):
        run_stage("train_teacher@0-asc", lambda line: None, timeout=12)
    assert not processes_in(workspace)
    workspace.configure()
    assert run_stage("train_teacher@0-asc", lambda line: None).status in ("restored", "unchanged")


def test_no_password_of_an_address_is_logged_or_told():
    lines: list[str] = []
    with pytest.raises(StageFailed) as failure:
        run_command("push", ["-c", "raise OSError('https://user:secret@store.example/x is away')"], lines.append)
    assert str(failure.value) == "push: OSError: https://store.example/x is away"
    assert "secret" not in "".join(lines)


def test_what_dvc_did_is_read_from_its_output():
    assert status(["Running stage 'gate':", "> python -m pipeline.stages.gate"]) == "ran"
    assert status(["Stage 'prune@0' is cached - skipping run, checking out outputs"]) == "restored"
    assert status(["Stage 'gate' didn't change, skipping"]) == "unchanged"


def test_the_exit_code_of_a_process_that_is_ended_is_not_lost():
    ending = threading.Timer(1, end_all)
    ending.start()
    with pytest.raises(StageFailed, match="sleeper: ended"):
        run_command("sleeper", ["-c", "import time; time.sleep(60)"], lambda line: None)


def test_the_reason_of_a_failure_is_the_stages_own_line():
    assert (
        reason("gate", ["gate: error: too large", "ERROR: failed to reproduce 'gate'"], 1) == "gate: error: too large"
    )
    assert reason("gate", ["ERROR: failed to reproduce 'gate'"], 1) == "gate: failed to reproduce 'gate'"
    crash = [
        "Traceback (most recent call last):",
        "RuntimeError: out of memory",
        "ERROR: failed to reproduce 'prune@0'",
    ]
    assert reason("prune@0", crash, 1) == "prune@0: RuntimeError: out of memory"
    busy = ["ERROR: failed to reproduce 'gate': 'x' is busy, it is being blocked by:", "  (PID 7): dvc repro", ""]
    assert reason("gate", busy, 1).endswith("blocked by: (PID 7): dvc repro")
    assert reason("gate", [], -15) == "gate: ended by SIGTERM"
    assert reason("gate", [], 3) == "gate: ended with code 3: no output"
