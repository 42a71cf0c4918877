"""Daily operation: workers in clones of their own, runs that are cancelled, and what is killed without warning.

A real Prefect server and real workers, shared by the tests that need them and kept for the end of the file.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import psutil
import pytest
import yaml
from filelock import FileLock
from workspace import Workspace

from flows.engine.stages import end_trees
from flows.engine.workspace import holder
from flows.servers import prefect as server
from flows.servers.process import free_address, is_up
from pipeline.runtime.journal import JOURNALS

LONG = "teachers.asc.schedule={epochs: 5000, learning_rate: 0.02}"
AUTHOR = "-c user.name=t -c user.email=t@example.org"
SHORT = "teachers.asc.schedule={epochs: 6, learning_rate: 0.02}"


def until(condition: Callable[[], object], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.2)


def until_left(workspace: Workspace, seconds: float, what: str) -> None:
    """Wait until no process works in a workspace."""
    deadline = time.monotonic() + seconds
    while left := working(workspace):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}; still there: {left}"
        time.sleep(0.2)


def start(workspace: Workspace, *command: str, **environment: str) -> subprocess.Popen:
    """A command that goes on in a workspace; what it prints is in `.state/NAME.log`."""
    log = workspace.folder / ".state" / f"{Path(command[-1]).name}.log"
    with open(log, "a") as file:
        return subprocess.Popen(
            command,
            cwd=workspace.folder,
            env={**workspace.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )


def working(workspace: Workspace) -> list[str]:
    """The command lines of flow runs, DVC and stages in a workspace."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            command = " ".join(process.cmdline())
            words = ("prefect.engine", "pipeline.", "dvc")
            if process.cwd() == str(workspace.folder) and any(word in command for word in words):
                found.append(command)
    return found


def states(workspace: Workspace) -> dict[Path, float]:
    """What interrupted trainings go on from, and since when."""
    return {path: path.stat().st_mtime for path in workspace.folder.glob(".state/training/*.safetensors")}


def in_training(workspace: Workspace, before: dict[Path, float]) -> Callable[[], bool]:
    """Whether a training has finished an epoch since `before`."""
    return lambda: bool(states(workspace).items() - before.items())


@pytest.fixture
def workspace(finished, tmp_path):
    return finished.copy(tmp_path / "project")


def test_a_workspace_is_held_by_one_run_and_given_back_by_one_that_is_killed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = "import sys, time; from flows.engine.workspace import locked_workspace\n"
    code += "with locked_workspace(sys.argv[1], sys.argv[1], print):\n"
    code += "    print('in', flush=True)\n    time.sleep(float(sys.argv[2]))"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONUNBUFFERED": "1"}

    def run(name: str, seconds: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", code, name, str(seconds)]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    first = run("blue-fox", 600)
    assert first.stdout and first.stdout.readline() == "in\n"
    assert holder()["run"] == "blue-fox"
    second = run("red-fox", 0)
    assert second.stdout
    told = second.stdout.readline()
    assert f"is in use by blue-fox (process {first.pid} on {socket.gethostname()}, since " in told
    first.kill()
    first.wait()
    assert second.stdout.readline() == "in\n"
    assert second.wait() == 0
    assert holder() == {}


def test_a_run_that_works_for_the_holder_shares_its_workspace(tmp_path, monkeypatch):
    from flows.engine.workspace import locked_workspace

    monkeypatch.chdir(tmp_path)
    owner, guest = locked_workspace("asc", "17", print), locked_workspace("seed", "18", print, borrow_from="17")
    with owner as alone, guest as shared:
        assert (alone, shared) == (True, False)
        assert holder()["run"] == "asc"


def test_a_stage_does_not_outlive_a_killed_dvc(workspace):
    workspace.configure(LONG)
    journals = workspace.folder / JOURNALS
    (journals / "last_sending").unlink()
    before = states(workspace)
    with FileLock(journals / "sync.lock"):  # its sender of reports waits for longer than the stage may
        # A shell that stays between DVC and the stage as long as the stage runs, as Debian's does.
        training = start(workspace, "dvc", "repro", "--single-item", "train_teacher@0-asc", SHELL="/bin/sh")
        until(in_training(workspace, before), 120, "training")
        until(lambda: any("pipeline.release.sync" in command for command in working(workspace)), 30, "a sender")
        training.kill()
        training.wait()
        until_left(workspace, 30, "the stage's end")


def test_a_clone_at_another_commit_refuses_a_seed_in_one_line(workspace):
    code = (
        "from flows.engine import remote\nfrom asc_core import UserError\n"
        "empty = dict(flow_run='', execution='', params='', features={}, threads=1, limits={})\n"
        "order = remote.Order(commit='0' * 40, **empty)\n"
        "try: remote.accept(order)\n"
        "except UserError as error: print(error)"
    )
    before = (workspace.folder / "params.yaml").read_text()
    commit = workspace.run("git", "rev-parse", "HEAD").stdout
    told = workspace.run("python", "-c", code).stdout
    assert told == f"this clone is at commit {commit:.10}, the run at 0000000000; check out the same\n"
    with open(workspace.folder / "pipeline/stages/train_teacher.py", "a") as file:
        file.write("# changed\n")
    told = workspace.run("python", "-c", code).stdout
    assert told.startswith("remote: the code is not as committed (pipeline/stages/train_teacher.py); commit it")
    assert (workspace.folder / "params.yaml").read_text() == before


def test_a_package_is_measured_as_the_pipeline_measured_it(workspace):
    result = json.loads(workspace.run("python", "-m", "pipeline.release.measure", "models/0/quantized.asc").stdout)
    seed = json.loads((workspace.folder / "reports/seeds/0.json").read_text())["quantized"]
    assert {key: result[key] for key in seed} == seed


def test_a_package_for_other_features_is_refused(workspace):
    workspace.configure("features.n_mels=64")
    workspace.ran("extract_features")
    done = workspace.run("python", "-m", "pipeline.release.measure", "models/0/quantized.asc", check=False)
    assert done.returncode == 1
    assert done.stdout.startswith("measure: error: models/0/quantized.asc: made for the features {")


def forget_seeds(workspace: Workspace) -> None:
    """Leave the corpus and its features, and nothing that was trained on them."""
    for made in (".dvc/cache/runs", "models", "data/predictions", "reports/seeds"):
        shutil.rmtree(workspace.folder / made)
    path = workspace.folder / "dvc.lock"
    lock = yaml.safe_load(path.read_text())
    corpus = ("download", "validate", "extract_features")
    path.write_text(yaml.safe_dump({**lock, "stages": {stage: lock["stages"][stage] for stage in corpus}}))


class Site:
    """A Prefect server, a DVC remote, and workspaces at the same commit that know both."""

    def __init__(self, finished: Workspace, folder: Path, set_up_prefect: Callable[[dict[str, str]], None]) -> None:
        self.folder = folder
        self.started: dict[str, subprocess.Popen] = {}
        self.main = finished.copy(folder / "main")
        set_up_prefect(self.main.environment)
        self.url = f"{free_address()}/api"
        self.main.environment["PREFECT_API_URL"] = self.url
        self.start_server()
        self.main.run("dvc", "remote", "add", "--default", "store", str(folder / "store"))
        self.main.run(
            "git", *["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "remote", ".dvc/config"]
        )
        self.main.run("prefect", "work-pool", "create", "local", "--type", "process")
        self.main.run("prefect", "--no-prompt", "deploy", "--all")

    def start_server(self) -> None:
        self.started["server"] = start(self.main, "python", *server.arguments(self.url))
        until(lambda: is_up(self.url), 120, "a Prefect server")

    def clone(self, name: str) -> Workspace:
        """A new clone: the code at the same commit and nothing else."""
        self.main.run("git", "clone", "-q", ".", str(self.folder / name))
        workspace = Workspace(self.folder / name)
        workspace.environment["PREFECT_API_URL"] = self.url
        return workspace

    def start_worker(self, workspace: Workspace) -> None:
        """What `make worker` does."""
        command = ["prefect", "worker", "start", "--pool", "local", "--type", "process", "--limit", "1", "--name"]
        name = workspace.folder.name
        self.started[name] = start(workspace, *command, name, ASC_WORKSPACE=str(workspace.folder))

    def kill(self, name: str) -> None:
        """SIGKILL for a server or a worker, and for nothing that it has started."""
        process = self.started.pop(name)
        process.kill()
        process.wait()

    def stop(self, name: str) -> None:
        """What Ctrl-C does."""
        process = self.started.pop(name)
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            end_trees({process.pid})

    def run(self, deployment: str, *parameters: str) -> str:
        """Ask for a run; its id."""
        flags = [word for parameter in parameters for word in ("-p", parameter)]
        output = self.main.run("prefect", "deployment", "run", deployment, *flags).stdout
        return output.split("UUID: ")[1].split()[0]

    def state(self, run: str) -> str:
        with self.main.prefect() as client:
            return client.read_flow_run(UUID(run)).state.name


@pytest.fixture(scope="module")
def site(finished, set_up_prefect, tmp_path_factory):
    site = Site(finished, tmp_path_factory.mktemp("site"), set_up_prefect)
    yield site
    for name in reversed(list(site.started)):
        site.stop(name)


@pytest.mark.timeout(900)
def test_seeds_trained_in_two_clones_give_the_summary_of_one_machine(site, with_second_seed):
    alone = with_second_seed
    forget_seeds(site.main)
    workers = [site.clone("one"), site.clone("two")]
    for worker in workers:
        site.start_worker(worker)
    site.main.configure("seeds=[0, 3]")
    code = "from flows.full import asc; asc(remote=True, threads=1)"
    done = site.main.run("python", "-c", code, check=False)
    assert done.returncode == 0, done.stdout
    for report in ("seeds/0.json", "seeds/3.json", "summary.json", "gate.json"):
        assert (site.main.folder / "reports" / report).read_text() == (alone.folder / "reports" / report).read_text()
    for stage in ("train_teacher", "train_student", "prune", "quantize", "tune_devices"):
        assert f"Running stage '{stage}@" not in done.stdout
    trained = [{path.name for path in (worker.folder / "models").iterdir()} for worker in workers]
    assert sorted(trained, key=sorted) == [{"0"}, {"3"}]
    assert site.main.ran() == []
    for worker in workers:
        site.stop(worker.folder.name)


@pytest.mark.timeout(900)
def test_a_training_goes_on_after_a_cancelled_run_a_killed_worker_and_a_killed_server(site):
    """In one workspace, so that each run shows in what state the one before left it."""
    workspace = site.main
    site.start_worker(workspace)

    def train(what: str, schedule: str = LONG) -> str:
        before = states(workspace)
        run = site.run("asc/full", "seeds=[0]", f'overrides=["{schedule}"]')
        until(in_training(workspace, before), 180, f"training {what}")
        assert holder_of(workspace)["id"] == run
        return run

    def printed() -> str:
        return (workspace.folder / ".state/main.log").read_text()

    cancelled = train("at first")
    site.main.run("prefect", "flow-run", "cancel", cancelled)
    until_left(workspace, 30, "the end of the cancelled run")
    until(lambda: site.state(cancelled) == "Cancelled", 60, "its state")

    orphaned = train("after a cancelled run")
    assert printed().count("continues after epoch") == 1
    site.kill(workspace.folder.name)
    until_left(workspace, 30, "the end of a run without its worker")
    assert site.state(orphaned) == "Crashed"

    site.start_worker(workspace)
    unheard = train("after a killed worker", SHORT)
    site.kill("server")
    until(lambda: (workspace.folder / "models/0/teachers/asc.safetensors").exists(), 300, "a teacher without a server")
    site.start_server()
    until(lambda: site.state(unheard) == "Completed", 300, "a run whose server was away")
    until_left(workspace, 60, "its end")

    watched = site.main.run("prefect", "deployment", "run", "asc/full", "--watch", check=False)
    assert watched.returncode == 0, watched.stdout
    assert workspace.ran() == []


def holder_of(workspace: Workspace) -> dict:
    return json.loads((workspace.folder / ".state/run.json").read_text())
