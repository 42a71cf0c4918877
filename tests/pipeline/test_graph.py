"""The layers of the code, and dvc.yaml against the real imports."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from imports import circles, closure, imported, source_of
from workspace import ROOT

GRAPHS = {
    "pipeline.stages": "dvc.yaml",
    "pipeline.paper.stages": "pipeline/paper/dvc.yaml",
    "pipeline.peers.stages": "pipeline/peers/dvc.yaml",
    "pipeline.shares.stages": "pipeline/shares/dvc.yaml",
}
STAGES = {
    f"{package}.{stage}": details.get("do", details)
    for package, path in GRAPHS.items()
    for stage, details in yaml.safe_load((ROOT / path).read_text())["stages"].items()
}
# What no result depends on: it runs stages, reads parameters that DVC compares itself, writes files whole, shows names.
RUNS = (
    "asc_core/config.py", "asc_core/errors.py", "asc_core/files.py", "asc_core/progress.py", "asc_core/cores.py",
    "asc_core/text.py", "asc_core/addresses.py",
    "pipeline/params.py", "pipeline/sections.py", "pipeline/configure.py", "pipeline/paths.py",
    "pipeline/paper/paths.py",
    "pipeline/peers/paths.py", "pipeline/peers/settings.py", "pipeline/runtime/",
    "pipeline/shares/paths.py", "pipeline/shares/settings.py", "pipeline/shares/stages/__init__.py",
    "pipeline/stages/__init__.py", "pipeline/paper/stages/__init__.py", "pipeline/peers/stages/__init__.py",
)  # fmt: skip
SHIPPED = "pipeline.release.shipped.served"  # goes into the registered model, and is imported there alone


def says_something(path: Path) -> bool:
    """Whether a file has more than a docstring: most `__init__.py` do not."""
    statements = ast.parse((ROOT / path).read_text(encoding="utf-8")).body
    return len(statements) > 1 or not isinstance(statements[0], ast.Expr)


def computing(*modules: str) -> set[Path]:
    """The files that these modules import, directly or not, and that can change what they make."""
    files = set().union(*(closure(module, without=RUNS) for module in modules))
    return {path for path in files if not str(path).startswith(RUNS) and says_something(path)} - {
        Path("asc_core/__init__.py")
    }


def covers(dep: str, path: Path) -> bool:
    return str(path) == dep or str(path).startswith(f"{dep}/")


def code(stage: str) -> list[str]:
    """The dependencies of a stage that are code of ours."""
    return [dep for dep in STAGES[stage]["deps"] if dep.split("/")[0] in ("asc_core", "pipeline", "flows", "tools")]


def needed(stage: str) -> set[Path]:
    return computing(stage, SHIPPED) if stage == "pipeline.stages.gate" else computing(stage)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_all_that_computes_for_it(stage):
    assert [str(path) for path in sorted(needed(stage)) if not any(covers(dep, path) for dep in code(stage))] == []


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_no_folder_that_it_does_not_use(stage):
    assert [dep for dep in code(stage) if not any(covers(dep, path) for path in needed(stage))] == []


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_does_not_depend_on_what_only_runs_it(stage):
    assert [
        dep for dep in code(stage) if dep.startswith(RUNS) or any(name.startswith(f"{dep}/") for name in RUNS)
    ] == []


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_names_folders_and_one_file_a_stage(stage):
    """Its own, and those of the stages that it is made of."""
    stages = sorted(str(path) for path in needed(stage) if path.parent.name == "stages")
    assert f"{stage.replace('.', '/')}.py" in stages
    assert sorted(dep for dep in code(stage) if dep.endswith(".py")) == stages


def modules(package: str) -> list[str]:
    return [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in (ROOT / package).rglob("*.py")]


def test_imports_point_only_down_the_layers():
    assert source_of("flows.full") and source_of("asc_core.corpus.layout")
    for package, above in (
        ("asc_core", ("pipeline", "flows", "tools")),
        ("pipeline", ("flows", "tools")),
        ("flows", ("tools",)),
    ):
        for module in modules(package):
            module = module.removesuffix(".__init__")
            assert not [name for name in imported(module) if name.split(".")[0] in above], module


def test_no_modules_import_each_other_in_a_circle():
    assert circles() == []


def loaded_by(statement: str) -> set[str]:
    """The packages that are loaded after a statement."""
    code = f"import sys; {statement}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_flows_load_no_torch():
    assert "torch" not in loaded_by("import flows.full, flows.servers.serve")


def test_parameters_are_read_without_torch():
    assert "torch" not in loaded_by("from pipeline import params; params.load()")


def test_tables_of_predictions_are_compared_without_torch():
    assert "torch" not in loaded_by("import asc_core.commands.compare, asc_core.comparison.systems")


def test_the_library_loads_none_of_the_pipeline_tools():
    everything = "; ".join(f"import {name}" for name in modules("asc_core"))
    assert not {"dvc", "mlflow", "prefect", "great_expectations", "pydantic"} & loaded_by(everything)


def test_the_pinned_fastapi_lets_the_prefect_server_start():
    loaded_by("import prefect.server.api.server")
