"""A real MLflow server that is down, silent or killed: no training is harmed, no number lost, none doubled."""

import os
import signal
import socket
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest
from workspace import Workspace

from flows.servers.mlflow import mlflow_server

BACKLOG, NAMES = 100, 300  # a journal that takes the sender seconds, so that there is a middle to kill the server in


class Server:
    """An MLflow server on a free port, on a store of its own, that can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.start()

    def start(self) -> None:
        self.context = mlflow_server(self.url, self.folder)
        self.process = self.context.__enter__()

    def signal(self, number: signal.Signals) -> None:
        os.killpg(self.process.pid, number)

    def stop(self) -> None:
        self.context.__exit__(None, None, None)

    def count(self) -> int:
        """How many metrics the store holds."""
        with sqlite3.connect(f"file:{self.folder}/mlflow.db?mode=ro", uri=True, timeout=10) as store:
            return store.execute("SELECT count(*) FROM metrics").fetchone()[0]

    def history(self, run: str) -> dict[str, list[int]]:
        """The steps of every metric of the only run of that name, as often as they are there."""
        with sqlite3.connect(f"file:{self.folder}/mlflow.db?mode=ro", uri=True) as store:
            found = store.execute("SELECT run_uuid FROM runs WHERE name = ?", (run,)).fetchall()
            assert len(found) == 1, f"{run}: {len(found)} runs"
            steps: dict[str, list[int]] = {}
            for key, step in store.execute("SELECT key, step FROM metrics WHERE run_uuid = ? ORDER BY step", found[0]):
                steps.setdefault(key, []).append(step)
            return steps


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.stop()


@pytest.fixture
def workspace(finished, server, tmp_path) -> Workspace:
    """A finished workspace whose stages report to the server, in an execution of the test's own."""
    copy = finished.copy(tmp_path / "project")
    copy.environment |= {"MLFLOW_TRACKING_URI": server.url, "ASC_EXECUTION": tmp_path.name}
    return copy


def train(workspace: Workspace, epochs: int) -> subprocess.Popen[str]:
    """Start the shortest training there is, the tuning of the quantised network."""
    workspace.configure(f"quantize.schedule={{epochs: {epochs}, learning_rate: 0.001}}")
    (workspace.folder / ".state/tracking/last_sending").unlink(missing_ok=True)
    return subprocess.Popen(
        ["dvc", "repro", "--single-item", "quantize@0"],
        cwd=workspace.folder,
        env=workspace.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def report(workspace: Workspace, stage: str, steps: int, names: int) -> None:
    """Have a stage report `names` metrics at each of `steps` steps."""
    code = (
        "from pipeline.runtime.journal import Journal\n"
        f"journal = Journal({stage!r}, 0, {{'tracking': {{'experiment': 'asc'}}, 'seeds': [0]}})\n"
        f"for step in range({steps}):\n"
        f"    journal.metrics({{f'm{{name}}': step for name in range({names})}}, step=step)\n"
        "journal.end('FINISHED')\n"
    )
    workspace.run("python", "-c", code)


def test_a_server_that_is_down_from_the_start_costs_nothing(workspace, server):
    up, down = server.url, "http://127.0.0.1:9"
    workspace.environment["MLFLOW_TRACKING_URI"] = down
    training = train(workspace, epochs=2)
    output, _ = training.communicate()
    assert training.returncode == 0, output
    refused = workspace.run("python", "-m", "pipeline.release.sync", check=False)
    assert refused.returncode == 1
    assert f"MLflow at {down} does not answer" in refused.stdout
    workspace.run("python", "-m", "pipeline.release.sync", MLFLOW_TRACKING_URI=up)
    assert server.history("quantize@0")["loss"] == [1, 2]
    with sqlite3.connect(server.folder / "mlflow.db") as store:  # the next tests look for the run of theirs
        store.execute("UPDATE runs SET name = 'first' WHERE name = 'quantize@0'")


def test_a_server_that_never_answers_is_given_up(workspace, server):
    report(workspace, "silent", steps=1, names=1)
    server.signal(signal.SIGSTOP)
    try:
        done = workspace.run("python", "-m", "pipeline.release.sync", check=False, MLFLOW_HTTP_REQUEST_TIMEOUT="1")
    finally:
        server.signal(signal.SIGCONT)
    assert done.returncode == 1
    assert "does not answer" in done.stdout
    workspace.run("python", "-m", "pipeline.release.sync")
    assert server.history("silent") == {"m0": [0]}


def test_a_server_that_is_killed_in_the_middle_costs_nothing(workspace, server):
    report(workspace, "backlog", BACKLOG, NAMES)
    before = server.count()
    training = train(workspace, epochs=60)
    while server.count() == before:  # the training's own sender, which takes the oldest journal first
        assert training.poll() is None, training.stdout.read()
        time.sleep(0.05)
    server.signal(signal.SIGKILL)
    server.process.wait()
    sent = server.count() - before
    assert 0 < sent < BACKLOG * NAMES, "the server was to be killed in the middle of the sending"
    assert training.poll() is None, "the server was to be killed in the middle of the training"
    output, _ = training.communicate()
    assert training.returncode == 0, output

    server.start()
    workspace.run("python", "-m", "pipeline.release.sync")
    assert server.history("backlog") == {f"m{name}": list(range(BACKLOG)) for name in range(NAMES)}
    assert server.history("quantize@0")["loss"] == list(range(1, 61))
