"""The rendered corpus: layout of the data set, reproducibility, interruption, and the sound of scenes and devices."""

import itertools
import re
import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from full_disk import small_disk
from scipy.signal import stft

from asc_core import UserError
from asc_core.corpus import synthetic
from asc_core.corpus.config import SyntheticConfig
from asc_core.corpus.synthetic import devices, plan, render, scenes, sounds

TINY = SyntheticConfig(clip_seconds=0.5, train_recordings=4, train_copies=2, test_recordings=2, seed=3)
ALL = {"a", "b", "c", "s1", "s2", "s3", "s4", "s5", "s6"}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def table(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / name, sep="\t")


def log_spectrogram(samples: np.ndarray) -> np.ndarray:
    """Third-octave-like band levels in dB, [band, frame]."""
    frequency, _, spectrum = stft(samples, sounds.RATE, nperseg=2048)
    edges = np.geomspace(150, 8000, 17)
    power = np.abs(spectrum) ** 2
    bands = [power[(frequency >= low) & (frequency < high)].mean(axis=0) for low, high in itertools.pairwise(edges)]
    return 10 * np.log10(np.array(bands) + 1e-14)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus") / "synthetic"
    render(folder, TINY, workers=1)
    return folder


@pytest.fixture
def few_scenes(monkeypatch):
    """Two scenes instead of ten, in this process only: render with one worker."""
    monkeypatch.setattr(synthetic, "SCENES", dict(itertools.islice(scenes.SCENES.items(), 2)))


def test_the_files_do_not_depend_on_the_number_of_workers(corpus, tmp_path):
    render(tmp_path / "again", TINY, workers=2)
    assert contents(tmp_path / "again") == contents(corpus)


def test_the_seed_changes_every_recording(few_scenes, corpus, tmp_path):
    render(tmp_path, replace(TINY, seed=4), workers=1)
    for path in (tmp_path / "audio").iterdir():
        one, other = (soundfile.read(folder / "audio" / path.name)[0] for folder in (tmp_path, corpus))
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.7  # as far apart as two recordings, not as two noise floors


def test_lists_and_audio_agree(corpus):
    meta = table(corpus, "meta.csv")
    train, evaluate, test = (
        table(corpus, f"evaluation_setup/fold1_{name}.csv") for name in ("train", "evaluate", "test")
    )
    assert list(meta) == ["filename", "scene_label", "identifier", "source_label"]
    assert list(train) == list(evaluate) == ["filename", "scene_label"]
    assert list(test) == ["filename"]
    assert list(test.filename) == list(evaluate.filename)
    assert list(meta.filename) == [*train.filename, *evaluate.filename]
    assert set(meta.filename) == {f"audio/{path.name}" for path in (corpus / "audio").iterdir()}
    assert meta.filename.is_unique


def test_file_names_follow_the_grammar_of_the_data_set(corpus):
    for row in table(corpus, "meta.csv").itertuples():
        match = re.fullmatch(r"audio/([a-z_]+)-([a-z]+-\d+)-(\d+)-([a-z]\d?)\.wav", str(row.filename))
        assert match and (match[1], match[2], match[4]) == (row.scene_label, row.identifier, row.source_label)


def test_clips_per_scene_and_device(corpus):
    meta = table(corpus, "meta.csv")
    names = table(corpus, "evaluation_setup/fold1_train.csv").filename
    train = meta[meta.filename.isin(names)]
    test = meta[~meta.filename.isin(names)]
    assert meta.scene_label.nunique() == 10
    assert Counter(zip(train.scene_label, train.source_label, strict=True)) == {
        (scene, device): 4 if device == "a" else 2
        for scene in meta.scene_label.unique()
        for device in ALL - {"s4", "s5", "s6"}
    }
    assert set(test.groupby(["scene_label", "source_label"]).size()) == {2}
    assert set(test.source_label) == ALL


def test_the_default_corpus_is_small_enough_to_render_on_a_laptop():
    train, test = plan(SyntheticConfig())
    assert sum(len(item.devices) for item in train) == 600
    assert sum(len(item.devices) for item in test) == 450
    # With six copies for each of five devices no recording needs to exist through three of them.
    assert {len(item.devices) for item in train} == {2}


@pytest.mark.parametrize("config", [TINY, SyntheticConfig(), SyntheticConfig(test_recordings=1)])
def test_splits_share_no_location_and_one_city_is_only_tested(config):
    train, test = plan(config)
    assert not {item.location for item in train} & {item.location for item in test}
    assert {item.city for item in test} - {item.city for item in train} == {"milan"}
    scene_and_city = {(item.location, item.scene, item.city) for item in train + test}
    assert len(scene_and_city) == len({location for location, *_ in scene_and_city})


def test_clips_are_44_1_khz_mono_24_bit_and_never_clipped(corpus):
    for path in (corpus / "audio").iterdir():
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype, info.frames) == (44_100, 1, "PCM_24", 22_050)
        samples, _ = soundfile.read(path)
        assert 1e-3 < np.abs(samples).max() < 0.95


def test_a_complete_corpus_is_left_as_it_is(corpus, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in corpus.rglob("*")}
    monkeypatch.setattr(synthetic, "_write_recording", None)
    render(corpus, TINY)
    assert {path: path.stat().st_mtime_ns for path in corpus.rglob("*")} == before


def test_an_interrupted_corpus_is_completed(few_scenes, tmp_path, monkeypatch):
    render(tmp_path / "whole", TINY, workers=1)
    broken = tmp_path / "broken"
    calls = itertools.count()
    real = synthetic.recording

    def failing(*arguments):
        if next(calls) == 5:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(synthetic, "recording", failing)
    with pytest.raises(KeyboardInterrupt):
        render(broken, TINY, workers=1)
    assert not (broken / "meta.csv").exists()
    kept = {path: path.stat().st_mtime_ns for path in (broken / "audio").iterdir()}
    (broken / "audio" / f".{next(iter(kept)).name}.k1ll3d.wav").touch()
    render(broken, TINY, workers=1)
    assert contents(broken) == contents(tmp_path / "whole")
    assert kept and {path: path.stat().st_mtime_ns for path in kept} == kept


def test_a_corpus_under_repair_is_not_marked_as_complete(few_scenes, tmp_path, monkeypatch):
    render(tmp_path, TINY, workers=1)
    next((tmp_path / "audio").iterdir()).unlink()
    monkeypatch.setattr(synthetic, "recording", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        render(tmp_path, TINY, workers=1)
    assert not (tmp_path / "meta.csv").exists()


def test_a_truncated_or_missing_file_is_rendered_again(few_scenes, tmp_path):
    render(tmp_path, TINY, workers=1)
    before = contents(tmp_path)
    first, second, *_ = (tmp_path / "audio").iterdir()
    first.write_bytes(first.read_bytes()[:1000])
    second.unlink()
    render(tmp_path, TINY, workers=1)
    assert contents(tmp_path) == before


def test_another_configuration_replaces_only_what_was_rendered(few_scenes, tmp_path):
    render(tmp_path, TINY, workers=1)
    (tmp_path / "audio" / "mine.wav").write_text("mine")
    smaller = replace(TINY, train_recordings=2, clip_seconds=0.6)
    render(tmp_path, smaller, workers=1)
    after = contents(tmp_path)
    assert after.pop("audio/mine.wav") == b"mine"
    render(tmp_path / "fresh", smaller, workers=1)
    assert after == contents(tmp_path / "fresh")


@pytest.mark.parametrize("marker", [None, "[]", '{"config": {"clips": 3}}'])
def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path, marker):
    (tmp_path / "thesis.txt").write_text("years of work")
    if marker:
        (tmp_path / "synthetic.json").write_text(marker)
    before = contents(tmp_path)
    with pytest.raises(UserError, match=re.escape(str(tmp_path))):
        render(tmp_path, TINY, workers=1)
    assert contents(tmp_path) == before


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "corpus").write_text("")
    with pytest.raises(UserError, match="is a file"):
        render(tmp_path / "corpus", TINY)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("clip_seconds", 0.1),
        ("clip_seconds", float("nan")),
        ("clip_seconds", "2"),
        ("train_recordings", 0),
        ("train_copies", -1),
        ("train_copies", 31),
        ("test_recordings", 2.5),
        ("seed", True),
        ("seed", -1),
    ],
)
def test_a_bad_value_is_named_in_one_line(field, value):
    with pytest.raises(UserError, match=f"^{field}: .+$"):
        SyntheticConfig(**{field: value})


def test_a_full_disk_is_one_line_and_the_next_run_goes_on(few_scenes, tmp_path):
    with small_disk(tmp_path / "disk", 2) as disk:
        with pytest.raises(UserError, match=rf"^{disk}/tau/audio/\S+: cannot be written \(No space left on device\)$"):
            render(disk / "tau", TINY, workers=1)
        kept = contents(disk / "tau")
        subprocess.run(["mount", "-o", "remount,size=20m", disk], check=True)
        render(disk / "tau", TINY, workers=1)
        whole = contents(disk / "tau")
        assert kept and kept.items() < whole.items()


def test_a_full_disk_is_one_line_of_a_worker_too(tmp_path):
    with (
        small_disk(tmp_path / "disk", 1) as disk,
        pytest.raises(UserError, match=r"^\S+: cannot be written \(No space left on device\)$"),
    ):
        render(disk / "tau", TINY, workers=2)


def test_a_read_only_folder_is_one_line(tmp_path):
    with small_disk(tmp_path / "disk", 1, "ro") as disk, pytest.raises(UserError, match=f"^{disk}/tau.*Read-only"):
        render(disk / "tau", TINY, workers=1)


def test_workers_below_one_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"^workers: "):
        render(tmp_path, TINY, workers=0)


def test_devices_change_the_spectrum_but_not_the_scene():
    rng = np.random.default_rng(0)
    first, second = (scenes.recording(0, "street_pedestrian", "paris", 1, k, 2 * sounds.RATE) for k in range(2))
    reference, other = log_spectrogram(first), log_spectrogram(second)

    def alike(left, right):
        """Correlation of the course of the band levels, whatever their averages."""
        return np.corrcoef(*(x.ravel() - np.repeat(x.mean(axis=1), x.shape[1]) for x in (left, right)))[0, 1]

    for name in sorted(ALL - {"a"}):
        heard = log_spectrogram(devices.through(devices.DEVICES[name], first, rng))
        change = (heard - reference).mean(axis=1)
        assert np.std(change) > 2, name
        assert alike(reference, heard) > 0.8 > alike(other, heard), name


def test_device_responses_differ_have_unit_energy_and_start_at_once():
    responses = [devices.impulse_response(device) for device in devices.DEVICES.values() if device.roughness]
    for response in responses:
        energy = np.cumsum(response**2)
        assert energy[-1] == pytest.approx(1)
        assert energy[len(response) // 4] > 0.95
    levels = [20 * np.log10(np.abs(np.fft.rfft(response))[5:180]) for response in responses]
    assert min(np.std(left - right) for left, right in itertools.combinations(levels, 2)) > 2


def test_compression_reduces_level_differences_by_its_ratio():
    tone = np.sin(2 * np.pi * 1000 * np.arange(44_100) / 44_100)
    quiet, loud = (devices.compress(gain * tone, -40, 2.0)[22_050:].std() for gain in (0.05, 0.5))
    assert 20 * np.log10(loud / quiet) == pytest.approx(10, abs=0.5)
    assert devices.compress(1e-3 * tone, -40, 2.0) == pytest.approx(1e-3 * tone)


def test_scenes_differ_more_than_recordings_of_one_scene():
    spectra = {
        scene: [log_spectrogram(scenes.recording(0, scene, "paris", k, k, sounds.RATE)).mean(axis=1) for k in range(6)]
        for scene in scenes.SCENES
    }
    shapes = {scene: np.array(found) - np.mean(found, axis=1, keepdims=True) for scene, found in spectra.items()}
    within = np.mean([x.std(axis=0).mean() for x in shapes.values()])
    between = np.std([x.mean(axis=0) for x in shapes.values()], axis=0).mean()
    # The mean of six recordings strays by 0.4 standard deviations where there is no scene at all.
    assert between > 0.6 * within
    assert within > 1  # recordings of a scene are not all alike


def test_locations_of_one_city_are_alike_but_not_equal():
    tilts = np.array([[scenes.traits(0, "bus", city, k).tilt for k in range(40)] for city in synthetic.CITIES])
    within = tilts.std(axis=1).mean()
    assert within > 0.1
    # Cities that had nothing of their own would differ by the standard error of their means.
    assert tilts.mean(axis=1).std() > 2 * within / np.sqrt(40)


def test_noise_has_the_asked_tilt():
    level = log_spectrogram(sounds.noise(np.random.default_rng(0), 10 * sounds.RATE, -6)).mean(axis=1)
    octaves = np.log2(8000 / 150) * 15 / 16
    assert (level[-1] - level[0]) / octaves == pytest.approx(-6, abs=0.3)


def test_reverberation_decays_by_60_db_in_its_time():
    click = np.zeros(2 * sounds.RATE)
    click[0] = 1
    wet = sounds.reverberate(np.random.default_rng(0), click, 1.0)
    early, late = (wet[int(t * 44_100) : int((t + 0.1) * 44_100)].std() for t in (0.1, 0.6))
    assert 20 * np.log10(early / late) == pytest.approx(30, abs=2)


def test_a_passing_source_falls_in_pitch():
    tone = np.sin(2 * np.pi * 1000 * np.arange(4 * sounds.RATE) / sounds.RATE)
    heard = sounds.pass_by(np.random.default_rng(0), tone, 20.0, 2.0)
    nearest = int(np.argmax(np.abs(heard)))

    def pitch(samples):
        return np.argmax(np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 4 * sounds.RATE))) / 4

    half = 22_050
    assert pitch(heard[nearest - half - 4410 : nearest - 4410]) == pytest.approx(1000 * (1 + 20 / 343), abs=8)
    assert pitch(heard[nearest + 4410 : nearest + 4410 + half]) == pytest.approx(1000 * (1 - 20 / 343), abs=8)
