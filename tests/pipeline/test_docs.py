"""Every command in README and docs is one that exists, with the options, keys and names that it is given, and every
line of commands runs, here or in another test, or commands.yaml says why not."""

import importlib
import inspect
import itertools
import re
import shlex
import shutil
import tomllib
from pathlib import Path

import pandas as pd
import pytest
import typer
import yaml
from typer.core import TyperGroup
from workspace import ROOT

from asc_core import cli
from asc_core.compression import package
from asc_core.models.config import NetworkConfig
from pipeline.configure import configure

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TARGETS = cli.OWN | PROJECT["entry-points"]["asc.commands"]  # whatever the installation here knows of
PAGES = [ROOT / "README.md", ROOT / "benchmarks/README.md", *sorted((ROOT / "docs").glob("*.md"))]
TOOLS = ("asc", "make", "dvc", "prefect")
# Lines that are not held to what there is, and why.
UNCHECKED = {
    "make -C firmware": "asc export --c has made that Makefile",
    "asc configure devices data.validation=null": "asc sweep has made that profile",
    "asc configure quick student.network.name=plain": "the page shows how that network is made",
}


def commands() -> list[tuple[str, str, bool]]:
    """Page, command and whether it is a whole line: what a reader would type, and what a sentence names."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        block = False
        for line in text.splitlines():
            if line.startswith("```"):
                block = not block
            whole = line.startswith("    ") or block
            names = [line.strip()] if whole else re.findall(r"`([^`]+)`", line)
            for name in names:
                for part in re.split(r"\s*(?:;|&&)\s+", name):
                    if part.split(" ")[0] in TOOLS and " " in part:
                        found.append((page.name, part, whole))
    return list(dict.fromkeys(found))


def typed(command: str) -> str:
    """A command as it is typed: without its comment."""
    return " ".join(re.sub(r"\s+#\s.*", "", command).split())


FOUND = commands()
COMMANDS = [each for each in FOUND if not any(each[1].startswith(start) for start in UNCHECKED)]
LINES = {typed(command) for _, command, whole in FOUND if whole}
KNOWN = yaml.safe_load(Path(__file__).with_name("commands.yaml").read_text(encoding="utf-8"))


def of(tool: str) -> list[pytest.param]:
    chosen = [each for each in COMMANDS if each[1].startswith(f"{tool} ")]
    return [pytest.param(command, whole, id=f"{page}: {command[:60]}") for page, command, whole in chosen]


def test_there_are_commands_on_the_pages():
    assert {command.split()[0] for _, command, _ in COMMANDS} == set(TOOLS)
    assert len(COMMANDS) > 60
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    assert [start for start in UNCHECKED if not any(start in text for text in texts)] == []


def test_every_line_is_known_to_run_or_it_is_said_why_not():
    assert LINES - KNOWN.keys() == set(), "say in commands.yaml how they are known to run"
    assert KNOWN.keys() - LINES == set(), "no page has them any more: take them out of commands.yaml"
    for command, how in KNOWN.items():
        file, _, test = how.partition("::")
        if test:
            assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), f"{command}: no test {how}"
        else:
            assert how == "run" or " " in how, f"{command}: {how}"


@pytest.fixture(scope="module")
def project(finished, tmp_path_factory):
    """A workspace in which a run has ended, with the files and folders that the pages speak of."""
    workspace = finished.copy(tmp_path_factory.mktemp("documented") / "project")
    folder = workspace.folder
    answers, model = folder / "data/predictions/0.parquet", folder / "models/0/quantized.asc"
    for name in ("runs/a/0.parquet", "runs/b/0.parquet", "peer.parquet"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(answers, folder / name)
    (folder / "recordings").mkdir()
    (folder / "FOLDER").symlink_to("recordings")
    tested = pd.read_parquet(answers)
    for name in tested[tested["device"] == "a"]["filename"].unique():
        path = shutil.copy(folder / "data/synthetic" / name, folder / "recordings")
    shutil.copy(path, folder / "clip.wav")
    network, _, description = package.read_devices(model)
    described = {key: description[key] for key in ("labels", "features")}
    config = NetworkConfig(**description["network"])
    package.write(folder / "MODEL", network, config, devices={"b": network}, **described)
    shutil.copy(folder / "models/0/reference.safetensors", folder)
    workspace.run("git", "add", "-A")
    for commit in ("made", "nothing"):
        author = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        workspace.run("git", *author, "commit", "-q", "--allow-empty", "-m", commit)
    return workspace


@pytest.mark.parametrize("command", [command for command, how in KNOWN.items() if how == "run"])
def test_a_line_runs(command, project, monkeypatch, capsys):
    tool, *arguments = shlex.split(command)
    if tool != "asc":
        project.run(tool, *arguments)
        return
    monkeypatch.chdir(project.folder)  # in this process: each of its own would load torch anew
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 0, capsys.readouterr().err


@pytest.mark.parametrize(("command", "whole"), of("asc"))
def test_a_command_of_asc_takes_what_it_is_given(command, whole, tmp_path, monkeypatch):
    words = shlex.split(command, comments=True)[1:]
    if words == ["--help"]:
        return
    name, *arguments = words
    module, _, attribute = TARGETS[name].partition(":")
    found = typer.main.get_command(cli._app(getattr(importlib.import_module(module), attribute)))
    while isinstance(found, TyperGroup) and arguments:
        name, found, arguments = found.resolve_command(typer.Context(found), arguments)
    if arguments and not isinstance(found, TyperGroup):
        try:
            found.make_context(name, list(arguments))
        except Exception as error:
            # Click's own name of what a sentence leaves out; typer has a copy of click that it does not publish.
            if whole or type(error).__name__ != "MissingParameter":
                raise
    if words[0] == "configure" and whole:
        monkeypatch.chdir(tmp_path)
        configure(arguments[0], arguments[1:])


def test_the_targets_of_make_are_there():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {word for each in of("make") for word in shlex.split(each.values[0], comments=True)[1:] if "=" not in word}
    assert named and named <= targets


@pytest.mark.parametrize(("command", "whole"), of("dvc"))
def test_a_command_of_dvc_takes_what_it_is_given(command, whole):
    from dvc.cli import DvcParserError, parse_args

    try:
        parse_args(shlex.split(command, comments=True)[1:])
    except (DvcParserError, SystemExit):
        pytest.fail(f"dvc does not take: {command}")


OPTIONS = {  # of the commands of Prefect that the pages have
    ("server", "start"): set(),
    ("block", "ls"): set(),
    ("automation", "create"): {"--from-file"},
    ("deployment", "run"): {"--watch", "-p"},
    ("deployment", "schedule", "create"): {"--cron", "--timezone"},
}


@pytest.mark.parametrize(("command", "whole"), of("prefect"))
def test_a_deployment_takes_what_it_is_given(command, whole):
    words = shlex.split(command, comments=True)[1:]
    (known,) = [each for each in OPTIONS if tuple(words[: len(each)]) == each]
    rest = words[len(known) :]
    assert {word for word in rest if word.startswith("-")} <= OPTIONS[known]
    if known[0] == "deployment":
        deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
        entrypoints = {f"asc/{each['name']}": each["entrypoint"] for each in deployments}
        file, _, flow = entrypoints[rest[0]].partition(":")
        module = importlib.import_module(file.removesuffix(".py").replace("/", "."))
        taken = inspect.signature(getattr(module, flow).fn).parameters
        given = [value.partition("=")[0] for key, value in itertools.pairwise(rest) if key == "-p"]
        assert set(given) <= set(taken)


def test_the_automation_on_the_page_is_one_of_prefect():
    from prefect.events.schemas.automations import AutomationCore

    text = (ROOT / "docs/orchestration.md").read_text().partition("```yaml\n")[2].partition("```")[0]
    automation = AutomationCore.model_validate(yaml.safe_load(text))
    assert automation.trigger.expect == {"prefect.flow-run.Failed", "prefect.flow-run.Crashed"}
    assert [action.type for action in automation.actions] == ["send-notification"]


def test_the_pages_of_the_site_are_those_that_there_are():
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    listed = {page for entry in site["nav"] for page in entry.values()}
    assert listed == {path.name for path in (ROOT / "docs").glob("*.md")}


def test_links_between_the_pages_lead_somewhere():
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if "://" not in link:
                assert (page.parent / link).exists(), f"{page.name}: {link}"
