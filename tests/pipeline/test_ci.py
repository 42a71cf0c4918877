"""What a pull request is held to: the pipeline as a check, and the workflow that runs it."""

import json
import re

import pytest
import yaml
from workspace import ROOT


@pytest.fixture
def workspace(finished, tmp_path):
    """A finished workspace whose results are those of the branch `main`."""
    workspace = finished.copy(tmp_path / "project")
    workspace.run("git", "add", "--all")
    workspace.run("git", *["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "results"])
    workspace.run("git", "branch", "--force", "main")
    return workspace


def last_line(workspace, **environment: str) -> tuple[int, str]:
    done = workspace.run("python", "-m", "tools.ci", check=False, **environment)
    return done.returncode, done.stdout.strip().splitlines()[-1]


def test_an_unchanged_model_passes(workspace):
    assert last_line(workspace) == (0, "ci: passed")


def test_a_model_over_its_budget_and_below_its_floors_is_red_in_one_line(workspace):
    size = json.loads((workspace.folder / "reports/summary.json").read_text())["quantized"]["size"]["counted_bytes"]
    workspace.configure(f"gates.counted_bytes={size - 9}", "gates.accuracy=100", "gates.seed_accuracy=100")
    code, line = last_line(workspace)
    assert code == 1
    over, *below = line.split("; ")
    assert over == (
        f"ci: gate: error: counted_bytes is {size:,} bytes, the limit is at most {size - 9:,} bytes, missed by 9 bytes"
    )
    for told, floor in zip(below, ("accuracy", "accuracy of seed 0"), strict=True):
        assert told.startswith(f"{floor} is ") and "the limit is at least 100" in told


def test_a_change_is_compared_with_main_in_the_jobs_summary(workspace):
    workspace.configure("quantize.schedule={epochs: 1, learning_rate: 0.005}")
    summary = workspace.folder / "summary.md"
    assert last_line(workspace, GITHUB_STEP_SUMMARY=str(summary)) == (0, "ci: passed")
    text = summary.read_text()
    assert text.startswith("# ci: passed") and "Compared with main" in text
    verdicts = "(better|worse|not distinguishable)"
    assert re.search(rf"^\| accuracy \| [\d.]+ \| [\d.]+ \| [+-][\d.]+ .*\[.*\] \| {verdicts} \|$", text, re.M), text
    assert re.search(r"^\| reports/summary.json +\| quantized\.log_loss\.mean +\| [\d.]+ +\| [\d.]+ +\|", text, re.M)


def test_without_a_base_the_verdict_is_still_told(workspace):
    summary = workspace.folder / "summary.md"
    code, line = last_line(workspace, CI_BASE="nowhere", GITHUB_STEP_SUMMARY=str(summary))
    assert (code, line) == (0, "ci: passed")
    assert "Not compared clip by clip, because its predictions are not at hand: " in summary.read_text()


def test_the_workflow_runs_what_make_ci_runs():
    makefile = (ROOT / "Makefile").read_text()
    targets = dict(re.findall(r"^(\w+):([^#\n]*)", makefile, re.M))
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yaml").read_text())["jobs"]
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert sorted(f"make {target}" for target in targets["ci"].split()) == sorted(commands)
