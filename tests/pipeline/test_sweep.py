"""Searches: what a space may say, what a study keeps, trials on a real store, and a sweep that is killed twice."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import psutil
import pytest
from mlflow import MlflowClient
from optuna.trial import TrialState
from workspace import ROOT, TINY, Workspace

from asc_core import UserError
from asc_core.features.store import FeatureStore
from asc_core.models import checkpoint
from flows.servers.prefect import prefect_server
from flows.servers.process import free_address
from pipeline import configure
from pipeline.paths import teacher_path
from pipeline.stages import train_teacher
from pipeline.sweep import judge, outcome, study
from pipeline.sweep.space import check_split, load
from pipeline.sweep.study import Study

SPACE = {
    "name": "tiny",
    "stage": "train_teacher",
    "metric": "validation_accuracy_unseen",
    "trials": 6,
    "space": {"teachers.asc.schedule.learning_rate": [0.01, 0.02, 0.04], "teachers.asc.network.tau": [0.5, 1]},
}
RATE = {"teachers.asc.schedule.learning_rate": {"low": 0.01, "high": 0.1, "log": True}}


@pytest.fixture
def project(here, monkeypatch):
    """A project of which something is held back, without a corpus, and with profiles of its own."""
    shutil.copy(ROOT / "dvc.yaml", here)
    monkeypatch.setattr(configure, "PROFILES", shutil.copytree(configure.PROFILES, here / "conf"))
    tiny = [*TINY, "teachers.asc.schedule={epochs: 8, learning_rate: 0.02}"]
    configure.configure("quick", [*tiny, "data.validation={locations: 0.3, devices: 1, seed: 0}"], here / "params.yaml")
    return here


@pytest.fixture
def stored(project, store, write_store):
    """A project with features: what nobody may look at is no number."""
    clips = store.clips.assign(split=store.clips["split"].replace("test", "validation"))
    unseen = clips[clips["split"] == "validation"].assign(split="test", device="z")
    features = np.concatenate([store.array, np.full((len(unseen), *store.array.shape[1:]), np.nan)])
    write_store(project / "data/features", pd.concat([clips, unseen], ignore_index=True), features)
    return project


def search(folder, **changes):
    """The search of the tiny space, with changes to its file."""
    file = folder / "tiny.yaml"
    file.write_text(json.dumps(SPACE | changes))
    return load(file)


def asked(trials):
    """The trial that a study wants next."""
    number = trials.ask()
    return trials.trials[number]


def refused(folder, **changes) -> str:
    with pytest.raises(UserError, match=r"^[^\n]*$") as error:
        search(folder, **changes)
    return str(error.value)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"trails": 3}, "tiny.yaml: trails: unknown key, the nearest is trials"),
        ({"name": "../x"}, "tiny.yaml: name: String should match pattern"),
        ({"name": "quick"}, "tiny.yaml: name: quick is a profile already"),
        ({"metric": "test_accuracy"}, "tiny.yaml: metric: Input should be 'validation_accuracy', "),
        ({"trials": 7}, "tiny.yaml: trials: 7 is more than the 6 that differ in the space"),
        ({"trials": "many"}, "tiny.yaml: trials: Input should be a valid integer"),
        ({"space": {}}, "tiny.yaml: space: "),
        (
            {"stage": "train_student", "seed": 9, "trials": 2, "space": {"student.distillation": [None, {}]}},
            "tiny.yaml: seed: 9 is none of the seeds of params.yaml, and the trials take the network of train_teacher",
        ),
    ],
)
def test_a_mistake_in_a_space_is_told_by_its_key(changes, told, project):
    assert told in refused(project, **changes)


@pytest.mark.parametrize(
    ("key", "tried", "told"),
    [
        ("techers.asc.network.tau", [1], "unknown key, the nearest is teachers"),
        ("teachers.asc.network.tua", [1], "teachers.asc.network.tua: unknown key, the nearest is tau"),
        ("teachers.asc.netwrok.tau", [1], "teachers.asc.netwrok.tau: unknown key, the nearest is network"),
        ("augment.freq_mixstyle.p", [0.5], "freq_mixstyle is no section"),
        ("data.share", [5], "the corpus and its features are the same for all trials"),
        ("features.n_mels", [32, 64], "the corpus and its features are the same for all trials"),
        ("seeds", [[0], [1]], "cannot be searched, train_teacher and what it builds on depend on augment, "),
        ("gates.accuracy", [50], "cannot be searched"),
        ("student.schedule.epochs", [1, 2], "cannot be searched"),
        ("teachers.asc.network.tau", [0.5, 99], "teachers.asc.network.tau: needs a number from 0.1 to 32, got 99"),
        ("teachers.asc.network.tau", [1, 1], "names a value twice"),
        ("teachers.asc.network.tau", [], "or a list of choices, got []"),
        ("teachers.asc.network.tau", 1, "or a list of choices, got 1"),
        ("teachers.asc.network.tau", {"low": 1}, "high: missing key"),
        ("teachers.asc.network.tau", {"low": 2, "high": 1}, "low: 2 is not less than the 1 of high"),
        ("teachers.asc.network.tau", {"low": 0, "high": 1, "log": True}, "low: needs to be above 0 where log is true"),
        ("teachers.asc.network.tau", {"low": 1, "high": 2, "steps": 1}, "steps: unknown key, the nearest is step"),
        ("teachers.asc.network.tau", {"low": "a", "high": 2}, "low: needs a number, got 'a'"),
        (
            "teachers.asc.schedule.epochs",
            {"low": 1.5, "high": 2.5},
            "teachers.asc.schedule.epochs: Input should be a valid integer",
        ),
    ],
)
def test_a_key_that_cannot_be_searched_is_refused_with_the_reason(key, tried, told, project):
    line = refused(project, space={key: tried}, trials=1)
    assert told in line and "tiny.yaml: space" in line and key.split(".")[-1] in line


def test_without_a_validation_split_there_is_no_sweep(project):
    clips = pd.DataFrame({"split": ["train", "validation"], "device": ["a", "a"]})
    space = search(project).space
    with pytest.raises(
        UserError, match=r"no device that training lacks; hold some back with data\.validation\.devices"
    ):
        check_split(space, clips)
    with pytest.raises(UserError, match=r"data\.validation holds nothing back of this corpus"):
        check_split(space, clips[:1])
    configure.configure(None, ["data.validation=null"])
    assert "data.validation is null" in refused(project)


def test_stages_before_the_first_that_is_searched_are_not_trained(project):
    of_student = search(project, stage="prune", space={"prune.ratio": [0.3, 0.5]}, trials=2)
    assert (of_student.before, of_student.trained) == (("train_teacher", "train_student"), ("prune",))
    of_all = search(project, stage="prune", space={"augment.mixup_alpha": [0.1, 0.3]}, trials=2)
    assert (of_all.before, of_all.trained) == ((), ("train_teacher", "train_student", "prune"))


def test_every_trial_has_other_parameters(project):
    trials = Study(search(project))
    while (number := trials.ask()) is not None:
        trials.study.tell(number, float(number))
    finished = [trial.params for trial in trials.trials if trial.state == TrialState.COMPLETE]
    assert trials.finished == len(finished) == len({json.dumps(each) for each in finished}) == 6


def test_what_nobody_runs_any_more_is_tried_again(project, monkeypatch):
    first = Study(search(project))
    begun = [asked(first).params for _ in range(2)]
    second = Study(search(project))
    second.release()
    assert [asked(second).params for _ in range(2)] == begun
    # Another machine can only see that there was no sign of life.
    monkeypatch.setattr(study, "_workspace", lambda: "elsewhere:/project")
    third = Study(search(project))
    third.release()
    left = [asked(third) for _ in range(4)]
    assert third.ask() is None and all(trial.params not in begun for trial in left)
    monkeypatch.setattr(study, "GRACE", 1)
    patient = Study(search(project))
    with third.running(left[0].number):
        for trial in left:
            patient.study.tell(trial.number, 1.0)
        time.sleep(2.2)
        assert [asked(patient).params for _ in range(2)] == begun
    assert patient.ask() is None and patient.finished == 4


def test_whoever_asked_last_gives_back_what_is_too_many(project, monkeypatch):
    trials = Study(search(project, trials=2))
    for _ in range(2):
        trials.ask()
    answers = iter([True, False])  # as another one saw it a moment before
    monkeypatch.setattr(trials, "_wanted", lambda: next(answers))
    assert trials.ask() is None
    assert [trial.state for trial in trials.trials] == [TrialState.RUNNING, TrialState.RUNNING, TrialState.FAIL]


def test_trials_of_something_else_are_not_gone_on_with(project):
    Study(search(project))
    Study(search(project, trials=5))
    configure.configure(None, ["teachers.asc.network.tau=2"])  # searched, and so of no weight
    Study(search(project))
    configure.configure(None, ["training.batch_size=16"])
    with pytest.raises(UserError, match=r"of other parameters or features; .* or remove \.state/sweeps/tiny\.db"):
        Study(search(project))
    with pytest.raises(UserError, match="of another space"):
        configure.configure(None, ["training.batch_size=32"])
        Study(search(project, metric="validation_accuracy"))


def test_a_store_that_cannot_be_used_is_told_in_one_line_without_its_password(project, monkeypatch):
    monkeypatch.setenv("ASC_SWEEP_STORAGE", "postgresql+asc://me:secret@host/sweeps")
    with pytest.raises(UserError, match=r"^the store of sweeps cannot be used \([^\n]*\)$") as error:
        Study(search(project))
    assert "secret" not in str(error.value)


def test_trials_learn_and_are_judged_without_the_test_split(stored):
    rates = {
        "teachers.asc.schedule.learning_rate": [0.02, 1000.0],
        "augment.freq_mixstyle": [None, {"alpha": 0.3, "p": 0.4}],
    }
    found = search(stored, space=rates | {"teachers.asc.network.width": [8]}, trials=4)
    trials = Study(found)
    while (number := trials.ask()) is not None:
        judge.run_trial(found, trials, number)
    assert trials.finished == 4
    outcome.publish(found)
    report = json.loads((stored / "reports/sweeps/tiny.json").read_text())
    best = report["best"]["params"]
    assert best["teachers.asc.schedule.learning_rate"] == 0.02 and report["ended_early"] == 2
    assert "not finite" in report["trials"][-1]["reason"]
    assert not list(stored.glob(".state/training/*"))
    assert configure.parameters("tiny") == found.settings(best)
    configure.configure("tiny", [])
    head = (stored / "params.yaml").read_text().partition("\n\n")[0]
    assert head.startswith("# Profile tiny: the best of 4 trials") and all(len(line) < 121 for line in head.split("\n"))
    search(stored)  # the profile is its own, and may be written again
    starts = [json.loads(path.read_text().partition("\n")[0]) for path in stored.glob(".state/tracking/today/trial*")]
    assert {start["own"]["teachers.asc.schedule.learning_rate"] for start in starts} == {0.02, 1000.0}


def test_a_trial_below_the_others_is_ended_early(stored):
    found = search(stored, metric="validation_log_loss", trials=7, space=RATE)
    trials = Study(found)
    for rate in (0.011, 0.012, 0.013, 0.014, 0.015, 0.016):
        trials.study.add_trial(
            optuna.create_trial(
                value=0.0,
                params={"teachers.asc.schedule.learning_rate": rate},
                distributions=trials.distributions,
                intermediate_values=dict.fromkeys(range(1, 9), 0.0),
            )
        )
    judge.run_trial(found, trials, trials.ask())
    assert trials.trials[6].state == TrialState.PRUNED
    assert trials.trials[6].user_attrs["reason"] == "ended after epoch 3 of 8"
    assert not list(stored.glob(".state/training/*"))


def test_several_teachers_are_judged_by_what_they_say_together_and_the_profile_names_them(stored):
    store = FeatureStore(stored / "data/features")
    rest = "spec_augment: false, schedule: {epochs: 1, learning_rate: 0.01}"
    asc, cp = f"asc: {{network: {{tau: 0.5}}, {rest}}}", f"cp: {{network: {{name: cp_resnet, width: 8}}, {rest}}}"
    for teachers in ([asc, cp], [cp]):
        configure.configure(None, [f"teachers={{{', '.join(teachers)}}}"])
        found = search(stored, name=f"of{len(teachers)}", space={"teachers.cp.seed": [1, 2]}, trials=1)
        trials = Study(found)
        judge.run_trial(found, trials, trials.ask())
        outcome.publish(found)
        settings = configure.parameters(found.space.name)
        assert list(settings.teachers) == [each[: each.index(":")] for each in teachers]
        assert len(trials.trials[0].intermediate_values) == (len(teachers) == 1)
    (stored / "models/0/teachers").mkdir(parents=True)
    settings, jobs = configure.parameters("of2"), []
    both = train_teacher.trained(settings, store, 0, lambda *_: None)
    for name, network in zip(settings.teachers, both.networks, strict=True):
        checkpoint.save(teacher_path(0, name), network, settings.teachers[name].network, store.scenes)
    configure.configure("of2", [])
    found = search(stored, stage="train_student", space={"student.distillation.weight": [0.5, 0.9]}, trials=1)
    judge.judged(found, found.settings({}), store, lambda stage, network, store, job: jobs.append((stage, job)))
    assert [stage for stage, _ in jobs] == ["train_student"] and len(jobs[0][1].teacher.network.networks) == 2


def start(workspace: Workspace) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "flows.sweep", "sweeps/tiny.yaml"]
    with open(workspace.folder / "log", "a") as log:
        return subprocess.Popen(command, cwd=workspace.folder, env=workspace.environment, stdout=log, stderr=log)


def kill(process: subprocess.Popen[str]) -> None:
    """Have a process and all that it has started die at once."""
    for each in [*psutil.Process(process.pid).children(recursive=True), process]:
        each.send_signal(signal.SIGKILL)
    process.wait()


def test_a_sweep_that_is_killed_twice_ends_with_the_trials_that_were_wanted(set_up_prefect, tmp_path, monkeypatch):
    held_back = "data.validation={locations: 0.3, devices: 1, seed: 0}"
    more = "synthetic={clip_seconds: 1.0, train_recordings: 4, train_copies: 1, test_recordings: 1, seed: 0}"
    workspace = Workspace.create(tmp_path / "project", [*TINY, more, held_back, "data.expect.counts=null"])
    file = workspace.folder / "sweeps/tiny.yaml"
    file.parent.mkdir()
    file.write_text(json.dumps(SPACE | {"trials": 4, "space": RATE | {"teachers.asc.schedule.epochs": [1]}}))
    url = f"{free_address()}/api"
    set_up_prefect(workspace.environment)
    monkeypatch.setenv("PREFECT_HOME", workspace.environment["PREFECT_HOME"])
    workspace.environment["PREFECT_API_URL"] = url
    with prefect_server(url):
        journals: set[Path] = set()
        for _ in range(2):
            running = start(workspace)
            while journals >= (found := set(workspace.folder.glob(".state/tracking/sweep-tiny/trial*.jsonl"))):
                assert running.poll() is None, (workspace.folder / "log").read_text()
                time.sleep(0.05)
            kill(running)
            journals = found
        running = start(workspace)
        assert running.wait() == 0, (workspace.folder / "log").read_text()
    monkeypatch.chdir(workspace.folder)
    page = (workspace.folder / "reports/sweeps/index.html").read_text()
    assert "Sweep tiny" in page and page.count('<th scope="row">') >= 4
    trials = optuna.load_study(study_name="tiny", storage=f"sqlite:///{study.FOLDER}/tiny.db").trials
    ended = [trial.params for trial in trials if trial.state != TrialState.FAIL]
    assert len(ended) == len({json.dumps(each) for each in ended}) == 4
    interrupted = [trial for trial in trials if trial.state == TrialState.FAIL]
    assert len(interrupted) >= 2 and all(trial.params in ended for trial in interrupted)
    client = MlflowClient(f"sqlite:///{workspace.folder}/mlflow.db")
    (sweep,) = client.search_runs(["1"], "tags.`mlflow.runName` = 'sweep-tiny'")
    assert sweep.info.status == "FINISHED" and sweep.data.metrics["trials"] == 4
    runs = client.search_runs(["1"], f"tags.`mlflow.parentRunId` = '{sweep.info.run_id}' and tags.outcome = 'complete'")
    rates = {float(run.data.params["teachers.asc.schedule.learning_rate"]) for run in runs}
    assert len(rates) == 4 and all("validation_accuracy_unseen" in run.data.metrics for run in runs)
    assert (
        "the best of 4 trials"
        in workspace.run("python", "-m", "pipeline.configure", "tiny").stdout
        + (workspace.folder / "params.yaml").read_text()
    )


def test_the_space_that_the_page_shows_can_be_searched(project):
    text = (ROOT / "docs/sweeps.md").read_text().split("```yaml\n")[1].partition("```")[0]
    (project / "devices.yaml").write_text(text)
    configure.configure("folder", ["data.validation={locations: 0.2, devices: 1, seed: 0}"])
    assert load(project / "devices.yaml").trained == ("train_teacher",)
