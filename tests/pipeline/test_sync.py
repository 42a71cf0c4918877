"""Journals and their way into MLflow."""

from pipeline.release import sync
from pipeline.runtime.journal import Journal

PARAMS = {"tracking": {"experiment": "journals"}, "seeds": [0]}


def metrics(here, name: str, store: str = "mlflow.db") -> dict[str, float]:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{here}/{store}")
    experiment = client.get_experiment_by_name("journals")
    runs = client.search_runs([experiment.experiment_id], f"attributes.run_name = '{name}'")
    assert len(runs) == 1
    return runs[0].data.metrics


def test_names_of_devices_are_made_such_as_mlflow_takes(here):
    journal = Journal("evaluate@0", 0, PARAMS)
    journal.metrics({"accuracy_by_device": {"phone (old) #1": 50.0, "téléphone": 60.0}})
    journal.end("FINISHED")
    assert sync.sync() == 0
    assert metrics(here, "evaluate@0") == {
        "accuracy_by_device.phone _old_ _1": 50.0,
        "accuracy_by_device.téléphone": 60.0,
    }


def test_a_journal_that_mlflow_refuses_does_not_hold_up_the_others(here, capsys):
    bad = Journal("prune@0", 0, PARAMS)
    bad.metrics({"x" * 300: 1.0})
    good = Journal("prune@1", 1, PARAMS)
    good.metrics({"loss": 0.5})
    assert sync.sync() == 1
    assert "refused by MLflow" in capsys.readouterr().err
    assert metrics(here, "prune@1") == {"loss": 0.5}


def test_lines_are_sent_once_and_a_line_in_writing_waits(here):
    journal = Journal("train_student@0", 0, PARAMS)
    journal.metrics({"loss": 2.0}, step=1)
    with open(journal.path, "a") as file:
        file.write('{"event": "metrics", "time": 1, "step": 2, "summary": false, ')
    assert sync.sync() == 0
    assert metrics(here, "train_student@0") == {"loss": 2.0}
    with open(journal.path, "a") as file:
        file.write('"values": {"loss": 1.0}}\n')
    assert sync.sync() == 0
    assert metrics(here, "train_student@0") == {"loss": 1.0}


def test_a_run_that_was_made_and_no_more_gets_its_parameters(here):
    from mlflow import MlflowClient

    journal = Journal("prune@0", 0, PARAMS)
    journal.end("FINISHED")
    client = MlflowClient(f"sqlite:///{here}/mlflow.db")
    experiment = client.create_experiment("journals")
    client.create_run(experiment, tags={"asc.journal": f"today/{journal.path.stem}"}, run_name="prune@0")
    assert sync.sync() == 0
    runs = client.search_runs([experiment], "attributes.run_name = 'prune@0'")
    assert len(runs) == 1
    assert runs[0].data.params == {"tracking.experiment": "journals", "seeds": "[0]"}


def test_a_journal_begun_in_one_store_is_whole_in_the_one_that_follows(here, monkeypatch):
    journal, ended = Journal("train_student@0", 0, PARAMS), Journal("train_teacher@0", 0, PARAMS)
    journal.metrics({"loss": 2.0}, step=1)
    ended.end("FINISHED")
    assert sync.sync() == 0
    assert str(here) not in journal.path.with_suffix(".sent").read_text()  # an address may hold a password
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{here}/other.db")
    journal.metrics({"accuracy": 50.0}, step=2)
    assert sync.sync() == 0
    assert metrics(here, "train_student@0", "other.db") == {"loss": 2.0, "accuracy": 50.0}
    assert metrics(here, "train_student@0") == {"loss": 2.0}


def test_what_was_sent_leaves_no_copy_behind(here, capsys):
    report = here / "report.md"
    report.write_text("all is well")
    journal = Journal("gate", None, PARAMS)
    journal.artifact(report)
    journal.end("FINISHED")
    assert sync.sync() == 0
    left = {path.name for path in journal.folder.rglob("*") if path.is_file() or path.parent.name == "artifacts"}
    assert left == {journal.path.name, f"{journal.path.stem}.sent"}
    assert capsys.readouterr().out == ""
