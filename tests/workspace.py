"""A copy of the project, small enough to run whole in a test."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

ROOT = Path(__file__).resolve().parents[1]
PARTS = (
    "asc_core",
    "pipeline",
    "flows",
    "tools",
    "dvc.yaml",
    "params.yaml",
    "prefect.toml",
    "prefect.yaml",
    ".dvc/config",
    ".dvc/plots",
    ".dvc/plots.html",
    ".dvcignore",
    ".gitignore",
)
TINY = [
    "seeds=[0]",
    "synthetic={clip_seconds: 1.0, train_recordings: 3, train_copies: 1, test_recordings: 1, seed: 0}",
    "features.n_mels=32",
    "teachers.asc.network.tau=1",
    "teachers.asc.schedule={epochs: 2, learning_rate: 0.02}",
    "student.schedule={epochs: 1, learning_rate: 0.02}",
    "prune.schedule={epochs: 1, learning_rate: 0.01}",
    "quantize.schedule={epochs: 1, learning_rate: 0.01}",
    "gates.counted_bytes=10240",
    "gates.accuracy=null",
    "gates.seed_accuracy=null",
    "gates.accuracy_drop=null",
    "gates.worst_device=null",
]


class Workspace:
    """A folder with the project's code in it, in which commands run as a user would type them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        state = folder / ".state" / "home"
        state.mkdir(parents=True, exist_ok=True)
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PREFECT_HOME": str(state / "prefect"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "true",
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
            "DVC_SITE_CACHE_DIR": str(state / "dvc"),
        }
        for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL", "ASC_EXECUTION"):
            self.environment.pop(name, None)

    @classmethod
    def create(cls, folder: Path, overrides: list[str]) -> "Workspace":
        """The project's code in a new repository, with the profile quick and `overrides`."""
        for part in PARTS:
            source, target = ROOT / part, folder / part
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
        workspace = cls(folder)
        for command in ("init -q", "add -A", "-c user.name=t -c user.email=t@example.org commit -qm code"):
            workspace.run("git", *command.split())
        workspace.run("python", "-m", "pipeline.configure", "quick", *overrides)
        return workspace

    def copy(self, folder: Path) -> "Workspace":
        """The same workspace, with all it has made, somewhere else."""
        shutil.copytree(self.folder, folder, symlinks=True)
        if (sent := folder / ".state/tracking/last_sending").exists():
            sent.touch()  # as just after a sending: the gate still sends at once, and no stage before it loads MLflow
        return Workspace(folder)

    def install(self) -> None:
        """Add what `make setup` leaves in a clone: here what runs the tests, so that nothing is installed anew."""
        for name in ("Makefile", "requirements.lock", "pyproject.toml"):
            shutil.copy(ROOT / name, self.folder)
        environment = self.folder / ".venv"
        environment.mkdir()
        for path in Path(sys.prefix).iterdir():
            (environment / path.name).symlink_to(path)
        (environment / "installed").unlink(missing_ok=True)
        (environment / "installed").touch()

    def run(self, *command: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the workspace; its standard output and error come back together, in `stdout`."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, done.stdout
        return done

    @contextlib.contextmanager
    def prefect(self) -> Iterator["SyncPrefectClient"]:
        """A client of the Prefect server that the workspace's environment names."""
        from prefect.client.orchestration import get_client
        from prefect.settings import PREFECT_API_URL, temporary_settings

        url = self.environment["PREFECT_API_URL"]
        with temporary_settings({PREFECT_API_URL: url}), get_client(sync_client=True) as client:
            yield client

    def configure(self, *overrides: str) -> None:
        """Write params.yaml anew: the tiny profile and `overrides`."""
        self.run("python", "-m", "pipeline.configure", "quick", *TINY, *overrides)

    def ran(self, *arguments: str, check: bool = True) -> list[str]:
        """The stages that `dvc repro` ran."""
        lines = self.run("dvc", "repro", *arguments, check=check).stdout.splitlines()
        return [line.split("'")[1] for line in lines if line.startswith("Running stage")]
