"""The command `asc` itself: which commands there are, what they cost to list, and how they end."""

import os
import signal
import subprocess
import sys
import tomllib

import pytest
from workspace import ROOT

from asc_core.cli import run
from asc_core.errors import UserError

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TARGETS = PROJECT["entry-points"]["asc.commands"]
HEAVY = {"torch", "mlflow", "prefect", "pandas", "librosa", "pydantic"}
ASC = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
from asc_core.cli import main
try:
    main()
finally:
    print(*{{name.partition(".")[0] for name in sys.modules}}, file=open({loaded!r}, "w"))
"""


@pytest.fixture
def installed(tmp_path) -> dict[str, str]:
    """An environment in which the project's entry points are installed, whatever the installation here knows of."""
    folder = tmp_path / "site" / "asc_entry_points-0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: asc-entry-points\nVersion: 0\n")
    lines = [f"{name} = {target}" for name, target in TARGETS.items()]
    (folder / "entry_points.txt").write_text("\n".join(["[asc.commands]", *lines, ""]))
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(folder.parent)])}


def asc(installed, tmp_path, *arguments: str, missing: tuple[str, ...] = ()) -> tuple[int, str, str, set[str]]:
    """Exit code, output and error of a command, and the packages that it has loaded."""
    command = [sys.executable, "-c", ASC.format(missing=missing, loaded=str(tmp_path / "loaded")), *arguments]
    done = subprocess.run(command, cwd=tmp_path, env=installed, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr, set((tmp_path / "loaded").read_text().split())


def listed(text: str) -> dict[str, list[str]]:
    """The commands of a help text by their panel."""
    panels: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("╭"):
            commands = panels.setdefault(line.strip("╭─╮ "), [])
        elif line.startswith("│ ") and line[2] not in " -":
            commands.append(line.split()[1])
    return panels


def test_help_lists_all_commands_and_loads_none(installed, tmp_path):
    code, out, err, loaded = asc(installed, tmp_path, "--help")
    assert (code, err) == (0, "")
    panels = listed(out)
    assert panels["Models"] == ["predict", "listen", "info", "export", "cost", "networks", "compare", "corpus", "watch"]
    assert panels["Pipeline"] == ["configure", "measure", "registry", "submit", "sync"]
    assert panels["Flows"] == ["doctor", "paper", "peers", "run", "shares", "sweep"]
    assert not HEAVY & loaded


def test_without_the_pipeline_the_library_has_its_own_commands(installed, tmp_path):
    code, out, err, _ = asc(installed, tmp_path, "--help", missing=("pipeline", "flows"))
    assert (code, err) == (0, "")
    assert set(listed(out)) == {"Options", "Models"}
    code, _, err, _ = asc(installed, tmp_path, "configure", "quick", missing=("pipeline", "flows"))
    assert code == 2 and "No such command 'configure'" in err


def test_a_command_whose_needs_are_not_installed_says_so_in_a_line(installed, tmp_path):
    code, out, err, _ = asc(installed, tmp_path, "run", missing=("prefect",))
    assert (code, out, err) == (1, "", "asc: error: prefect is not installed; install it for this command\n")


def test_only_the_module_of_the_command_is_loaded(installed, tmp_path):
    code, out, _, loaded = asc(installed, tmp_path, "configure", "--help")
    assert code == 0 and "key=value" in out
    assert not {"torch", "mlflow", "prefect", "flows"} & loaded


def test_a_mistake_is_told_alike_by_both_forms_of_a_command(installed, tmp_path):
    told = "error: nothing: no such profile, known are "
    code, _, err, _ = asc(installed, tmp_path, "configure", "nothing")
    assert code == 1 and err.startswith(f"asc: {told}") and err.count("\n") == 1
    command = [sys.executable, "-m", "pipeline.configure", "nothing"]
    done = subprocess.run(command, cwd=tmp_path, env=installed, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr.startswith(f"configure: {told}") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("module", sorted({target.partition(":")[0] for target in TARGETS.values()}))
def test_every_command_is_also_a_module_to_run(installed, tmp_path, module):
    command = [sys.executable, "-m", module, "--help"]
    done = subprocess.run(command, cwd=tmp_path, env=installed, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "Usage:" in done.stdout and done.stderr == ""


def test_the_networks_are_listed_by_both_forms():
    command = [sys.executable, "-m", "asc_core.models"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "BC-ResNet-ASC-8" in done.stdout and "314,970" in done.stdout
    command = [sys.executable, "-m", "asc_core.cli", "networks"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout == done.stdout


def ended(capsys, command, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        run(command, "test", list(arguments))
    return (end.value.code, *capsys.readouterr())


def test_what_foreign_names_hold_does_not_reach_the_terminal(capsys):
    def command() -> None:
        raise UserError("caf\udce9\x1b[31m.wav: broken\nand more")

    assert ended(capsys, command) == (1, "", "test: error: caf\\xe9\\x1b[31m.wav: broken\\nand more\n")


@pytest.mark.parametrize(("error", "code"), [(SystemExit(3), 3), (KeyboardInterrupt(), 130)])
def test_other_ends_keep_their_exit_code(capsys, error, code):
    def command() -> None:
        raise error

    assert ended(capsys, command) == (code, "", "")


def test_a_mistake_of_ours_is_not_hidden(capsys):
    def command() -> None:
        raise ValueError("ours")

    with pytest.raises(ValueError, match="ours"):
        run(command, "test", [])


LINES = """
import sys
from asc_core.cli import run
def command() -> None:
    for number in range({count}):
        print(number)
run(command, "lines", [])
"""


@pytest.mark.parametrize("count", [10, 100_000])
def test_whoever_reads_the_output_may_go(count):
    """Few lines wait in a buffer until the end; many fill the pipe."""
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-c", LINES.format(count=count)]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, cwd=ROOT, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


SLEEPS = """
import time
from asc_core.cli import run
def command() -> None:
    print("here", flush=True)
    time.sleep(60)
run(command, "sleep", [])
"""


def test_ctrl_c_ends_a_command_without_a_traceback():
    command = [sys.executable, "-c", SLEEPS]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "here\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "")


def test_the_commands_of_the_library_are_no_entry_points():
    """They are there without an installation too."""
    assert not {"predict", "info", "export", "networks"} & set(TARGETS)
