"""The layers of the code, and dvc.yaml against the real imports."""

import subprocess
import sys

import pytest
import yaml
from imports import closure, imported, source_of
from workspace import ROOT

GRAPHS = {"pipeline": "dvc.yaml", "pipeline.paper": "pipeline/paper/dvc.yaml"}
STAGES = {
    f"{package}.{stage}": details
    for package, path in GRAPHS.items()
    for stage, details in yaml.safe_load((ROOT / path).read_text())["stages"].items()
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_every_module_it_can_import_and_on_no_other(stage):
    listed = {dep for dep in STAGES[stage]["deps"] if dep.endswith(".py")}
    needed = {str(path) for path in closure(stage)}
    assert sorted(needed - listed) == []
    assert sorted(listed - needed) == []


def modules(package: str) -> list[str]:
    return [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in (ROOT / package).rglob("*.py")]


def test_imports_point_only_down_the_layers():
    assert source_of("flows.full") and source_of("asc_core.corpus.layout")
    for package, above in (("asc_core", ("pipeline", "flows")), ("pipeline", ("flows",))):
        for module in modules(package):
            module = module.removesuffix(".__init__")
            assert not [name for name in imported(module) if name.split(".")[0] in above], module


def loaded_by(statement: str) -> set[str]:
    """The packages that are loaded after a statement."""
    code = f"import sys; {statement}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_flows_load_no_torch():
    assert "torch" not in loaded_by("import flows.full, flows.serve")


def test_parameters_are_read_without_torch():
    assert "torch" not in loaded_by("from pipeline import params; params.load()")


def test_the_library_loads_none_of_the_pipeline_tools():
    everything = "; ".join(f"import {name}" for name in modules("asc_core"))
    assert not {"dvc", "mlflow", "prefect", "great_expectations", "pydantic"} & loaded_by(everything)


def test_the_pinned_fastapi_lets_the_prefect_server_start():
    loaded_by("import prefect.server.api.server")
