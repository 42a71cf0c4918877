"""`make newcomer`: what a newcomer does who reads the beginning of README and then only what is printed.

In a fresh clone of what is committed: the commands of README's first block, then each step that `make repro` has
printed at its end. It ends well where all of them do, a user interface answers, and the report is one file for itself.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import httpx
import typer

from asc_core import UserError
from asc_core.cli import run
from flows.engine.stages import end_trees

ROOT = Path(__file__).resolve().parents[1]
SERVER = re.compile(r"running on (http://\S+)")
WAIT_SECONDS = 300  # for a server that says it runs to answer, on a machine that does much else
# What a newcomer's shell does not have: the environment that runs this, addresses of servers, and make around make.
OWN = ("VIRTUAL_ENV", "MLFLOW_TRACKING_URI", "PREFECT_API_URL", "ASC_EXECUTION", "MAKEFLAGS", "MFLAGS", "MAKELEVEL")


def first_commands(readme: str) -> list[str]:
    """The commands of the first block of README, without their comments."""
    block = re.search(r"(?:^    .*\n)+", readme, re.MULTILINE)
    return [line.partition("#")[0].strip() for line in block[0].splitlines()] if block else []


def next_commands(printed: str) -> list[str]:
    """The commands that a run has printed as what is next.

    Raises:
        UserError: it has printed none.
    """
    steps = printed.rpartition("\nnext:\n")[2] if "\nnext:\n" in printed else ""
    found = re.findall(r"^    (?! *#)(.+)$", steps, re.MULTILINE)
    if not found:
        raise UserError("no next step was printed")
    return found


class Newcomer:
    """A shell in a folder, of somebody who has none of this project's environment.

    Args:
        tell: gets every line that a command prints.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], tell: Callable[[str], None]) -> None:
        path = [each for each in environment["PATH"].split(os.pathsep) if Path(each).parent != Path(sys.prefix)]
        kept = {name: value for name, value in environment.items() if name not in OWN}
        self.folder, self.environment = folder, {**kept, "PATH": os.pathsep.join(path)}
        self.tell = tell
        self.sourced: list[str] = []

    def type(self, command: str) -> str:
        """Run a command, and return what it has printed. A server is stopped once it has answered.

        Raises:
            UserError: it fails, or a server does not answer.
        """
        if command.startswith("source "):
            self.sourced.append(command)
        self.tell(f"$ {command}")
        lines: list[str] = []
        with subprocess.Popen(
            ["bash", "-c", " && ".join(dict.fromkeys([*self.sourced, command]))],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    lines.append(line)
                    self.tell(line.rstrip())
                    if found := SERVER.search(line):
                        self.tell(f"{found[1]} answers {answer(found[1])}")
                        return "".join(lines)
                code = process.wait()
            finally:
                end_trees({process.pid})
        if code:
            raise UserError(f"{command}: ended with {code}")
        return "".join(lines)

    def follow(self, printed: str) -> list[str]:
        """Open the report that a run has named, and do what it has printed as next; the commands.

        Raises:
            UserError: there is no such report, or a step fails.
        """
        self.open_report(printed)
        commands = next_commands(printed)
        for command in commands:
            self.type(command)
        return commands

    def open_report(self, printed: str) -> None:
        """Hold the report to what a browser needs to show it from disk.

        Raises:
            UserError: none is named or there, or it would load something.
        """
        named = re.search(r"^report: (\S+), for a browser$", printed, re.MULTILINE)
        path = self.folder / named[1] if named else None
        if path is None or not path.is_file():
            raise UserError(f"report: {path or 'none'} is not there")
        html = path.read_text(encoding="utf-8")
        marks = re.sub(r"(<script\b[^>]*>).*?</script>", r"\1", html, flags=re.DOTALL)
        loaded = re.findall(r"<(?:script|img|audio|link|iframe)\b[^>]*(?:src|href)=\"(?!data:)([^\"]*)", marks)
        if not html.startswith("<!doctype html>") or not html.rstrip().endswith("</html>") or loaded:
            raise UserError(f"{named and named[1]}: not one page for itself; it loads {', '.join(loaded) or 'nothing'}")
        self.tell(f"{named and named[1]}: one page, {len(html):,} characters")


def answer(url: str) -> int:
    """The status of a page, which is 200.

    Raises:
        UserError: it is another one, or there is none in time.
    """
    until = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            status = httpx.get(url, trust_env=False, follow_redirects=True).status_code
        except httpx.TransportError:
            status = 0
        if status == 200:
            return status
        if time.monotonic() > until:
            raise UserError(f"{url}: {f'answers {status}' if status else 'does not answer'}")
        time.sleep(0.2)


def main(
    test: Annotated[bool, typer.Option(help="`make test` too, which takes most of the time.")] = True,
) -> None:
    """README's first commands in a fresh clone, and then each step that they have printed."""
    with tempfile.TemporaryDirectory(prefix="newcomer-") as folder:
        clone = Path(folder) / "asc"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        newcomer = Newcomer(clone, os.environ, lambda line: print(line, flush=True))
        commands = first_commands((clone / "README.md").read_text(encoding="utf-8"))
        printed = {command: newcomer.type(command) for command in commands if test or command != "make test"}
        newcomer.follow(printed["make repro"])
    print("newcomer: all of it went well")


if __name__ == "__main__":
    run(main, "newcomer")
