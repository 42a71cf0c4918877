"""A stage of the pipeline as a process: `dvc repro --single-item STAGE`, its output line by line, its fate in one line.

The children stay in this process's group, so that what ends it ends them.
"""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CORPUS_STAGES = ("download", "validate", "extract_features")
SEED_STAGES = ("train_teacher", "train_student", "prune", "quantize", "evaluate")
FINAL_STAGES = ("summarise", "gate")


class StageFailed(Exception):
    """A stage ended badly; the text is the line in which it said why."""


@dataclass(frozen=True)
class Outcome:
    """What DVC did about a stage: `ran`, `restored` (from its cache of earlier runs) or `unchanged`."""

    stage: str
    status: str
    seconds: float


def run_stage(
    stage: str,
    log: Callable[[str], None],
    *,
    threads: int | None = None,
    execution: str | None = None,
    force: bool = False,
    timeout: float | None = None,
) -> Outcome:
    """Bring one stage up to date.

    Args:
        log: gets every line that DVC and the stage print.
        threads: cores that the stage's process uses for arithmetic; None for all.
        execution: name of the run of the pipeline that it belongs to.
        timeout: seconds after which the process and its children are ended.

    Raises:
        StageFailed: the stage or DVC failed, or took too long.
    """
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    # `python` in dvc.yaml is the interpreter that runs this.
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    if threads:
        environment["OMP_NUM_THREADS"] = str(threads)
    if execution:
        environment["ASC_EXECUTION"] = execution
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", stage]
    start = time.monotonic()
    process = subprocess.Popen(
        command + (["--force"] if force else []),
        env=environment,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    watchdog = threading.Timer(timeout, end_tree, (process.pid,)) if timeout else None
    if watchdog:
        watchdog.start()
    lines = []
    try:
        for line in process.stdout:
            if line := line.rstrip():
                lines.append(line)
                log(line)
        code = process.wait()
    except BaseException:
        end_tree(process.pid)
        raise
    finally:
        if watchdog:
            watchdog.cancel()
    seconds = time.monotonic() - start
    if timeout and seconds >= timeout:
        raise StageFailed(f"{stage}: ended after its limit of {timeout:.0f} s")
    if code:
        raise StageFailed(reason(stage, lines, code))
    return Outcome(stage, status(lines), seconds)


def end_tree(pid: int) -> None:
    """End a process and all that descends from it: interrupted first, as that is how DVC leaves a clean workspace."""
    import psutil

    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for number in (signal.SIGINT, signal.SIGKILL):
        for process in family:
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                continue
        _, family = psutil.wait_procs(family, timeout=5)


def status(lines: list[str]) -> str:
    """What DVC's output says it did."""
    if any(line.startswith("Running stage") for line in lines):
        return "ran"
    return "restored" if any("is cached - skipping run" in line for line in lines) else "unchanged"


def reason(stage: str, lines: list[str], code: int) -> str:
    """The line in which a failed stage, or DVC, said why."""
    for pattern in (r".*: error: .*", r"[\w.]+(Error|Exception): .*", r"ERROR: .*"):  # the user's fault, ours, DVC's
        for line in reversed(lines):
            if re.fullmatch(pattern, line):
                return line if ": error: " in line else f"{stage}: {line.removeprefix('ERROR: ')}"
    return f"{stage}: ended with code {code}: {lines[-1] if lines else 'no output'}"
