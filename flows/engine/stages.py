"""A stage of the pipeline as a process: `dvc repro --single-item STAGE`, its output line by line, its fate in one line.

The children stay in this process's group, so that what ends it ends them; `end_all` ends those that are left.
"""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from asc_core import UserError
from asc_core.addresses import without_credentials
from pipeline.runtime.processes import alive

TRAINING_STAGES = ("train_teacher", "train_student", "prune", "quantize", "tune_devices")
FINAL_STAGES = ("summarise", "gate")


def trainings(seed: int, teachers: Iterable[str]) -> tuple[list[str], list[str]]:
    """The trainings of a seed as DVC names them: the teachers, and the others, each after all before it."""
    first, *others = TRAINING_STAGES
    return [f"{first}@{seed}-{name}" for name in teachers], [f"{name}@{seed}" for name in others]


def seed_of(target: str) -> int:
    """The seed in such a name."""
    return int(target.partition("@")[2].partition("-")[0])


# Minutes after which a stage hangs and is not merely slow; the published experiment takes days on a few cores.
LIMITS: dict[str, float] = {
    "download": 24 * 60,
    "validate": 2 * 60,
    **dict.fromkeys(("extract_features", "features"), 12 * 60),
    **dict.fromkeys((*TRAINING_STAGES, "train", "compress", "ours", "trial"), 7 * 24 * 60),
    **dict.fromkeys(("evaluate", "figure1"), 4 * 60),
    **dict.fromkeys((*FINAL_STAGES, "tables"), 30),
}

_running: set[int] = set()


class StageFailed(UserError):
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
    pull: bool = False,
    timeout: float | None = None,
) -> Outcome:
    """Bring one stage up to date.

    Args:
        log: gets every line that DVC and the stage print, but for passwords in addresses.
        threads: cores that the stage's process uses for arithmetic; None for all.
        execution: name of the run of the pipeline that it belongs to.
        pull: look in the DVC remote too for what an earlier run of the stage has made, here or elsewhere.
        timeout: seconds after which the process and its children are ended.

    Raises:
        StageFailed: the stage or DVC failed, or took too long.
    """
    environment = {"OMP_NUM_THREADS": str(threads) if threads else None, "ASC_EXECUTION": execution}
    options = [*(["--force"] if force else []), *(["--pull"] if pull else [])]
    command = ["-m", "dvc", "--wait-for-lock", "repro", "--single-item", stage, *options]
    start = time.monotonic()
    lines = run_command(stage, command, log, environment, timeout)
    return Outcome(stage, status(lines), time.monotonic() - start)


def run_command(
    name: str,
    arguments: list[str],
    log: Callable[[str], None],
    environment: Mapping[str, str | None] | None = None,
    timeout: float | None = None,
) -> list[str]:
    """Run a Python process (`arguments` come after `python`) to its end and return the lines that it printed.

    Args:
        name: what a failure is told as.
        environment: variables to set beside those there are; None leaves one as it is.

    Raises:
        StageFailed: it failed or took too long; it and its children are gone.
    """
    process = _start(arguments, environment or {})
    assert process.stdout is not None
    _running.add(process.pid)
    late = threading.Event()

    def give_up() -> None:
        late.set()
        end_trees({process.pid})

    watchdog = threading.Timer(timeout, give_up) if timeout else None
    if watchdog:
        watchdog.start()
    lines = []
    try:
        for line in process.stdout:
            if line := line.rstrip():
                lines.append(line)
                log(without_credentials(line))
        code = process.wait()
    except BaseException:
        end_trees({process.pid})
        raise
    finally:
        _running.discard(process.pid)
        if watchdog:
            watchdog.cancel()
    if late.is_set():
        raise StageFailed(f"{name}: ended after its limit of {timeout:.0f} s")
    if code:
        raise StageFailed(without_credentials(reason(name, lines, code)))
    return lines


def _start(arguments: list[str], environment: Mapping[str, str | None]) -> subprocess.Popen[str]:
    variables = {**os.environ, "PYTHONUNBUFFERED": "1", "ASC_FLOW_PID": str(os.getpid())}
    # `python` in dvc.yaml is the interpreter that runs this.
    variables["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{variables['PATH']}"
    variables |= {key: value for key, value in environment.items() if value}
    return subprocess.Popen(
        [sys.executable, *arguments],
        env=variables,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def end_all() -> None:
    """End every process that `run_command` has started and that is still there, in whatever thread."""
    end_trees(set(_running))


def end_trees(pids: set[int], gently: signal.Signals = signal.SIGINT, patience: float = 5) -> None:
    """End processes and all that descend from them: `gently` first, and after `patience` seconds by SIGKILL.

    Interrupted, DVC leaves a clean workspace.
    """
    import psutil

    family = []
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            family += [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    for number in (gently, signal.SIGKILL):
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        deadline = time.monotonic() + patience
        # Not psutil's wait: it would take the exit code away from whoever started the process.
        while (family := [process for process in family if alive(process)]) and time.monotonic() < deadline:
            time.sleep(0.1)


def status(lines: list[str]) -> str:
    """What DVC's output says it did."""
    if any(line.startswith("Running stage") for line in lines):
        return "ran"
    restored = ("is cached - skipping run", "Pulling data for stage")
    return "restored" if any(words in line for line in lines for words in restored) else "unchanged"


def reason(stage: str, lines: list[str], code: int) -> str:
    """The line in which a failed stage, or DVC, said why."""
    for pattern in (r".*: error: .*", r"[\w.]+(Error|Exception): .*", r"ERROR: .*"):  # the user's fault, ours, DVC's
        for number, line in reversed(list(enumerate(lines))):
            if re.fullmatch(pattern, line):
                if line.endswith(":"):  # DVC's next line says by whom
                    line = " ".join([line, *(each.strip() for each in lines[number + 1 : number + 2])])
                return line if ": error: " in line else f"{stage}: {line.removeprefix('ERROR: ')}"
    if code < 0:
        return f"{stage}: ended by {signal.Signals(-code).name}"
    return f"{stage}: ended with code {code}: {lines[-1] if lines else 'no output'}"
