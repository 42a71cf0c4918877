"""A user's mistake ends in one line that says what and where, exit code 1, and nothing half-written."""

import shutil

import pytest
import soundfile
from workspace import TINY, Workspace

TRAIN, EVALUATE = "evaluation_setup/fold1_train.csv", "evaluation_setup/fold1_evaluate.csv"


@pytest.fixture(scope="module")
def sound(finished, tmp_path_factory) -> Workspace:
    """A workspace on a folder of recordings, not yet run."""
    workspace = Workspace.create(tmp_path_factory.mktemp("sound") / "project", TINY)
    shutil.copytree(finished.folder / "data/synthetic", workspace.folder / "recordings")
    workspace.configure("data.source=folder", "data.path=recordings")
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


def edit(workspace: Workspace, table: str, old: str, new: str, count: int = -1) -> None:
    path = workspace.folder / "recordings" / table
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, count))


def test_a_sound_corpus_passes(workspace):
    done = workspace.run("dvc", "repro", "validate")
    assert "error" not in done.stdout
    assert (workspace.folder / "data/clips.parquet").exists()
    assert (workspace.folder / "reports/data_docs/index.html").exists()


def test_a_misspelt_key(workspace):
    path = workspace.folder / "params.yaml"
    path.write_text(path.read_text().replace("    unseen_devices: [s4, s5, s6]", "    unsen_devices: [s4, s5, s6]"))
    done = workspace.run("python", "-m", "pipeline.validate", check=False)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "validate: error: params.yaml: data.expect.unseen_devices: missing key; "
        "data.expect.unsen_devices: unknown key, remove it or mend its spelling"
    ]


def test_a_row_without_a_file(workspace):
    name = first(workspace)
    (workspace.folder / "recordings" / name).unlink()
    told = refused(workspace)
    assert "every listed audio file is there and whole" in told and f"{name}: no such file" in told


def test_a_row_that_meta_does_not_have(workspace):
    name = first(workspace)
    edit(workspace, "meta.csv", name, "audio/bus-lyon-900-900-a.wav")
    told = refused(workspace)
    assert "every listed file has a row in meta.csv" in told and name in told


def test_a_truncated_wav(workspace):
    path = workspace.folder / "recordings" / first(workspace, TRAIN)
    path.write_bytes(path.read_bytes()[:50_000])
    told = refused(workspace)
    assert path.name in told and "truncated" in told


def test_a_file_that_is_no_audio(workspace):
    path = workspace.folder / "recordings" / first(workspace)
    path.write_text("not a recording")
    told = refused(workspace)
    assert path.name in told and "unreadable" in told


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
    done = workspace.run("python", "-m", "pipeline.download", check=False)
    assert done.returncode == 1
    assert done.stdout.startswith("download: error: recordings/meta.csv: no such file")


def test_a_location_in_both_splits(workspace):
    name, other = first(workspace, TRAIN), first(workspace, EVALUATE)
    place, leaked = ("-".join(each.split("-")[1:3]) for each in (name, other))
    edit(workspace, "meta.csv", f"\t{leaked}\t", f"\t{place}\t")
    told = refused(workspace)
    assert "no location is in both splits" in told and place in told


def test_an_unseen_device_in_training(workspace):
    name = next(
        line.split("\t")[0]
        for line in (workspace.folder / "recordings" / EVALUATE).read_text().splitlines()
        if "-s4.wav" in line
    )
    scene = name.split("/")[1].split("-")[0]
    edit(workspace, EVALUATE, f"{name}\t{scene}\n", "")
    with open(workspace.folder / "recordings" / TRAIN, "a") as table:
        table.write(f"{name}\t{scene}\n")
    told = refused(workspace)
    assert "devices that must stay unseen are not in the training split: s4" in told


def test_a_label_that_disagrees_with_meta(workspace):
    name = first(workspace)
    scene = name.split("/")[1].split("-")[0]
    edit(workspace, EVALUATE, f"{name}\t{scene}\n", f"{name}\ttram\n" if scene != "tram" else f"{name}\tbus\n")
    told = refused(workspace)
    assert "the split lists and meta.csv agree on the scene" in told and name in told


def test_a_file_listed_twice(workspace):
    name = first(workspace)
    path = workspace.folder / "recordings" / EVALUATE
    path.write_text(path.read_text() + path.read_text().splitlines()[1] + "\n")
    told = refused(workspace)
    assert "every file is listed once" in told and name in told


def test_every_bad_row_is_in_the_report(workspace):
    import json

    names = (workspace.folder / "recordings" / EVALUATE).read_text().splitlines()[1:9]
    for line in names:
        (workspace.folder / "recordings" / line.split("\t")[0]).unlink()
    assert "and 3 more" in refused(workspace)
    report = json.loads((workspace.folder / "reports/validation.json").read_text())
    bad = [
        row for expectation in report["expectations"] if not expectation["passed"] for row in expectation["bad_rows"]
    ]
    assert {row["filename"] for row in bad} == {line.split("\t")[0] for line in names}


def test_a_clip_that_breaks_only_when_it_is_decoded(workspace):
    """Headers are checked for all, samples are not: extraction names the clip and leaves nothing half-written."""
    path = workspace.folder / "recordings" / first(workspace)
    samples, rate = soundfile.read(path)
    samples[100] = float("nan")
    soundfile.write(path, samples, rate, subtype="FLOAT")
    done = workspace.run("dvc", "repro", "extract_features", check=False)
    assert done.returncode != 0
    told = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert len(told) == 1 and path.name in told[0] and "not finite" in told[0]
    assert not (workspace.folder / "data/features").exists()
