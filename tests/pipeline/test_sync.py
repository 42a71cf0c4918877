"""Journals and their way into MLflow."""

import json
import math
import os
import shutil
import sqlite3
import time
from pathlib import Path

import pytest
from workspace import ROOT

from asc_core import UserError
from pipeline.release import sync
from pipeline.runtime.journal import JOURNALS, Journal

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


def test_names_that_mlflow_would_take_for_one_stay_two(here):
    journal = Journal("evaluate@0", 0, PARAMS)
    journal.metrics({"a?b": 1.0, "a_b": 2.0, "../x": 3.0, "x/": 4.0, "": 5.0, "y" * 300: 6.0, "y" * 301: 7.0})
    assert sync.sync() == 0
    journal.metrics({"a_b": 20.0, "a?b": 10.0}, step=1)
    assert sync.sync() == 0
    found = metrics(here, "evaluate@0")
    assert sorted(found.values()) == [3.0, 4.0, 5.0, 6.0, 7.0, 10.0, 20.0]
    assert found["a_b"] == 10.0  # who came first has the name


def test_a_journal_that_mlflow_refuses_does_not_hold_up_the_others(here, capsys):
    from mlflow import MlflowClient

    bad = Journal("prune@0", 0, PARAMS)
    assert sync.sync() == 0
    MlflowClient(f"sqlite:///{here}/mlflow.db").delete_run(json.loads(bad.path.with_suffix(".sent").read_text())["run"])
    bad.metrics({"loss": 1.0})
    good = Journal("prune@1", 1, PARAMS)
    good.metrics({"loss": 0.5})
    assert sync.sync() == 1
    assert "refused by MLflow" in capsys.readouterr().err
    assert metrics(here, "prune@1") == {"loss": 0.5}


BAD_LINES = [
    b"\xff\xfe\x00\x1b[31m\r garbage",
    b'{"event": "metrics", "time": 1, "val',
    b'{"event": "metrics", "time": NaN, "values": {"loss": 9.0}, "step": 1, "summary": false}',
    b'{"event": "metrics", "time": 1, "values": {"loss": "9"}, "step": 1, "summary": false}',
    b'{"event": "metrics", "time": 1, "values": {"loss": 9.0}, "step": 36893488147419103232, "summary": false}',
    b'{"event": "metrics", "time": 1, "values": {"loss": true}, "step": 1, "summary": false}',
    b'{"event": "tags", "time": 1, "values": {"\\u001b[31m": 9}}',
    b'{"event": "end", "time": 1, "status": "LATE"}',
    b'{"event": "model", "time": 1, "path": ".state/tracking/today/artifacts", "facts": {}}',
    b'{"event": "artifact"}',
    b'{"event": "no such thing"}',
    b"[" * 100_000,
    b"null",
    b"",
]


def test_bad_lines_are_named_once_and_the_rest_goes(here, capsys):
    bad = Journal("train_student@0", 0, PARAMS)
    bad.metrics({"loss": 2.0}, step=1)
    for line in BAD_LINES:
        with open(bad.path, "ab") as file:
            file.write(line + b"\n")
    bad.metrics({"loss": 1.0, "accuracy": 50.0}, step=2)
    bad.end("FINISHED")
    good = Journal("train_student@1", 1, PARAMS)
    good.metrics({"loss": 0.5})
    assert sync.sync() == 0
    told = capsys.readouterr().err
    lines = told.splitlines()
    assert len(lines) == len(BAD_LINES) and told.replace("\n", "").isprintable()
    assert all(line.startswith(f"{bad.path}: left out ") and line.endswith("; the rest is sent") for line in lines)
    assert "left out line 3 (" in lines[0]
    assert metrics(here, "train_student@0") == {"loss": 1.0, "accuracy": 50.0}
    assert metrics(here, "train_student@1") == {"loss": 0.5}
    assert sync.sync() == 0
    assert capsys.readouterr().err == ""


def test_a_line_that_was_torn_takes_no_other_along(here, capsys):
    journal = Journal("train_student@0", 0, PARAMS)
    with open(journal.path, "a") as file:
        file.write('{"event": "metrics", "time": 1, "step"')  # a full disk
    journal.metrics({"loss": 1.0}, step=2)
    assert sync.sync() == 0
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert metrics(here, "train_student@0") == {"loss": 1.0}


def test_a_journal_without_its_first_line_goes_into_the_experiment_in_use(here):
    text = (ROOT / "params.yaml").read_text().replace("experiment: asc", "experiment: journals")
    (here / "params.yaml").write_text(text)
    journal = Journal("train_student@0", 0, PARAMS)
    journal.path.write_text("{\n")
    journal.metrics({"loss": 1.0})
    assert sync.sync() == 0
    assert metrics(here, "train_student@0") == {"loss": 1.0}


def test_numbers_that_are_not_finite_hold_up_no_others(here):
    journal = Journal("train_student@0", 0, PARAMS)
    journal.metrics({"loss": math.nan, "worst": math.inf, "accuracy": 50.0})
    assert sync.sync() == 0
    found = metrics(here, "train_student@0")
    assert math.isnan(found["loss"]) and found["worst"] > 1e300 and found["accuracy"] == 50.0


def test_a_disk_that_takes_no_report_stops_no_training(here, capsys):
    journal = Journal("train_student@0", 0, PARAMS)
    journal.path.unlink()
    journal.path.mkdir()
    journal.metrics({"loss": 1.0})
    journal.artifact(here / "not there")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and all("a report is lost" in line for line in lines)
    with pytest.raises(OSError, match="not there"):  # no later run of the gate would hand the model over
        journal.model({"quantized.asc": here / "not there"}, {})


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


KEPT = ".state/tracking/today/artifacts"


@pytest.mark.parametrize(
    "path", ["{here}/mine", "{here}/mine/a file", "link/a file", f"{KEPT}/..", KEPT, f"{KEPT}/x/../../../../../mine"]
)
@pytest.mark.parametrize("event", ["artifact", "model"])
def test_a_journal_has_nothing_read_or_removed_but_what_was_kept_for_it(here, capsys, path, event):
    mine = here / "mine" / "a file"
    mine.parent.mkdir()
    mine.write_text("dear to me")
    journal = Journal("gate", None, PARAMS)
    (journal.folder / "artifacts" / "x").mkdir(parents=True)
    (here / "link").symlink_to(journal.folder / "artifacts" / "linked")
    (journal.folder / "artifacts" / "linked").symlink_to(mine.parent)
    line = {"event": event, "time": 1, "path": path.format(here=here), "summary": False, "facts": {}}
    with open(journal.path, "a") as file:
        file.write(json.dumps(line) + "\n")
    assert sync.sync() == 0
    assert mine.read_text() == "dear to me"
    assert "left out" in capsys.readouterr().err
    assert not list((here / "mlruns").rglob("a file"))


@pytest.mark.parametrize("name", ["../..", "..", "/etc", "a/b", "a\nb", "it's", " ", "x" * 300])
def test_an_execution_has_the_name_of_a_folder(here, monkeypatch, name):
    monkeypatch.setenv("ASC_EXECUTION", name)
    with pytest.raises(UserError, match=r"^ASC_EXECUTION is .* names a folder") as caught:
        Journal("gate", None, PARAMS)
    assert "\n" not in str(caught.value)
    assert not JOURNALS.exists()


def test_a_clock_that_was_set_back_stops_no_sending(here):
    journal = Journal("train_student@0", 0, PARAMS)
    last = JOURNALS / "last_sending"
    last.touch()
    os.utime(last, (time.time() + 1e6,) * 2)
    journal.send()
    assert last.stat().st_mtime <= time.time() + 1
    while not journal.path.with_suffix(".sent").exists():  # pytest's timeout ends it
        time.sleep(0.1)


# Stores that cannot be used


def of_another_version(here: Path) -> str:
    Journal("before", None, PARAMS)
    assert sync.sync() == 0
    shutil.copy(here / "mlflow.db", here / "old.db")
    with sqlite3.connect(here / "old.db") as store:
        store.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
    return f"sqlite:///{here}/old.db"


def damaged(here: Path) -> str:
    (here / "bad.db").write_bytes(b"no database" * 1000)
    return f"sqlite:///{here}/bad.db"


STORES = {
    "of another version": (of_another_version, "out-of-date database schema"),
    "damaged": (damaged, "file is not a database"),
    "a folder": (lambda here: f"sqlite:///{here}", "unable to open database file"),
    "without a driver": (lambda here: "mssql://user:secret@127.0.0.1:1/db", "pyodbc is not installed"),
    "of no kind": (lambda here: "ftp://user:secret@127.0.0.1:1/db", "unsupported URI"),
    "without a beginning": (lambda here: "user:secret@127.0.0.1:1", "unsupported URI"),
    "without a number": (lambda here: "http://user:secret/7@127.0.0.1:1", "is no address"),
    "down": (lambda here: "http://user:secret@127.0.0.1:1", "does not answer"),
}


@pytest.mark.parametrize("store", STORES)
def test_a_store_that_cannot_be_used_costs_one_line_and_no_report(here, monkeypatch, capsys, store):
    make, reason = STORES[store]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", make(here))
    journal = Journal("train_student@0", 0, PARAMS)
    journal.metrics({"loss": 1.0})
    assert sync.sync() == 1
    told = capsys.readouterr()
    assert len(told.err.splitlines()) == 1 and told.out == ""
    assert reason in told.err and "the reports stay in .state/tracking" in told.err
    assert "secret" not in told.err
    assert not [path for path in JOURNALS.rglob("*") if path.is_file() and b"secret" in path.read_bytes()]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{here}/mlflow.db")
    assert sync.sync() == 0
    assert metrics(here, "train_student@0") == {"loss": 1.0}
