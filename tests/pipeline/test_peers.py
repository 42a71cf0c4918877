"""The systems of others beside ours, small: two systems, one seed, two folds of one rendered corpus."""

import json
import os
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from workspace import TINY, Workspace

from asc_core import UserError
from asc_core.corpus.config import SyntheticConfig
from asc_core.corpus.layout import Lists
from asc_core.corpus.synthetic import render
from asc_core.evaluation import predictions
from asc_core.evaluation.metrics import accuracy, judge
from asc_core.features.store import FeatureStore
from asc_core.training.config import TrainingConfig
from pipeline import params
from pipeline.configure import configure
from pipeline.peers import paths, settings
from pipeline.peers.stages.features import check_folds, features
from pipeline.peers.stages.ours import ours
from pipeline.peers.stages.tables import tables
from pipeline.peers.stages.train import job_of, train
from pipeline.runtime.journal import SilentJournal
from pipeline.sections import check, read_yaml

SYSTEMS = ["asc_1", "cp_resnet_128k"]
LISTS = {"train": ["filename", "scene_label"], "evaluate": ["filename", "scene_label"], "test": ["filename"]}


@pytest.fixture(scope="module")
def folds(tmp_path_factory) -> dict[str, Path]:
    """Two corpora of the same recordings, each of which tests one of the two test locations of every scene."""
    folder = tmp_path_factory.mktemp("folds")
    config = SyntheticConfig(clip_seconds=0.5, train_recordings=2, train_copies=1, test_recordings=2, seed=1)
    render(folder / "all", config, workers=1)
    clips = pd.read_csv(folder / "all/meta.csv", sep="\t").set_index("filename")
    tested = pd.read_csv(folder / "all/evaluation_setup/fold1_evaluate.csv", sep="\t")
    first = clips.loc[tested["filename"]].groupby("scene_label")["identifier"].first()
    made = {}
    for fold, mine in (("left", True), ("right", False)):
        made[fold] = folder / fold
        shutil.copytree(folder / "all", made[fold], copy_function=os.link)
        for name, columns in LISTS.items():
            path = made[fold] / f"evaluation_setup/fold1_{name}.csv"
            rows = pd.read_csv(path, sep="\t")
            kept = rows["filename"].map(clips["identifier"]).isin(first) == mine
            path.unlink()  # the other corpus has it too
            (rows if name == "train" else rows[kept]).to_csv(path, sep="\t", index=False, columns=columns)
    return made


@pytest.fixture(scope="module")
def peers(folds, tmp_path_factory) -> Workspace:
    """A workspace in which all stages have run, in this process: each of its own would load torch anew."""
    folder = tmp_path_factory.mktemp("peers") / "project"
    workspace = Workspace.create(folder, [*TINY, "data.expect.counts=null"])
    corpora = ", ".join(f"{fold}: {path}" for fold, path in folds.items())
    changes = [f"peers.corpora={{{corpora}}}", "peers.seeds=[0]", f"peers.systems=[{', '.join(SYSTEMS)}]"]
    configure(None, [*changes, "peers.epochs=0.01"], folder / settings.SETTINGS, settings.PeersFile)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        configured, journal = params.load(), SilentJournal()
        for fold in folds:
            features(configured, journal, fold)
            for system in SYSTEMS:
                train(configured, journal, system, 0, fold)
            ours(configured, journal, 0, fold)
        tables(configured, journal)
    return workspace


def test_every_system_has_a_row_over_all_folds(peers, folds):
    found = json.loads((peers.folder / "reports/peers/peers.json").read_text())
    rows = {row["system"]: row for row in found["systems"]}
    assert list(rows) == ["student", "quantized", *SYSTEMS]
    assert {(row["clips"], row["locations"]) for row in rows.values()} == {(180, 20)}
    files = [peers.folder / paths.FILES.predictions("asc_1", 0, fold) for fold in folds]
    answers = pd.concat([predictions.read(file) for file in files], ignore_index=True)
    scenes = list(predictions.scenes_of(answers))
    labels = answers["scene"].map(scenes.index).to_numpy()
    judged = judge(answers[scenes].to_numpy(float), labels, answers)
    row = rows["asc_1"]
    assert row["metrics"]["accuracy"] == pytest.approx(accuracy(judged))
    assert row["metrics"]["accuracy_unseen"] == pytest.approx(accuracy(judged[answers["unseen"]]))
    assert row["intervals"]["accuracy"][0] <= row["metrics"]["accuracy"] <= row["intervals"]["accuracy"][1]
    ahead = rows["quantized"]["metrics"]["log_loss"] - row["metrics"]["log_loss"]
    assert row["difference"]["log_loss"]["difference"] == pytest.approx(ahead)
    assert rows["quantized"]["difference"] is None
    assert row["size"]["parameters"] == 8055 and rows["cp_resnet_128k"]["size"]["parameters"] == 127_684
    assert rows["quantized"]["size"]["counted_bytes"] < rows["student"]["size"]["counted_bytes"] / 2
    assert found["settings"]["peers"]["corpora"] == ["left", "right"]  # and not where they are


def test_the_report_has_tables_sources_and_settings(peers, folds):
    text = (peers.folder / paths.FILES.told("md")).read_text()
    assert "180 clips at 20 locations, folds left, right; the mean over the seeds 0." in text
    assert "| ours, as shipped | " in text and "## Ours as shipped, less the others" in text
    assert "github.com/fschmid56/cpjku_dcase23" in text and "random responses where they have 66" in text
    assert "learning_rate: 0.06" in text.split("## Settings")[1]
    assert not any(str(folder) in text for folder in folds.values())
    assert (peers.folder / "reports/peers/peers.png").read_bytes().startswith(b"\x89PNG")
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", (peers.folder / "reports/peers/index.html").read_text())
    figures = [line.split(" | ")[1] for line in text.splitlines() if line.startswith("| ours")]
    assert figures and set(figures) <= set(cells) and not any("**" in each for each in cells)


def test_the_flow_finds_every_stage_up_to_date_where_dvc_has_its_outputs(peers, set_up_prefect):
    set_up_prefect(peers.environment)
    peers.run("dvc", "commit", "--force", "pipeline/peers/dvc.yaml")  # an output that is elsewhere is an error
    told = peers.run("python", "-m", "flows.peers", PREFECT_API_URL="http://127.0.0.1:9/api").stdout
    assert "Running stage" not in told
    assert told.count(": unchanged in") == 2 * (1 + len(SYSTEMS) + 1) + 1


def test_a_location_that_two_folds_test_is_named(folds):
    lists = Lists()
    check_folds(folds, lists)
    with pytest.raises(UserError, match=r"location \w+-\d+ is in the test splits of both left and again; "):
        check_folds({**folds, "again": folds["left"]}, lists)


def test_a_recipe_is_trained_in_its_share_of_epochs_and_bands():
    peers = check(settings.PeersFile, read_yaml(settings.SETTINGS), settings.SETTINGS).peers
    job = job_of(peers, "cp_mobile_127k", TrainingConfig(batch_size=8), 64, 3)
    assert (job.seed, job.schedule.epochs, job.training.batch_size) == (3, 30, 8)
    assert job.schedule.warmup_epochs == pytest.approx(2.8) and job.schedule.learning_rate == 0.0009
    assert job.augment.spec_augment.max_bands == 12  # 48 of 256


def test_what_ours_ends_with_is_not_the_others():
    values = read_yaml(settings.SETTINGS)
    values["peers"]["recipes"]["asc_1"]["ema"] = 0.9
    peers = check(settings.PeersFile, values, settings.SETTINGS).peers
    ours_has = TrainingConfig(ema=0.99, precise_bn=True)
    published, averaged = (job_of(peers, name, ours_has, 64, 0) for name in ("cp_resnet_128k", "asc_1"))
    assert not published.precise_bn and published.training.ema is None
    assert averaged.precise_bn and averaged.training.ema == 0.9


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("peers.systems=[asc_9]", r"peers\.systems\.0: unknown name 'asc_9', recipes has asc_1, "),
        ("peers.corpora={a-b: data}", r"peers\.corpora: 'a-b' is no name for one; letters"),
        ("peers.corpora={}", r"peers\.corpora: "),
        ("peers.recipes.asc_1.network.tua=2", r"peers\.recipes\.asc_1\.network\.tua: unknown key, the nearest is tau"),
        ("peers.recipes.asc_1.schedule.optimizer=adam", r"peers\.recipes\.asc_1\.schedule\.optimizer: "),
        ("peers.epochs=0", r"peers\.epochs: "),
    ],
)
def test_a_bad_key_is_named(tmp_path, change, told):
    path = tmp_path / "peers.yaml"
    shutil.copy(settings.SETTINGS, path)
    with pytest.raises(UserError, match=told):
        configure(None, [change], path, settings.PeersFile)


def test_an_unknown_fold_is_told_with_the_known_ones(peers, monkeypatch):
    monkeypatch.chdir(peers.folder)
    with pytest.raises(UserError, match=r"peers\.corpora: no fold 'fold9', there are left, right"):
        features(params.load(), SilentJournal(), "fold9")


def test_the_stores_are_of_their_folds(peers, folds):
    stores = [FeatureStore(peers.folder / paths.features(fold)) for fold in folds]
    left, right = ({*store.clips.loc[store.rows("test"), "location"]} for store in stores)
    assert len(left) == len(right) == 10 and not left & right
