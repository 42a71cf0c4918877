"""How a run was made: commit, parameters, versions, machine, and what each stage took."""

import os
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from asc_core.config import shown
from asc_core.cores import usable_cores
from asc_core.page.parts import Part, Section, Table, Text
from pipeline.configure import parameters, profiles
from pipeline.params import Params
from pipeline.runtime.events import End, Metrics, Start, parse
from pipeline.runtime.journal import JOURNALS, flat, git

PACKAGES = ("torch", "numpy", "pandas", "librosa", "soxr", "great-expectations", "dvc", "mlflow", "prefect")
FIGURES = {"stage.seconds": "seconds", "stage.processor_seconds": "processor seconds"}


def made(params: Params) -> Section:
    """How this run was made; the stages as they ran last on this machine."""
    profile, different = nearest_profile(params)
    changed = "without a difference" if not different else f"with {len(different)} different parameters"
    parts: list[Part] = [Text(f"Parameters: those of the profile {profile}, {changed}.")]
    if different:
        parts.append(Table(f"Parameters that differ from {profile}", ["parameter", "here", profile], different, 9))
    parts.append(Table("Code and machine", ["", ""], list(_machine()), 9))
    if stages := list(_stages(params.seeds)):
        heads = ["stage", *FIGURES.values()]
        wanted = [index for index in range(len(heads)) if any(row[index] for row in stages)]
        rows = [[row[index] for index in wanted] for row in stages]
        parts.append(Table("Stages, as each ran last on this machine", [heads[index] for index in wanted], rows))
    return Section("made", "How it was made", parts)


def nearest_profile(params: Params) -> tuple[str, list[list[str]]]:
    """The profile with the fewest other values, and those: key, value here, value there."""
    own = flat(params.model_dump(mode="json"))
    found = []
    for name in profiles():
        other = flat(parameters(name).model_dump(mode="json"))
        keys = [key for key in {**own, **other} if own.get(key) != other.get(key)]
        found.append((len(keys), name, [[key, _yaml(own.get(key)), _yaml(other.get(key))] for key in keys]))
    _, name, rows = min(found)
    return name, rows


def _yaml(value: Any) -> str:
    return "null" if value is None else shown(value)


def _machine() -> Iterator[list[str]]:
    """Facts of the code and of the machine."""
    import psutil
    import torch

    if commit := git("rev-parse", "HEAD"):
        changed = " and changes that are not committed" if git("status", "--porcelain", "--untracked-files=no") else ""
        yield ["commit", commit + changed]
    yield ["Python", f"{platform.python_implementation()} {platform.python_version()}"]
    for name in PACKAGES:
        try:
            yield [name, version(name)]
        except PackageNotFoundError:
            continue
    yield ["system", f"{platform.system()} {platform.machine()}"]
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    yield ["cores", f"{usable_cores()} of {os.cpu_count()}, threads of this stage: {threads}"]
    yield ["memory", f"{psutil.virtual_memory().total / 2**30:.0f} GiB"]
    yield ["GPU", torch.cuda.get_device_name() if torch.cuda.is_available() else "none"]


def _stages(seeds: list[int]) -> Iterator[list[str]]:
    """What each stage took when it was last finished, in the order in which they ran."""
    newest: dict[str, tuple[int, dict[str, float]]] = {}
    for journal in sorted(JOURNALS.glob("*/*.jsonl")):
        found = _last_run(journal.read_bytes().split(b"\n"))
        if found and found[1] >= newest.get(found[0], (0, {}))[0]:
            newest[found[0]] = found[1:]
    for name, (_, figures) in sorted(newest.items(), key=lambda each: each[1][0]):
        seed = name.partition("@")[2].partition("-")[0]
        if not seed or (seed.isdecimal() and int(seed) in seeds):
            yield [name, *(f"{figures[key]:.1f}" if key in figures else "" for key in FIGURES)]


def _last_run(lines: list[bytes]) -> tuple[str, int, dict[str, float]] | None:
    """Name, end and figures of the stage that a journal is of; None where it was not finished."""
    name, figures = "", dict[str, Any]()
    begin = 0
    for line in lines:
        try:
            event = parse(line)
        except ValueError:
            continue
        if isinstance(event, Start):
            name, begin = event.name, event.time
        elif isinstance(event, Metrics):
            figures |= {key: value for key, value in event.values.items() if key in FIGURES}
        elif isinstance(event, End) and event.status == "FINISHED" and name:
            return name, event.time, {"stage.seconds": (event.time - begin) / 1000, **figures}
    return None
