"""Teachers in the plural: their parameters, their trainings, and a run of DVC with two of them."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from workspace import ROOT

from asc_core.errors import UserError
from asc_core.training.augmentation.config import AugmentConfig
from asc_core.training.augmentation.freq_mixstyle import FreqMixStyle
from asc_core.training.config import Schedule
from flows.engine.stages import seed_of, trainings
from pipeline import configure, params
from pipeline.stages import train_student, train_teacher

NETWORK = "{name: cp_resnet, width: 8, norm: freqin}"
REST = "spec_augment: false, schedule: {epochs: 1, learning_rate: 0.001, optimizer: adamw}"
ASC = "network: {name: bc_resnet_asc, tau: 1, norm: resnorm}, seed: 0, augment: null, spec_augment: false"
TWO = f"teachers={{asc: {{{ASC}, schedule: {{epochs: 2, learning_rate: 0.02}}}}, cp: {{network: {NETWORK}, {REST}}}}}"


def settings(folder: Path, *overrides: str) -> params.Params:
    configure.configure("quick", list(overrides), folder / "params.yaml")
    return params.load(folder / "params.yaml")


def test_a_teacher_may_have_augmentations_and_a_seed_of_its_own(tmp_path):
    own = f"network: {NETWORK}, augment: {{freq_mixstyle: {{p: 0.7}}}}, seed: 5, {REST}"
    teacher = settings(tmp_path, f"teachers={{cp: {{{own}}}}}").teachers["cp"]
    assert teacher.augment == AugmentConfig(freq_mixstyle=FreqMixStyle(p=0.7)) and teacher.seed == 5
    assert teacher.schedule == Schedule(1, 0.001, optimizer="adamw")


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("teachers={}", "teachers: "),
        (f"teachers={{a-b: {{network: {NETWORK}, {REST}}}}}", "teachers: 'a-b' is no name of a teacher"),
        (f"teachers={{../x: {{network: {NETWORK}, {REST}}}}}", "teachers: '../x' is no name of a teacher"),
        (
            f"teachers={{a: {{network: {NETWORK}, {REST}}}, b: {{network: {NETWORK}, {REST}}}}}",
            "teachers.b: b would be the same network as a; another seed makes another one",
        ),
        ("teachers.asc.augment={roll_secs: 1}", "teachers.asc.augment.roll_secs: unknown key, the nearest is roll_sec"),
        ("prune.distillation={weight: 2}", "prune.distillation.weight: needs a number from 0 to 1, got 2"),
        ("prune.distil=true", "prune.distil: unknown key, the nearest is distillation"),
        ("distillation.weight=0.5", "distillation.weight: unknown key"),
    ],
)
def test_a_mistake_names_its_key(override, told, tmp_path):
    with pytest.raises(UserError, match=r"^[^\n]*$") as error:
        settings(tmp_path, override)
    assert told in str(error.value)


def test_a_student_can_start_as_its_only_teacher(tmp_path):
    assert settings(tmp_path, "student.network.tau=2", "student.start=teacher").student.start == "teacher"
    with pytest.raises(UserError, match=r"student\.start: teacher needs one teacher, whose network is that of"):
        settings(tmp_path, TWO, "student.start=teacher")


def test_a_profile_names_its_teachers_and_says_what_the_base_does_not(tmp_path, monkeypatch):
    """`asc` is the base's and gets another schedule; `cp` is the profile's own, and all that another profile has."""
    (tmp_path / "base.yaml").write_text((configure.PROFILES / "base.yaml").read_text())
    cp = f"  cp:\n    network: {NETWORK}\n    spec_augment: false\n    schedule: {{epochs: 3, learning_rate: 0.1}}\n"
    cp += "\nstudent:\n  start: scratch\n"
    (tmp_path / "two.yaml").write_text(f"# Two\n\nteachers:\n  asc:\n    schedule: {{epochs: 7}}\n{cp}")
    (tmp_path / "one.yaml").write_text(f"# One\n\nteachers:\n{cp}")
    monkeypatch.setattr(configure, "PROFILES", tmp_path)
    base, two = configure.read_yaml(tmp_path / "base.yaml")["teachers"]["asc"], configure.parameters("two").teachers
    assert list(two) == ["asc", "cp"] and two["cp"].schedule.epochs == 3
    assert two["asc"].schedule.epochs == 7 and two["asc"].schedule.learning_rate == base["schedule"]["learning_rate"]
    configure.configure("one", [], tmp_path / "params.yaml")
    assert list(params.load(tmp_path / "params.yaml").teachers) == ["cp"]
    text = (tmp_path / "params.yaml").read_text()
    assert "\n\nstudent: " in text and "teachers:      " in text
    shown = (ROOT / "docs/extending.md").read_text().partition("```yaml\n")[2].partition("```")[0]
    (tmp_path / "shown.yaml").write_text(f"# Shown\n\n{shown}")
    found = configure.parameters("shown")
    assert list(found.teachers) == ["asc", "cp"] and found.student.distillation.weight == 0.9


def test_the_seed_of_a_teacher_is_that_of_its_training_or_one_of_its_own(store, tmp_path):
    jobs = []

    def fit(stage, network, store, job):
        jobs.append((stage, network, job))

    found = settings(tmp_path, TWO)
    teachers = {"asc": found.teachers["asc"], "cp": found.teachers["asc"].model_copy(update={"seed": 1})}
    found = found.model_copy(update={"teachers": teachers})
    train_teacher.trained(found, store, 3, fit)
    train_teacher.trained(found, store, 4, fit)
    seeds = [job.seed for _, _, job in jobs]
    assert seeds[0] == 3 and seeds[2] == 4 and len(set(seeds)) == 4
    weights = [network.classifier.weight for _, network, _ in jobs]
    assert len({weight.flatten()[0].item() for weight in weights}) == 4


def test_a_training_of_the_student_is_told_of_both_teachers(store, tmp_path):
    jobs = []
    found = settings(tmp_path, TWO, "student.distillation={weight: 0.9, temperature: 3}")
    teacher = train_teacher.trained(found, store, 0, lambda *_: None)
    train_student.trained(found, store, 0, teacher, lambda stage, network, store, job: jobs.append(job))
    assert jobs[0].teacher.network is teacher and len(teacher.networks) == 2
    assert (jobs[0].teacher.config.weight, jobs[0].teacher.config.temperature) == (0.9, 3)
    alone = found.model_copy(update={"student": found.student.model_copy(update={"distillation": None})})
    train_student.trained(alone, store, 0, teacher, lambda stage, network, store, job: jobs.append(job))
    assert jobs[1] == replace(jobs[0], teacher=None)


def test_trainings_are_named_as_dvc_names_them():
    teachers, others = trainings(7, ["asc", "cp"])
    assert teachers == ["train_teacher@7-asc", "train_teacher@7-cp"]
    assert others == ["train_student@7", "prune@7", "quantize@7", "tune_devices@7"]
    assert {seed_of(target) for target in [*teachers, *others]} == {7}


def test_a_teacher_that_params_yaml_does_not_name_is_told(tmp_path):
    with pytest.raises(UserError, match=r"^teachers: there is no x, known are asc, cp$"):
        train_teacher.train_teacher(settings(tmp_path, TWO), None, 0, "x")


def test_a_second_teacher_is_trained_alone_and_measured_with_the_first(finished, tmp_path):
    workspace = finished.copy(tmp_path / "project")
    workspace.configure(TWO)
    asc = (workspace.folder / "models/0/teachers/asc.safetensors").read_bytes()
    learning = ["train_student@0", "prune@0", "quantize@0", "tune_devices@0"]
    assert workspace.ran("--dry") == ["train_teacher@0-cp", *learning, "evaluate@0", "summarise"]
    some = ["train_teacher@0-cp", "evaluate@0", "summarise"]
    assert workspace.ran("--single-item", *some) == some
    assert (workspace.folder / "models/0/teachers/asc.safetensors").read_bytes() == asc
    summary = json.loads((workspace.folder / "reports/summary.json").read_text())
    assert list(summary) == ["teacher", "teacher asc", "teacher cp", "student", "pruned", "quantized"]
    sizes = {name: model["size"]["parameters"] for name, model in summary.items()}
    assert sizes["teacher"] == sizes["teacher asc"] + sizes["teacher cp"]
    assert "| teacher cp |" in (workspace.folder / "reports/summary.md").read_text()


def test_without_schedules_the_teacher_is_passed_on_as_it_is(finished, tmp_path):
    """As profile folder has it: what ships is the teacher in 8 bits."""
    workspace = finished.copy(tmp_path / "project")
    student = "student={network: {tau: 1}, start: teacher, distillation: null, spec_augment: false, schedule: null}"
    workspace.configure(student, "prune={ratio: 0, rise_epochs: 1, distillation: null, schedule: null}")
    some = ["train_student@0", "prune@0", "summarise"]
    assert workspace.ran("--single-item", *some) == some
    models = workspace.folder / "models/0"
    teacher, *others = (load_file(models / f"{name}.safetensors") for name in ("teachers/asc", "student", "pruned"))
    assert all(torch.equal(other[name], teacher[name]) for other in others for name in teacher)
    curves = pd.read_csv(workspace.folder / "reports/plots/curves.csv")
    assert not {"student", "pruned"} & set(curves["network"]) and "quantized" in set(curves["network"])
