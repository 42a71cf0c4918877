"""`dvc exp run` in a copy of the project: at once (`--temp`) or from a queue (`--queue`)."""

import json


def test_what_an_experiment_in_a_copy_reports_outlives_the_copy(finished, tmp_path):
    workspace = finished.copy(tmp_path / "project")
    workspace.run("git", "add", "-A")
    workspace.run("git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "tiny")
    before = (workspace.folder / "params.yaml").read_text(), set(workspace.folder.glob(".state/tracking/*/*.jsonl"))
    for how, ratio in (("--temp", 0.65), ("--queue", 0.75)):
        one = ("--name", f"pruned{how}", "--single-item", "-S", f"prune.ratio={ratio}", "prune@0")
        workspace.run("dvc", "exp", "run", how, *one)
    workspace.run("dvc", "exp", "run", "--run-all")
    assert {*workspace.run("dvc", "exp", "list", "--name-only").stdout.split()} == {"pruned--temp", "pruned--queue"}
    journals = set(workspace.folder.glob(".state/tracking/*/*.jsonl")) - before[1]
    events = [[json.loads(line) for line in path.read_text().splitlines()] for path in journals]
    found = {start["tags"]["dvc.experiment"]: start["params"]["prune.ratio"] for start, *_ in events}
    assert found == {"pruned--temp": 0.65, "pruned--queue": 0.75}
    assert all(last["status"] == "FINISHED" for *_, last in events)
    assert len({path.parent for path in journals}) == 2, "each is a run of its own in MLflow"
    assert (workspace.folder / "params.yaml").read_text() == before[0]
    told = workspace.run("dvc", "exp", "apply", "pruned--temp", check=False).stdout
    assert "models/0" not in told, "it is about files of the tables alone, which were never made"
    assert "ratio: 0.65" in (workspace.folder / "params.yaml").read_text()
    assert "up to date" in workspace.run("dvc", "status", "prune@0").stdout
