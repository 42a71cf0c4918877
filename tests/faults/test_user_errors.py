"""A user's mistake ends in one line that says what and where, exit code 1, and nothing half-written."""

import json
import shutil

import numpy as np
import pytest
import soundfile
from workspace import TINY, Workspace

TRAIN, EVALUATE = "evaluation_setup/fold1_train.csv", "evaluation_setup/fold1_evaluate.csv"


@pytest.fixture(scope="module")
def sound(rendered, tmp_path_factory) -> Workspace:
    """A workspace on a folder of recordings, not yet run."""
    workspace = Workspace.create(tmp_path_factory.mktemp("sound") / "project", TINY)
    shutil.copytree(rendered, workspace.folder / "recordings")
    workspace.configure("data.source=folder", "data.path=recordings")
    return workspace


@pytest.fixture(scope="module")
def validated(sound, tmp_path_factory) -> Workspace:
    """The same, validated."""
    workspace = sound.copy(tmp_path_factory.mktemp("validated") / "project")
    assert "error" not in workspace.run("dvc", "repro", "validate").stdout
    return workspace


@pytest.fixture
def workspace(sound, tmp_path) -> Workspace:
    return sound.copy(tmp_path / "project")


def refused(workspace: Workspace) -> str:
    """The one line in which `dvc repro` says what is wrong."""
    done = workspace.run("dvc", "repro", "validate", check=False)
    assert done.returncode != 0
    assert "Traceback" not in done.stdout
    told = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert len(told) == 1, done.stdout
    assert not (workspace.folder / "data/clips.parquet").exists()
    return told[0]


def first(workspace: Workspace, table: str = EVALUATE) -> str:
    return (workspace.folder / "recordings" / table).read_text().splitlines()[1].split("\t")[0]


def test_a_sound_corpus_passes(validated):
    assert (validated.folder / "data/clips.parquet").exists()
    assert (validated.folder / "reports/data_docs/index.html").exists()


def test_a_misspelt_key(workspace):
    path = workspace.folder / "params.yaml"
    path.write_text(path.read_text().replace("    unseen_devices: [s4, s5, s6]", "    unsen_devices: [s4, s5, s6]"))
    done = workspace.run("python", "-m", "pipeline.stages.validate", check=False)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "validate: error: params.yaml: data.expect.unseen_devices: missing key; "
        "data.expect.unsen_devices: unknown key, the nearest is unseen_devices"
    ]


def test_an_empty_corpus(workspace):
    for table in ("meta.csv", TRAIN, EVALUATE):
        path = workspace.folder / "recordings" / table
        path.write_text(path.read_text().splitlines()[0] + "\n")
    done = workspace.run("dvc", "repro", check=False)
    assert done.returncode != 0
    told = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert len(told) == 1 and "meta.csv: has a header but no row" in told[0]
    assert "Traceback" not in done.stdout


def test_a_folder_that_is_no_corpus(workspace):
    shutil.rmtree(workspace.folder / "recordings")
    (workspace.folder / "recordings").mkdir()
    done = workspace.run("python", "-m", "pipeline.stages.download", check=False)
    assert done.returncode == 1
    assert done.stdout.startswith("download: error: recordings/meta.csv: no such file")


def test_every_bad_row_is_in_the_report(workspace):
    """What validation can find is in test_planted_faults.py; this is how it ends for the user."""
    names = (workspace.folder / "recordings" / EVALUATE).read_text().splitlines()[1:9]
    for line in names:
        (workspace.folder / "recordings" / line.split("\t")[0]).unlink()
    told = refused(workspace)
    assert told.startswith("validate: error: recordings: failed: every listed audio file is there and whole: audio/")
    assert f"{names[0].split()[0]}: no such file, " in told and " and 3 more (all rows in reports/" in told
    report = json.loads((workspace.folder / "reports/validation.json").read_text())
    bad = [
        row for expectation in report["expectations"] if not expectation["passed"] for row in expectation["bad_rows"]
    ]
    assert {row["filename"] for row in bad} == {line.split("\t")[0] for line in names}


def test_a_clip_that_breaks_after_validation(validated, tmp_path):
    """Extraction names the clip and leaves nothing half-written."""
    workspace = validated.copy(tmp_path / "project")
    path = workspace.folder / "recordings" / first(workspace)
    samples, rate = soundfile.read(path)
    samples[100] = float("nan")
    soundfile.write(path, samples, rate, subtype="FLOAT")
    done = workspace.run("python", "-m", "pipeline.stages.extract_features", check=False)
    assert done.returncode == 1
    told = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert len(told) == 1 and path.name in told[0] and "not finite" in told[0]
    assert "Traceback" not in done.stdout
    assert not (workspace.folder / "data/features").exists()


def test_clips_that_are_cut_or_repeated_are_counted(workspace):
    """The median of the lengths is what all get where there is no common one."""
    root = workspace.folder / "recordings"
    for table in (TRAIN, EVALUATE):
        for number, line in enumerate((root / table).read_text().splitlines()[1:]):
            samples, rate = soundfile.read(root / line.split("\t")[0])
            samples = np.tile(samples, 2)[: 10_000 + 500 * (number % 3)]
            soundfile.write(root / line.split("\t")[0], samples, rate, subtype="PCM_24")
    workspace.run("dvc", "repro", "validate")
    done = workspace.run("python", "-m", "pipeline.stages.extract_features")
    assert "all get their median, 0.238 s: 53 longer ones are cut, 54 shorter ones repeated" in done.stdout
    (journal,) = (workspace.folder / ".state/tracking").glob("*/extract_features-*.jsonl")
    events = map(json.loads, journal.read_text().splitlines())
    values = {key: value for each in events if each["event"] == "metrics" for key, value in each["values"].items()}
    assert (values["clips_cut"], values["clips_repeated"], values["seconds"]) == (53, 54, 0.238)
