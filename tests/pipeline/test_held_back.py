"""The validation split from a folder of recordings to the curves of a training."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import yaml
from workspace import ROOT

from asc_core import UserError
from asc_core.corpus.config import SyntheticConfig, ValidationSplit
from asc_core.corpus.synthetic import render
from asc_core.corpus.validation_split import HeldBack
from asc_core.features.config import FeatureConfig
from asc_core.features.extraction import extract
from asc_core.features.store import FeatureStore
from asc_core.files import write_json
from asc_core.training import loop
from asc_core.training.config import Schedule
from pipeline.configure import parameters
from pipeline.params import Params
from pipeline.paths import CLIPS, CORPUS, VALIDATION
from pipeline.runtime.journal import Journal
from pipeline.stages.train_teacher import trained
from pipeline.stages.validate import validate

SPLIT = ValidationSplit(0.2, ["s1"], seed=1)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Two training locations of every scene, each of which some devices recorded."""
    folder = tmp_path_factory.mktemp("two") / "corpus"
    render(folder, SyntheticConfig(0.5, train_recordings=4, train_copies=1, test_recordings=1, seed=1), workers=1)
    return folder


@pytest.fixture(scope="module")
def params() -> Params:
    return parameters("quick")


def held_back(corpus: Path, params: Params, split: ValidationSplit | None, folder: Path) -> dict:
    """What the stage validate reports, run in `folder`."""
    params = params.model_copy(update={"data": params.data.model_copy(update={"validation": split})})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_json(CORPUS, {"root": str(corpus)})
        validate(params, Journal("validate", None, {"tracking": {"experiment": "test"}}))
    return json.loads((folder / VALIDATION).read_text())


@pytest.fixture(scope="module")
def outcome(corpus, params, tmp_path_factory):
    """The report of the stage, the table of clips that it writes, and the folder that it ran in."""
    folder = tmp_path_factory.mktemp("outcome")
    report = held_back(corpus, params, SPLIT, folder)
    return report, pd.read_parquet(folder / CLIPS), folder


def test_the_report_tells_what_is_held_back_and_the_table_has_it(outcome, corpus, params, tmp_path):
    report, clips, _ = outcome
    whole = held_back(corpus, params, None, tmp_path)
    assert whole["held_back"] is None and whole["clips"].keys() == {"train", "test"}
    held = report["held_back"]
    assert held["devices"] == ["s1"] and len(held["locations"]) == 10 and held["clips_in_no_split"] > 0
    assert report["clips"] == clips["split"].value_counts().to_dict() and "validation" in report["clips"]
    assert len(clips) + held["clips_in_no_split"] == sum(whole["clips"].values())
    assert report["clips"]["test"] == whole["clips"]["test"]
    assert set(clips["location"][clips["split"] == "validation"]) == set(held["locations"])
    assert "s1" in report["devices"]["validation"] and "s1" not in report["devices"]["train"]
    assert report["scenes"]["validation"].keys() == report["scenes"]["train"].keys()
    # What the corpus is expected to be is said of its lists, and not of what is trained on.
    assert report["passed"] and report["unseen_devices"] == ["s1", "s4", "s5", "s6"]


def test_a_training_reports_the_validation_split_after_every_epoch(outcome, corpus, params, tmp_path):
    config, epochs = FeatureConfig(n_mels=32), []
    extract(corpus, outcome[1], config, tmp_path / "features", tmp_path / "work", workers=1)
    store = FeatureStore(tmp_path / "features")
    assert "s1" in store.unseen and len(store.rows("validation")) == outcome[0]["clips"]["validation"]
    stage = params.teachers["asc"].model_copy(
        update={"network": replace(params.teachers["asc"].network, tau=1.0), "schedule": Schedule(2, 0.05)}
    )
    fit = partial(loop.fit, on_epoch=lambda epoch, metrics: epochs.append(metrics))
    trained(params.model_copy(update={"teachers": {"asc": stage}}), store, 0, lambda name, *job: fit(*job, label=name))
    assert len(epochs) == 2
    for metrics in epochs:
        for name in ("validation_accuracy", "validation_accuracy_seen", "validation_accuracy_unseen"):
            assert 0 <= metrics[name] <= 100
        assert metrics["validation_log_loss"] > 0


def first(splits: pd.Series, old: str) -> pd.Series:
    return splits.index == splits.index[splits == old][0]


LEAKS = {
    "no location is in two splits": lambda clips, splits: splits.mask(first(splits, "validation"), "train"),
    "no segment is in two splits": lambda clips, splits: splits.mask(first(splits, "train"), "validation"),
    "devices held back are not in the training split": lambda clips, splits: splits.fillna("train"),
    "devices held back have clips to validate on": lambda clips, splits: splits.mask(
        (clips["device"] == "s1") & (splits == "validation")
    ),
    "every scene of two training locations or more has clips to validate on": lambda clips, splits: splits.mask(
        (clips["scene"] == "bus") & (splits == "validation")
    ),
}


@pytest.mark.parametrize("meaning", LEAKS)
def test_a_leak_between_the_splits_is_caught(corpus, params, tmp_path, monkeypatch, meaning):
    splits = HeldBack.splits
    monkeypatch.setattr(HeldBack, "splits", lambda self, clips: LEAKS[meaning](clips, splits(self, clips)))
    with pytest.raises(UserError, match=f"failed: {meaning}: ") as caught:
        held_back(corpus, params, SPLIT, tmp_path)
    assert "\n" not in str(caught.value) and not (tmp_path / CLIPS).exists()


@pytest.mark.parametrize(
    ("split", "told"),
    [
        (ValidationSplit(devices=["s1", "s7"]), "data.validation.devices: unknown name s7, training has a, b, c, s1, "),
        (ValidationSplit(devices=6), "data.validation.devices: 6 is more than the 5 training devices"),
        (ValidationSplit(0.8), "data.validation.locations: 0.8 of the 2 locations of the scene airport leaves none "),
    ],
)
def test_what_cannot_be_held_back_is_told_with_its_key(corpus, params, tmp_path, split, told):
    with pytest.raises(UserError) as caught:
        held_back(corpus, params, split, tmp_path)
    assert str(caught.value).startswith(f"{corpus}: {told}")
    assert not (tmp_path / CLIPS).exists() and not (tmp_path / VALIDATION).exists()


def test_the_split_is_a_parameter_of_the_stage_validate_and_of_no_other():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    keys = {name: [key for key in stage.get("params", []) if isinstance(key, str)] for name, stage in stages.items()}
    assert [name for name, own in keys.items() if {"data", "data.validation"} & {*own}] == ["validate"]
