"""What a stage reports, written down before it is sent: a journal that no tracking server can slow down.

A training never talks to MLflow. It appends to `.state/tracking/<execution>/<stage>-<id>.jsonl`, and
`pipeline.release.sync`, in a process of its own, sends what is new. A server that is down costs nothing but the delay.

An execution is one run of the pipeline: what the environment variable ASC_EXECUTION says, else the `dvc` process that
this stage descends from, else this process.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from asc_core import UserError
from asc_core.addresses import without_credentials
from asc_core.files import replacing, writing
from pipeline.paths import workspace
from pipeline.runtime.events import Artifact, End, Event, Metrics, Model, Start, Tags
from pipeline.runtime.processes import dvc

JOURNALS = workspace() / ".state/tracking"
QUIET_SECONDS = 120  # between two sendings in the background: starting MLflow takes a core for seconds


def execution() -> str:
    """A name for this run of the pipeline, the same in all its stages.

    Raises:
        UserError: ASC_EXECUTION is not the name of a folder.
    """
    if name := os.environ.get("ASC_EXECUTION"):
        if not re.fullmatch(r"\w[\w .+@-]{0,99}", name):
            raise UserError(
                f"ASC_EXECUTION is {name[:120]!r}; it names a folder: at most 100 letters, digits, spaces and .+@-_, "
                "the first one a letter or digit"
            )
        return name
    import psutil

    process = dvc() or psutil.Process()
    return f"{datetime.fromtimestamp(process.create_time()):%Y-%m-%d-%H%M%S}-{process.pid}"


class Journal:
    """The report of one stage. `stage` is its name, with `@seed` where it belongs to a seed; `own` are parameters that
    it has otherwise than the execution it is part of.

    A disk that takes no report costs that report, and a line on standard error, but never the work.

    Raises:
        UserError: ASC_EXECUTION is not the name of a folder, or no journal can be begun there.
    """

    def __init__(self, stage: str, seed: int | None, params: dict[str, Any], own: dict[str, Any] | None = None) -> None:
        self.folder = JOURNALS / execution()
        self.path = self.folder / f"{stage.replace('/', '_')}-{uuid.uuid4().hex[:8]}.jsonl"
        tags = {
            "stage": stage.split("@")[0],
            "git.commit": git("rev-parse", "HEAD"),
            "dvc.features": features_hash(),
            "dvc.experiment": os.environ.get("DVC_EXP_NAME", ""),
        }
        if seed is not None:
            tags["seed"] = str(seed)
        tags = {key: value for key, value in tags.items() if value}
        start = Start(name=stage, tags=tags, params=flat(params), own=own or {})
        with writing(self.path):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._append(start)

    def metrics(self, values: dict[str, Any], step: int = 0, *, summary: bool = False) -> None:
        """Numbers, nested mappings joined by dots; `summary` puts them on the execution's own run."""
        numbers = {name: float(value) for name, value in flat(values).items() if isinstance(value, int | float)}
        self._write(Metrics(values=numbers, step=step, summary=summary))

    def tags(self, values: dict[str, str]) -> None:
        """Words by which runs can be grouped."""
        self._write(Tags(values=values))

    def artifact(self, path: Path, *, summary: bool = False) -> None:
        """A file, kept as it is now until it is sent."""
        with self._at_no_cost():
            self._append(Artifact(path=str(self._keep({path.name: path}) / path.name), summary=summary))

    def model(self, files: Mapping[str, Path], facts: dict[str, Any]) -> None:
        """A model to register: its files by the names that they have in it, kept as they are now, and what is known.

        Raises:
            UserError: they cannot be kept, and no later run of the stage would try again.
        """
        with writing(self.folder):
            self._append(Model(path=str(self._keep(files)), facts=facts))

    def end(self, status: Literal["FINISHED", "FAILED", "KILLED"], message: str = "", *, summary: bool = False) -> None:
        """The last line: how the stage ended, and why; `summary` has the execution end so as well."""
        self._write(End(status=status, message=message, lock=git("hash-object", "dvc.lock"), summary=summary))

    def send(self, *, wait: bool = False) -> None:
        """Have what is written so far sent to MLflow by another process; without `wait`, now and then is enough."""
        last = JOURNALS / "last_sending"
        # A clock that was set back says that the last time is still to come.
        if not wait and last.exists() and 0 <= time.time() - last.stat().st_mtime < QUIET_SECONDS:
            return
        with self._at_no_cost():
            last.touch()
        command = [sys.executable, "-m", "pipeline.release.sync"]
        if wait:
            subprocess.run(command, cwd=workspace(), check=False)
        else:
            # Its output would come between the lines of whichever stage runs by then.
            silent = subprocess.DEVNULL
            subprocess.Popen(command, cwd=workspace(), stdin=silent, stdout=silent, stderr=silent)

    def _keep(self, files: Mapping[str, Path]) -> Path:
        """A new folder with copies of files, by name."""
        folder = self.folder / "artifacts" / uuid.uuid4().hex
        for name, path in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / name)
        return folder

    @contextlib.contextmanager
    def _at_no_cost(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            print(f"{self.path}: a report is lost ({error}); the work goes on", file=sys.stderr, flush=True)

    def _write(self, event: Event) -> None:
        with self._at_no_cost():
            self._append(event)

    def _append(self, event: Event) -> None:
        """Append a line. One before it that was torn, by a full disk or a kill, is closed and not continued."""
        line = f"{without_credentials(json.dumps(event.model_dump()))}\n".encode()
        with open(self.path, "a+b") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                line = line if file.read(1) == b"\n" else b"\n" + line
            file.write(line)


class SilentJournal(Journal):
    """The journal of a process that only helps another one with its training: nothing is kept."""

    def __init__(self) -> None:
        pass

    def artifact(self, path: Path, *, summary: bool = False) -> None:
        pass

    def send(self, *, wait: bool = False) -> None:
        pass

    def _write(self, event: Event) -> None:
        pass


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} as {"a.b": 1}; lists stay values."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            result.update(flat(value, f"{prefix}{key}."))
        else:
            result[f"{prefix}{key}"] = value
    return result


def git(*arguments: str) -> str:
    """The output of a git command, or nothing where there is no repository."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def features_hash() -> str:
    """DVC's hash of the features in use: what the runs of a comparison must share."""
    import yaml

    try:
        lock = yaml.safe_load(Path("dvc.lock").read_text(encoding="utf-8"))
        return lock["stages"]["extract_features"]["outs"][0]["md5"]
    except (OSError, KeyError, IndexError, TypeError):
        return ""


def write_text(path: Path, text: str) -> None:
    """Write a report, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
