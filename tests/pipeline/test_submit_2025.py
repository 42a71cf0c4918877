"""The inference package of 2025: it needs nothing of this project, and answers as the networks here do."""

import copy
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
import yaml
from networks import deployed

from asc_core.compression import package
from asc_core.compression.quantize import Affine
from asc_core.compression.size import storage
from asc_core.corpus.synthetic import SCENES as ALL
from asc_core.deploy.predictor import Engine, Predictor
from asc_core.errors import UserError
from asc_core.features.audio import read_samples
from asc_core.features.config import FeatureConfig
from asc_core.features.log_mel import LogMel
from asc_core.features.store import FeatureStore
from asc_core.files import read_json, write_json
from asc_core.models.config import NetworkConfig
from pipeline.challenge import dcase2025, inference
from pipeline.configure import configure

SCENES = sorted(ALL)
DEVICES = ["a", "s1", "unheard of"] * 4
SECONDS = {2: 2.4, 7: 2.4}  # of clips that are longer than the others
LABEL = "Kim_QTI_task1_1"
NETWORK = NetworkConfig(
    name="cp_mobile", norm="none", width=8, expansion=2.1, multiplier=1.8, strides="baseline", grn=True
)
FEATURES = FeatureConfig(sample_rate=32_000, n_mels=64, window_ms=96, hop_ms=31.25, n_fft=4096)
AFFILIATION = {"abbreviation": "QTI", "institute": "An Institute", "location": "Seoul, Korea"}
AUTHOR = {"lastname": "Kim", "firstname": "B.", "email": "kim@example.org", "corresponding": True}
AUTHORS = [{**AUTHOR, "affiliation": AFFILIATION}]
ABOUT = {"label": LABEL, "name": "CP-Mobile", "abbreviation": "CPM", "authors": AUTHORS}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """What a run leaves that a submission is made from: a corpus of seconds, features of half of it, and a network."""
    folder = tmp_path_factory.mktemp("submit2025") / "project"
    corpus, rng, log_mel = folder / "data/corpus", np.random.default_rng(0), LogMel(FEATURES)
    (corpus / "audio").mkdir(parents=True)
    clips, features = [], []
    for number, device in enumerate(DEVICES):
        name, seconds = f"audio/{SCENES[number % 10]}-lyon-1-{number}-0-{device}.wav", SECONDS.get(number, 1.0)
        loudness = rng.uniform(0.01, 0.3, round(44_100 * seconds))
        soundfile.write(corpus / name, rng.normal(0, loudness).clip(-1, 1), 44_100, subtype="PCM_24")
        clips.append(
            {"filename": name, "scene": SCENES[number % 10], "split": "test", "device": device, "seconds": seconds}
        )
        features.append(log_mel(read_samples(corpus / name, FEATURES.sample_rate)[: FEATURES.sample_rate]))
    table, described = pd.DataFrame(clips), {"config": asdict(FEATURES), "seconds": 1.0}
    for name, columns in (("fold1_test", ["filename", "device_id"]), ("fold1_evaluate", ["filename", "scene_label"])):
        path = corpus / f"evaluation_setup/{name}.csv"
        path.parent.mkdir(exist_ok=True)
        table.rename(columns={"device": "device_id", "scene": "scene_label"})[columns].to_csv(
            path, sep="\t", index=False
        )
    store = folder / "data/features"
    store.mkdir()
    half = len(DEVICES) // 2  # the rest comes from the audio
    np.save(store / "features.npy", np.stack(features[:half]).astype(np.float16))
    table.head(half).to_parquet(store / "clips.parquet", index=False)
    write_json(store / "features.json", described)
    write_json(folder / "data/corpus.json", {"root": "data/corpus"})
    network = deployed(NETWORK, len(SCENES), torch.from_numpy(np.stack(features))[:, None])
    tuned = copy.deepcopy(network)
    next(module for module in tuned.modules() if isinstance(module, Affine)).shift += 0.5
    path = folder / "models/0/devices.asc"
    package.write(path, network, NETWORK, SCENES, devices={"s1": tuned}, features=described)
    configure("quick2025", [], folder / "params.yaml")
    (folder / "about.yaml").write_text(yaml.safe_dump(ABOUT))
    return folder


def test_the_package_is_tried_where_nothing_of_this_project_is_installed(project, monkeypatch):
    monkeypatch.chdir(project)
    made = dcase2025.submit(project / "about.yaml", 0, project / "out")
    assert made == project / "out" / LABEL and not list(made.rglob("build"))
    table = pd.read_csv(made / f"predictions/{LABEL}/output.csv", sep="\t", index_col="filename")
    network, devices, _ = package.read_devices(project / "models/0/devices.asc")
    clips = FeatureStore(project / "data/features").batch(np.arange(6)).float()
    answers, tuned = (each(clips).softmax(dim=1).numpy() for each in (network, devices["s1"]))
    of_s1 = np.array(DEVICES[:6])[:, None] == "s1"
    off = np.abs(table[SCENES].head(6) - np.where(of_s1, tuned, answers)).max(axis=1)
    assert off.drop(table.index[2]).max() < 1e-4 < off.iloc[2]  # the features have the beginning of a longer clip
    for number in SECONDS:
        device = DEVICES[number] if DEVICES[number] in devices else None
        predictor = Predictor(project / "models/0/devices.asc", Engine.torch, device=device)
        heard = predictor(project / "data/corpus" / table.index[number])
        np.testing.assert_allclose(table[SCENES].iloc[number], heard, atol=1e-4)
    assert np.abs(answers - tuned).max(axis=1).min() > 0.001
    assert len(table) == len(DEVICES) and np.ptp(answers, axis=0).max() > 0.01
    complexity = read_json(made / f"predictions/{LABEL}/complexity.json")
    assert {"a", "b", "c", "s1", "s10"} <= complexity.keys()
    assert complexity["s10"]["parameter_bytes"] == storage(network)["parameter_bytes"]
    with pytest.raises(UserError, match="is there already"):
        dcase2025.submit(project / "about.yaml", 0, project / "out")


def test_weights_that_a_counter_does_not_see_are_told(project, monkeypatch, tmp_path):
    """A fault of the package itself, which only the installed one can show."""
    monkeypatch.chdir(project)
    text = Path(inference.__file__).read_text()
    (tmp_path / "inference.py").write_text(text.replace("            expose(network)", "            pass"))
    monkeypatch.setattr(inference, "__file__", str(tmp_path / "inference.py"))
    with pytest.raises(UserError, match=f"{LABEL}: 24 bytes of parameters are seen for a, not "):
        dcase2025.submit(project / "about.yaml", 0, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_beyond_the_rules_or_not_there_is_told_before_anything_is_written(project, monkeypatch, tmp_path):
    monkeypatch.chdir(project)
    large = NetworkConfig(name="cp_mobile", norm="none", width=64)
    network = deployed(large, len(SCENES), FeatureStore(project / "data/features").batch(np.arange(6)).float())
    _, description = package.read(project / "models/0/devices.asc")
    package.write(project / "models/1/devices.asc", network, large, SCENES, features=description["features"])
    with pytest.raises(UserError, match=r"models/1/devices\.asc: [\d,]+ parameter_bytes for device \w+, the rules"):
        dcase2025.submit(project / "about.yaml", 1, tmp_path / "out")
    with pytest.raises(UserError, match=r"devices\.asc: not there; run `dvc repro`"):
        dcase2025.submit(project / "about.yaml", 9, tmp_path / "out")
    (tmp_path / "about.yaml").write_text(yaml.safe_dump({**ABOUT, "label": "Kim_QTI_task1a_1"}))
    with pytest.raises(UserError, match=r"about\.yaml: label: "):
        dcase2025.submit(tmp_path / "about.yaml", 0, tmp_path / "out")
    assert not (tmp_path / "out").exists()
