"""The challenge's submission package, of a finished run."""

import io
import shutil
import zipfile

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import balanced_accuracy_score, log_loss

from asc_core import UserError
from asc_core.compression import package
from asc_core.files import read_json
from asc_core.models.config import NetworkConfig
from pipeline.challenge import dcase2021 as submit
from pipeline.challenge import dcase2021_format as submission

LABEL = "Kim_QTI_task1a_2"
ABOUT = f"""\
label: {LABEL}
name: Compressed BC-ResNet-ASC
abbreviation: BC-ResNet
authors:
  - lastname: Kim
    firstname: Byeonggeun
    email: kim@example.org
    corresponding: true
    affiliation: {{abbreviation: QTI, institute: An Institute, location: "Seoul, Korea"}}
  - lastname: Yang
    firstname: Seunghan
    email: yang@example.org
    affiliation: {{abbreviation: QTI, institute: An Institute, location: "Seoul, Korea"}}
"""


@pytest.fixture(scope="module")
def two_seeds(finished, tmp_path_factory):
    """A finished workspace with the package of a second seed: the first one's, with another classifier."""
    workspace = finished.copy(tmp_path_factory.mktemp("submit") / "project")
    network, description = package.read(workspace.folder / "models/0/quantized.asc")
    network.classifier.weight.neg_()
    network.classifier.weight[0, 0] = 0
    (workspace.folder / "models/1").mkdir()
    config = NetworkConfig(**description["network"])
    path = workspace.folder / "models/1/quantized.asc"
    package.write(path, network, config, description["labels"], features=description["features"])
    return workspace.folder


@pytest.fixture
def here(two_seeds, monkeypatch):
    """That workspace as the current folder; nothing may be changed in it."""
    monkeypatch.chdir(two_seeds)
    return two_seeds


@pytest.fixture
def mine(two_seeds, tmp_path, monkeypatch):
    """A copy of that workspace as the current folder."""
    folder = tmp_path / "project"
    shutil.copytree(two_seeds, folder, symlinks=True)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def about(tmp_path):
    path = tmp_path / "about.yaml"
    path.write_text(ABOUT)
    return path


def output(folder) -> pd.DataFrame:
    return pd.read_csv(folder / f"{LABEL}.output.csv", sep="\t", index_col="filename")


def meta(folder) -> dict:
    return yaml.safe_load((folder / f"{LABEL}.meta.yaml").read_text())


def test_the_package_holds_what_the_pipeline_has_measured(finished, about, tmp_path):
    done = finished.run("python", "-m", "pipeline.challenge.dcase2021", str(about), "--out", str(tmp_path / "out"))
    assert done.stdout.splitlines()[-1] == str(tmp_path / "out" / f"{LABEL}.zip")
    predictions = pd.read_parquet(finished.folder / "data/predictions/0.parquet")
    expected = predictions[predictions["model"] == "quantized"].set_index("filename")
    table = output(tmp_path / "out")
    scenes = sorted(expected["scene"].unique())
    assert list(table.columns) == ["scene_label", *scenes]
    assert sorted(table.index) == sorted(expected.index)
    np.testing.assert_allclose(table[scenes], expected.loc[table.index, scenes], atol=1e-5)
    assert (table["scene_label"] == table[scenes].idxmax(axis=1)).all()

    told = meta(tmp_path / "out")
    measured = read_json(finished.folder / "reports/seeds/0.json")["quantized"]
    found = told["results"]["development_dataset"]
    assert found["overall"]["accuracy"] == pytest.approx(measured["accuracy"], abs=0.006)
    assert found["overall"]["logloss"] == pytest.approx(measured["log_loss"], abs=6e-5)
    for scene, accuracy in measured["accuracy_by_scene"].items():
        assert found["class_wise"][scene]["accuracy"] == pytest.approx(accuracy, abs=0.006)
    for device, loss in measured["log_loss_by_device"].items():
        assert found["device_wise"][device]["logloss"] == pytest.approx(loss, abs=6e-5)
    size = measured["size"]
    complexity = told["system"]["complexity"]
    assert complexity["total_parameters_non_zero"] == size["nonzero_parameters"]
    assert 0 <= complexity["model_size"] - size["counted_bytes"] / 1024 < 0.01
    assert told["submission"]["label"] == LABEL
    with zipfile.ZipFile(tmp_path / "out" / f"{LABEL}.zip") as pack:
        assert sorted(pack.namelist()) == [f"{LABEL}/{LABEL}.meta.yaml", f"{LABEL}/{LABEL}.output.csv"]
        for name in pack.namelist():
            assert pack.read(name) == (tmp_path / "out" / name.split("/")[1]).read_bytes()


def test_an_ensemble_averages_probabilities_and_adds_sizes(here, about, tmp_path):
    folders = {name: tmp_path / name for name in ("first", "second", "both")}
    for name, seeds in (("first", [0]), ("second", [1]), ("both", [0, 1])):
        submit.submit(about, seeds, folders[name])
    first, second, both = (output(folder).drop(columns="scene_label") for folder in folders.values())
    assert abs(first - second).max().max() > 0.01
    np.testing.assert_allclose(both, (first + second) / 2, atol=2e-8)
    sizes = [meta(folder)["system"]["complexity"] for folder in folders.values()]
    for key in ("total_parameters", "total_parameters_non_zero"):
        assert sizes[2][key] == sizes[0][key] + sizes[1][key]
    assert sizes[2]["model_size"] == pytest.approx(sizes[0]["model_size"] + sizes[1]["model_size"], abs=0.02)
    assert meta(folders["both"])["system"]["description"]["ensemble_method_subsystem_count"] == 2
    assert meta(folders["first"])["system"]["description"]["ensemble_method_subsystem_count"] is None


def test_the_list_of_the_challenge_is_what_is_classified(mine, about, tmp_path):
    """Clips of the test split from the store, whose audio may be gone by now, others from their audio."""
    corpus = mine / "data/synthetic"
    clips = pd.read_csv(corpus / "evaluation_setup/fold1_evaluate.csv", sep="\t")["filename"].tolist()
    shutil.copy(corpus / clips[5], corpus / "audio/unheard.wav")
    for name in clips:
        (corpus / name).unlink()
    listed = corpus / "evaluation_setup/fold1_test.csv"
    listed.write_text("\n".join(["filename", clips[7], "audio/unheard.wav", clips[5]]) + "\n")
    submit.submit(about, [0], tmp_path / "some")
    some = output(tmp_path / "some").drop(columns="scene_label")
    assert list(some.index) == [clips[7], "audio/unheard.wav", clips[5]]
    np.testing.assert_allclose(some.iloc[1], some.iloc[2], atol=1e-3)

    listed.write_text("filename\n\n")
    submit.submit(about, [0], tmp_path / "all")
    everything = output(tmp_path / "all").drop(columns="scene_label")
    assert list(everything.index) == clips
    np.testing.assert_allclose(some.loc[clips[7]], everything.loc[clips[7]], atol=1e-5)


def test_a_store_of_other_features_is_not_used(mine, about, tmp_path):
    submit.submit(about, [0], tmp_path / "before")
    path = mine / "data/features/features.npy"
    zeros = np.zeros_like(np.load(path))
    path.unlink()  # DVC's copy of it is a link
    np.save(path, zeros)
    description = path.with_name("features.json")
    text = description.read_text()
    description.unlink()
    description.write_text(text.replace('"window_ms": 130', '"window_ms": 131'))
    assert description.read_text() != text
    submit.submit(about, [0], tmp_path / "after")
    before, after = (output(tmp_path / name).drop(columns="scene_label") for name in ("before", "after"))
    np.testing.assert_allclose(before, after, atol=1e-3)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (LABEL, "Kim_QTI_task1a_5", "label: "),
        (LABEL, "Kim_task1a_1", "label: "),
        (LABEL, "Kim_QTI_task1b_1", "label: "),
        (": BC-ResNet\n", ": BC-ResNet-A\n", "abbreviation: String should have at most 10 characters"),
        ("corresponding: true", "corresponding: false", "authors: exactly one has to be `corresponding: true`, 0 are"),
        ("email: yang@example.org", "email: yang@example.org\n    corresponding: true", "true`, 2 are"),
        ("kim@example.org", "kim at example", "authors.0.email: "),
        ("firstname: Seunghan\n", "first_name: Seunghan\n", "authors.1.first_name: unknown key"),
        ("location:", "town:", "authors.0.affiliation.location: missing key"),
    ],
)
def test_what_the_user_says_is_held_to_the_format(old, new, told, here, about, tmp_path):
    assert old in ABOUT
    about.write_text(ABOUT.replace(old, new))
    with pytest.raises(UserError) as caught:
        submit.submit(about, [0], tmp_path / "out")
    assert str(caught.value).startswith(f"{about}: ") and told in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_mistake_is_one_line_of_the_command(finished, tmp_path):
    done = finished.run("python", "-m", "pipeline.challenge.dcase2021", str(tmp_path / "absent.yaml"), check=False)
    assert done.returncode == 1
    assert (
        done.stdout.startswith(f"submit: error: {tmp_path}/absent.yaml: no such file") and done.stdout.count("\n") == 1
    )


def test_networks_that_are_too_large_together_are_not_submitted(here, about, tmp_path, monkeypatch):
    submit.submit(about, [0], tmp_path / "out")
    size = read_json(here / "reports/seeds/0.json")["quantized"]["size"]["counted_bytes"]
    monkeypatch.setattr(submit, "LIMIT", 2 * size - 10)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with pytest.raises(UserError, match=f"the challenge allows {2 * size - 10:,}"):
        submit.submit(about, [0, 1], tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    with pytest.raises(UserError, match="names a seed twice"):
        submit.submit(about, [0, 0], tmp_path / "out")
    with pytest.raises(UserError, match=r"models/9/quantized\.asc: "):
        submit.submit(about, [9], tmp_path / "out")


def test_an_ensemble_is_of_networks_that_tell_the_same_scenes(mine, about, tmp_path):
    path = mine / "models/1/quantized.asc"
    network, description = package.read(path)
    labels = [*description["labels"][:-1], "ferry"]
    package.write(path, network, NetworkConfig(**description["network"]), labels, features=description["features"])
    with pytest.raises(UserError, match=r"models/1/quantized\.asc: has other scenes or features than seed 0"):
        submit.submit(about, [0, 1], tmp_path / "out")


def test_the_organisers_compute_from_the_output_what_the_package_says():
    """An answer that is wrong and all but sure: of 8 digits a zero is left, and of a bound of 1e-8 half the loss."""
    rng = np.random.default_rng(0)
    scenes = ["bus", "park", "tram"]
    odds = np.exp(rng.normal(0, 20, (400, 3)))
    names = [f"audio/{number}.wav" for number in range(400)]
    found = pd.DataFrame(odds / odds.sum(axis=1, keepdims=True), names, scenes)
    truth = rng.choice(scenes, 400, p=[0.7, 0.2, 0.1])
    clips = pd.DataFrame({"scene": truth, "device": rng.choice(["a", "s1"], 400)}, names)
    told = submit.scores(found, clips)
    written = pd.read_csv(io.StringIO(submit.output_text(found)), sep="\t", index_col="filename")
    bounded = written[scenes].to_numpy().clip(1e-15, 1 - 1e-15)
    bounded /= bounded.sum(axis=1, keepdims=True)
    assert told.overall.logloss == pytest.approx(log_loss(truth, bounded, labels=scenes), abs=6e-5)
    assert told.overall.accuracy == pytest.approx(
        100 * balanced_accuracy_score(truth, written["scene_label"]), abs=6e-3
    )
    for device, scores in told.device_wise.items():
        own = (clips["device"] == device).to_numpy()
        expected = 100 * balanced_accuracy_score(truth[own], written["scene_label"][own])
        assert scores.accuracy == pytest.approx(expected, abs=6e-3)


# The format of the output

LISTED = ["audio/1.wav", "audio/2.wav", "audio/3.wav"]
TABLE = pd.DataFrame([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4], [0.05, 0.9, 0.05]], LISTED, ["tram", "bus", "park"])


def good() -> pd.DataFrame:
    return pd.read_csv(io.StringIO(submit.output_text(TABLE)), sep="\t")


def broken(table: pd.DataFrame) -> str:
    with pytest.raises(UserError) as caught:
        submission.check_output(table.to_csv(sep="\t", index=False), LISTED, ["tram", "bus", "park"], "x.csv")
    return str(caught.value)


def test_output_is_as_the_challenge_wants_it():
    text = submit.output_text(TABLE)
    assert text.splitlines()[:2] == [
        "filename\tscene_label\tbus\tpark\ttram",
        "audio/1.wav\ttram\t0.2\t0.1\t0.7",
    ]
    submission.check_output(text, LISTED, ["tram", "bus", "park"], "x.csv")


@pytest.mark.timeout(60)  # a tenth of a second; minutes where each name costs all names
def test_an_output_as_long_as_that_of_2022_is_checked_in_no_time():
    names = [f"audio/{number}.wav" for number in range(30_000)]
    text = submit.output_text(pd.DataFrame([[0.7, 0.2, 0.1]] * len(names), names, ["tram", "bus", "park"]))
    submission.check_output(text, names, ["tram", "bus", "park"], "x.csv")


def test_every_rule_of_the_output_is_checked():
    assert broken(good()[["filename", "scene_label", "tram", "bus", "park"]]).startswith("x.csv: columns have to be ")
    assert broken(good().iloc[:2]) == "x.csv: audio/3.wav is in the evaluation list and not here"
    assert broken(good().iloc[[0, 1, 2, 2]]) == "x.csv: audio/3.wav is listed twice"
    assert "audio/9.wav is not in the evaluation list" in broken(good().replace("audio/1.wav", "audio/9.wav"))
    assert broken(good().replace({"bus": {0.3: 0.31}})) == (
        "x.csv: audio/2.wav has probabilities that do not add up to 1"
    )
    assert "audio/2.wav has probabilities that are no numbers" in broken(good().replace({"bus": {0.3: np.nan}}))
    assert "audio/3.wav has probabilities that are no numbers" in broken(
        good().replace({"bus": {0.9: 1.2}, "tram": {0.05: -0.25}})
    )
    assert broken(good().replace({"scene_label": {"tram": "park"}})) == (
        "x.csv: audio/1.wav has a scene_label that is not the most probable scene"
    )
