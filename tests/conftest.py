"""Shared by the tests: a tiny rendered corpus, and feature stores with random but learnable content."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock
from workspace import TINY, Workspace

from asc_core.corpus.config import SyntheticConfig
from asc_core.corpus.synthetic import render
from asc_core.features.config import FeatureConfig
from asc_core.features.store import FeatureStore
from asc_core.files import write_json

SCENES = ("bus", "park", "tram")
BANDS, FRAMES = 32, 24


@pytest.fixture(scope="session")
def rendered(tmp_path_factory) -> Path:
    """The smallest corpus that has all ten scenes and all nine devices."""
    folder = tmp_path_factory.mktemp("rendered") / "corpus"
    config = SyntheticConfig(clip_seconds=0.5, train_recordings=2, train_copies=1, test_recordings=1, seed=1)
    render(folder, config, workers=1)
    return folder


@pytest.fixture(scope="session")
def write_store() -> Callable[[Path, pd.DataFrame, np.ndarray], FeatureStore]:
    """Writes a feature store as the extraction leaves it."""

    def write(folder: Path, clips: pd.DataFrame, features: np.ndarray) -> FeatureStore:
        folder.mkdir(parents=True)
        config = FeatureConfig(n_mels=features.shape[1])
        np.save(folder / "features.npy", features.astype(np.float16))
        clips.to_parquet(folder / "clips.parquet", index=False)
        write_json(folder / "features.json", {"config": asdict(config), "seconds": 0.03 * (features.shape[2] - 1)})
        return FeatureStore(folder)

    return write


@pytest.fixture(scope="session")
def store(tmp_path_factory, write_store) -> FeatureStore:
    """48 training clips of devices a and b, 18 test clips of a, b and c; every scene pulses at a rate of its own."""
    rng = np.random.default_rng(0)
    rows, features = [], []
    for split, copies, devices in (("train", 16, "ab"), ("test", 6, "abc")):
        for number, scene in enumerate(SCENES):
            for copy in range(copies):
                device = devices[copy % len(devices)]
                rows.append((f"audio/{scene}-city-{copy}-0-{device}.wav", scene, split, scene, f"city-{copy}", device))
                pulse = 2 * np.sin(2 * np.pi * (number + 1) * (np.arange(FRAMES) + rng.uniform(0, FRAMES)) / FRAMES)
                colour = "abc".index(device) * np.linspace(-1, 1, BANDS)[:, None]
                features.append(-5 + pulse + colour + rng.normal(0, 0.5, (BANDS, FRAMES)))
    columns = ["filename", "scene", "split", "meta_scene", "location", "device"]
    clips = pd.DataFrame(rows, columns=columns).assign(seconds=0.03 * (FRAMES - 1))
    return write_store(tmp_path_factory.mktemp("store") / "features", clips, np.stack(features))


@pytest.fixture(scope="session")
def once(tmp_path_factory, worker_id) -> Callable[[str, Callable[[Path], object]], Path]:
    """Makes a folder of that name once for all processes of the test run."""
    own = tmp_path_factory.getbasetemp()

    def once(name: str, make: Callable[[Path], object]) -> Path:
        folder = (own if worker_id == "master" else own.parent) / name
        done = folder.with_suffix(".done")
        with FileLock(folder.with_suffix(".lock")):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                make(folder)
                done.touch()
        return folder

    return once


@pytest.fixture(scope="session")
def finished(tmp_path_factory, once) -> Workspace:
    """A workspace in which `dvc repro` has run to its end on the tiny corpus; copy it before changing anything."""
    original = once("original", lambda folder: Workspace.create(folder, TINY).run("dvc", "repro"))
    return Workspace(original).copy(tmp_path_factory.mktemp("finished") / "project")


@pytest.fixture(scope="session")
def with_second_seed(finished, once) -> Workspace:
    """A finished workspace that has been run again with a second seed, 3; `ran.json` has the stages of that run.

    Copy it before changing anything.
    """

    def make(folder: Path) -> None:
        workspace = finished.copy(folder)
        workspace.configure("seeds=[0, 3]")
        write_json(folder / "ran.json", workspace.ran())

    return Workspace(once("second_seed", make))


@pytest.fixture(scope="session")
def set_up_prefect(once) -> Callable[[dict[str, str]], None]:
    """Puts the database of a new Prefect server into the home that an environment names; a server takes seconds to
    make it anew."""

    def make(folder: Path) -> None:
        command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"]
        subprocess.run(command, env={**os.environ, "PREFECT_HOME": str(folder)}, check=True, capture_output=True)

    def set_up_prefect(environment: dict[str, str]) -> None:
        home = Path(environment["PREFECT_HOME"])
        home.mkdir(parents=True, exist_ok=True)
        shutil.copy(once("prefect", make) / "prefect.db", home)

    return set_up_prefect
