"""What this machine and this folder have for the pipeline, and what to do about what is missing: `asc doctor`."""

import configparser
import os
import shutil
import socket
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from asc_core import UserError
from asc_core.addresses import without_credentials
from asc_core.cli import run
from asc_core.cores import usable_cores
from asc_core.text import printable
from pipeline import params
from pipeline.reporting.terminal import WIDTH
from pipeline.runtime.journal import JOURNALS

OK, NOTE, PROBLEM = "ok", "note", "PROBLEM"
LEAST_DISK = {"tau2020": 60, "tau2022": 60}  # GB; others: 2
PORTS = {"MLflow": (5000, "/health", "make ui"), "Prefect": (4200, "/api/health", "make serve")}
SECONDS = 3  # that a server has to answer


@dataclass(frozen=True)
class Finding:
    """One line: how it is, what was looked at, what was found, and what mends it."""

    state: str
    subject: str
    found: str
    remedy: str = ""

    def __str__(self) -> str:
        start = f"{self.state:<8} {self.subject:<12} "
        lines = [printable(f"{self.found}"), *([f"-> {printable(self.remedy)}"] if self.remedy else [])]
        return "\n".join(
            textwrap.fill(line, WIDTH, initial_indent=start if not number else " " * 22, subsequent_indent=" " * 22,
                          break_on_hyphens=False)
            for number, line in enumerate(lines)
        )  # fmt: skip


def packages() -> Iterator[Finding]:
    """Python, what the project needs of it, and what it can use besides."""
    from packaging.requirements import Requirement

    yield Finding(OK, "Python", f"{sys.version.split()[0]} in {sys.prefix}")
    try:
        wanted = [Requirement(text) for text in requires("asc") or []]
    except PackageNotFoundError:
        yield Finding(PROBLEM, "packages", "the project is not installed", "make setup")
        return
    extras: dict[str, list[str]] = {}
    wrong = []
    for each in wanted:
        present = _version(each.name)
        if each.marker is None:
            if present is None or not each.specifier.contains(present, prereleases=True):
                wrong.append(f"{each.name} is {present or 'missing'}, wanted {each.specifier or 'any'}")
        else:
            extra = str(each.marker).partition("extra == ")[2].strip("'\"")
            extras.setdefault(extra, []).extend([] if present else [each.name])
    if wrong:
        yield Finding(PROBLEM, "packages", "; ".join(wrong), "make setup")
    else:
        yield Finding(OK, "packages", "all that the project needs, in versions that it takes")
    for extra, missing in sorted(extras.items()):
        if missing:
            yield Finding(NOTE, extra, f"not installed: {', '.join(missing)}", f"pip install --editable '.[{extra}]'")
        else:
            yield Finding(OK, extra, "installed")


def computing() -> Iterator[Finding]:
    """Cores, threads, memory and GPU."""
    import psutil

    cores, text = usable_cores(), os.environ.get("OMP_NUM_THREADS", "")
    yield Finding(OK, "cores", f"{cores} of {os.cpu_count()} can be used")
    if text and not (text.isdecimal() and 1 <= int(text) <= cores):
        yield Finding(PROBLEM, "threads", f"OMP_NUM_THREADS is {text}, and {cores} cores are there",
                      "unset OMP_NUM_THREADS")  # fmt: skip
    else:
        yield Finding(OK, "threads", text or f"{max(1, cores - 1)} for a stage")
    free = psutil.virtual_memory().available / 2**30
    least = "close other programs, or lower training.batch_size"
    yield (
        Finding(OK, "memory", f"{free:.1f} GiB free")
        if free >= 2
        else Finding(PROBLEM, "memory", f"{free:.1f} GiB free, a training takes about 2", least)
    )
    import torch

    if torch.cuda.is_available():
        yield Finding(OK, "GPU", torch.cuda.get_device_name())
    elif shutil.which("nvidia-smi"):
        yield Finding(PROBLEM, "GPU", f"there is one, and torch {torch.__version__} cannot use it",
                      "install the build of torch for its driver")  # fmt: skip
    else:
        yield Finding(OK, "GPU", "none; trainings run on the processor")


def project() -> Iterator[Finding]:
    """Parameters, disk, DVC, and reports that MLflow has not heard."""
    source = "synthetic"
    try:
        source = params.load().data.source
        yield Finding(OK, "parameters", f"{params.PARAMS} can be used; its corpus is {source}")
    except UserError as error:
        yield Finding(PROBLEM, "parameters", str(error), "asc configure quick, or correct the key")
    free, least = shutil.disk_usage(".").free / 1e9, LEAST_DISK.get(source, 2)
    if free < least:
        yield Finding(
            PROBLEM, "disk", f"{free:.1f} GB free here, {least} are wanted", "make room, or `dvc gc --workspace`"
        )
    else:
        yield Finding(OK, "disk", f"{free:.1f} GB free here")
    yield from dvc()
    waiting = sum(not path.with_suffix(".sent").exists() for path in JOURNALS.glob("*/*.jsonl"))
    if waiting:
        yield Finding(NOTE, "tracking", f"{waiting} reports of stages have not been sent to MLflow", "asc sync")


def dvc() -> Iterator[Finding]:
    """DVC's repository, cache and remote, as its files say."""
    if not Path(".dvc/config").is_file():
        yield Finding(PROBLEM, "DVC", "no .dvc/config here", "go to the project's folder, or clone it again")
        return
    config = configparser.ConfigParser(interpolation=None)
    config.read([".dvc/config", ".dvc/config.local"], encoding="utf-8")
    cache = Path(".dvc") / config.get("cache", "dir", fallback="cache")
    usable = os.access(cache if cache.exists() else ".dvc", os.W_OK)
    yield (
        Finding(OK, "DVC cache", str(cache))
        if usable
        else Finding(PROBLEM, "DVC cache", f"{cache} cannot be written", "dvc cache dir --local FOLDER")
    )
    remote = config.get("core", "remote", fallback="")
    url = config.get(f"'remote \"{remote}\"'", "url", fallback="")
    if not remote:
        yield Finding(NOTE, "DVC remote", "none: results stay on this machine", "dvc remote add --default NAME PATH")
    elif "://" not in url and not (Path(".dvc") / url).exists():
        yield Finding(PROBLEM, "DVC remote", f"{remote}: {url or 'no address'} is not there",
                      f"mount it, or dvc remote modify {remote} url PATH")  # fmt: skip
    else:
        yield Finding(OK, "DVC remote", f"{remote}: {without_credentials(url)}")


def servers() -> Iterator[Finding]:
    """Servers that variables name, and the ports that ours would take."""
    named = {"MLflow": ("MLFLOW_TRACKING_URI", "/health"), "Prefect": ("PREFECT_API_URL", "/health")}
    for name, (variable, path) in named.items():
        url = os.environ.get(variable, "")
        if url.startswith(("http://", "https://")):
            shown = f"{variable} is {without_credentials(url)}"
            yield (
                Finding(OK, name, f"{shown}, which answers")
                if answers(url.rstrip("/") + path)
                else Finding(PROBLEM, name, f"{shown}, which does not answer", f"start it, or unset {variable}")
            )
    for name, (port, path, command) in PORTS.items():
        if not taken(port):
            yield Finding(OK, f"port {port}", f"free for {name}: {command}")
        elif answers(f"http://127.0.0.1:{port}{path}"):
            yield Finding(OK, f"port {port}", f"{name} answers")
        else:
            yield Finding(PROBLEM, f"port {port}", f"another program has it, which {name} would take",
                          f"end that program before `{command}`")  # fmt: skip


def taken(port: int) -> bool:
    """Whether something listens at a port of this machine."""
    with socket.socket() as probe:
        probe.settimeout(SECONDS)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def answers(url: str) -> bool:
    """Whether a server answers well."""
    import httpx

    try:
        return httpx.get(url, timeout=SECONDS, trust_env=False).is_success
    except (httpx.HTTPError, httpx.InvalidURL):
        return False


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


LOOKS: list[Callable[[], Iterator[Finding]]] = [packages, computing, project, servers]


def main() -> None:
    """What is installed, what this machine has, and what is in the way, each problem with its remedy; 1 for any."""
    problems = 0
    for look in LOOKS:
        for finding in look():
            print(finding, flush=True)
            problems += finding.state == PROBLEM
    if problems:
        raise UserError(f"{problems} problem{'s' if problems > 1 else ''}; remedies stand behind the arrows")
    print("next: make repro")


if __name__ == "__main__":
    run(main, "doctor")
