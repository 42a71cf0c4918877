"""A params.yaml that someone else wrote: DVC fills it into dvc.yaml before any code of ours can look at it."""

import shutil

import pytest
import yaml
from workspace import ROOT, TINY, Workspace

MARK = "touched"
# For a POSIX shell, for fish, in which \' does not end a text, and for the lines that DVC makes of a command.
NAMES = ["0; touch touched #", "$(touch touched)", "`touch touched`", "\\'\"; touch touched; #", "0\ntouch touched\n"]


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Workspace:
    workspace = Workspace.create(tmp_path_factory.mktemp("hostile") / "project", TINY)
    # What the trainings need, so that DVC gets as far as running their commands.
    (workspace.folder / "data/features").mkdir(parents=True)
    for path in ("data/features/x", "models/paper/asc_large_resnorm-0.safetensors"):
        (workspace.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (workspace.folder / path).write_text("x")
    return workspace


def repro(project: Workspace, stage: str, shell: str = "/bin/sh") -> str:
    """What `dvc repro` of a stage says, which it has to refuse without running anything but the stage."""
    done = project.run("dvc", "repro", "--single-item", stage, check=False, SHELL=shell)
    assert not list(project.folder.rglob(MARK)), done.stdout
    assert done.returncode == 255, done.stdout
    assert "Traceback" not in done.stdout
    return done.stdout


def write(project: Workspace, path: str, section: str | None, **changes: object) -> None:
    values = yaml.safe_load((ROOT / path).read_text())
    (values[section] if section else values).update(changes)
    (project.folder / path).write_text(yaml.safe_dump(values))


@pytest.mark.parametrize("name", NAMES)
def test_no_shell_runs_what_stands_as_a_seed(project, name):
    write(project, "params.yaml", None, seeds=[name])
    told = repro(project, f"train_teacher@{name}-asc")
    assert "train_teacher: error: params.yaml: seeds.0: Input should be a valid integer, got " in told


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not installed")
def test_nor_does_fish(project):
    write(project, "params.yaml", None, seeds=[NAMES[3]])
    repro(project, f"train_teacher@{NAMES[3]}-asc", shell=shutil.which("fish"))


@pytest.mark.parametrize("name", NAMES[:1])
@pytest.mark.parametrize(("key", "stage"), [("systems", "train@{}-0"), ("compressed", "compress@{}-0")])
def test_no_shell_runs_what_stands_as_a_row_of_the_tables(project, key, stage, name):
    shutil.copy(ROOT / "params.yaml", project.folder)
    write(project, "pipeline/paper/paper.yaml", "paper", **{key: [name], "seeds": [0]})
    told = repro(project, f"pipeline/paper/dvc.yaml:{stage.format(name)}")
    assert f" is no {'system' if key == 'systems' else 'variant'}; " in told


@pytest.mark.parametrize("name", NAMES[:1])
def test_no_shell_runs_what_stands_as_a_seed_of_the_tables(project, name):
    shutil.copy(ROOT / "params.yaml", project.folder)
    write(project, "pipeline/paper/paper.yaml", "paper", seeds=[name])
    told = repro(project, f"pipeline/paper/dvc.yaml:train@cp_resnet-{name}")
    assert " is no seed; " in told


@pytest.mark.parametrize("seed", ["{a; touch touched: 1}", "[touch touched]", "1.5"])
def test_other_kinds_of_seeds_run_nothing_either(project, seed):
    text = (ROOT / "params.yaml").read_text()
    (project.folder / "params.yaml").write_text(text.replace("seeds: [0, 1]", f"seeds: [{seed}]"))
    done = project.run("dvc", "repro", check=False)
    assert done.returncode == 255, done.stdout
    assert not list(project.folder.rglob(MARK)) and "Traceback" not in done.stdout
