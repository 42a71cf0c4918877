"""What a stage reports, written down before it is sent: a journal that no tracking server can slow down.

A training never talks to MLflow. It appends to `.state/tracking/<execution>/<stage>-<id>.jsonl`, and
`pipeline.release.sync`, in a process of its own, sends what is new. A server that is down costs nothing but the delay.

An execution is one run of the pipeline: what the environment variable ASC_EXECUTION says, else the `dvc` process that
this stage descends from, else this process.
"""

import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

from asc_core.files import replacing
from pipeline.runtime.processes import dvc

JOURNALS = Path(".state/tracking")
QUIET_SECONDS = 120  # between two sendings in the background: starting MLflow takes a core for seconds


def execution() -> str:
    """A name for this run of the pipeline, the same in all its stages."""
    if name := os.environ.get("ASC_EXECUTION"):
        return name
    import psutil

    process = dvc() or psutil.Process()
    return f"{datetime.fromtimestamp(process.create_time()):%Y-%m-%d-%H%M%S}-{process.pid}"


class Journal:
    """The report of one stage. `stage` is its name, with `@seed` where it belongs to a seed."""

    def __init__(self, stage: str, seed: int | None, params: dict[str, Any]) -> None:
        self.folder = JOURNALS / execution()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path = self.folder / f"{stage}-{uuid.uuid4().hex[:8]}.jsonl"
        tags = {"stage": stage.split("@")[0], "git.commit": git("rev-parse", "HEAD"), "dvc.features": features_hash()}
        if seed is not None:
            tags["seed"] = str(seed)
        self._write("start", name=stage, tags={key: value for key, value in tags.items() if value}, params=flat(params))

    def metrics(self, values: dict[str, Any], step: int = 0, *, summary: bool = False) -> None:
        """Numbers, nested mappings joined by dots; `summary` puts them on the execution's own run."""
        numbers = {name: value for name, value in flat(values).items() if isinstance(value, int | float)}
        self._write("metrics", values=numbers, step=step, summary=summary)

    def tags(self, values: dict[str, str]) -> None:
        """Words by which runs can be grouped."""
        self._write("tags", values=values)

    def artifact(self, path: Path, *, summary: bool = False) -> None:
        """A file, kept as it is now until it is sent."""
        self._write("artifact", path=str(self._keep(path) / path.name), summary=summary)

    def model(self, parts: list[Path], facts: dict[str, Any]) -> None:
        """A model to register, its files and folders kept as they are now, and what is known of it."""
        self._write("model", path=str(self._keep(*parts)), facts=facts)

    def end(self, status: str, message: str = "") -> None:
        """The last line: FINISHED, FAILED or KILLED, and why."""
        self._write("end", status=status, message=message)

    def send(self, *, wait: bool = False) -> None:
        """Have what is written so far sent to MLflow by another process; without `wait`, now and then is enough."""
        last = JOURNALS / "last_sending"
        if not wait and last.exists() and time.time() - last.stat().st_mtime < QUIET_SECONDS:
            return
        last.touch()
        command = [sys.executable, "-m", "pipeline.release.sync"]
        if wait:
            subprocess.run(command, check=False)
        else:
            # Its output would come between the lines of whichever stage runs by then.
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _keep(self, *paths: Path) -> Path:
        """A new folder with copies of files and folders."""
        folder = self.folder / "artifacts" / uuid.uuid4().hex
        folder.mkdir(parents=True)
        for path in paths:
            if path.is_dir():
                shutil.copytree(path, folder / path.name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copyfile(path, folder / path.name)
        return folder

    def _write(self, event: str, **values: Any) -> None:
        line = json.dumps({"event": event, "time": round(time.time() * 1000), **values})
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(line + "\n")


class SilentJournal(Journal):
    """The journal of a process that only helps another one with its training: nothing is kept."""

    def __init__(self) -> None:
        pass

    def artifact(self, path: Path, *, summary: bool = False) -> None:
        pass

    def send(self, *, wait: bool = False) -> None:
        pass

    def _write(self, event: str, **values: Any) -> None:
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
