"""Log-mel energies, their extraction from a corpus, and the store that it leaves."""

import json
import os
import shutil
import subprocess
import sys
import tracemalloc
from dataclasses import asdict

import librosa
import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from full_disk import small_disk

from asc_core.corpus.layout import read_corpus
from asc_core.errors import UserError
from asc_core.features.audio import LOUDEST, read_samples
from asc_core.features.config import FeatureConfig
from asc_core.features.extraction import extract
from asc_core.features.frontend import Frontend
from asc_core.features.log_mel import ENERGY_FLOOR, LogMel, fit_length
from asc_core.features.store import FeatureStore

PUBLISHED = FeatureConfig()
SMALL = FeatureConfig(n_mels=32)
RATE = 16_000


def tone(seconds: float, rate: int = RATE, frequency: float = 440) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def noise(seconds: float) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, round(seconds * RATE)).astype(np.float32)


@pytest.mark.filterwarnings("ignore:n_fft=2080 is too large", "ignore:n_fft=4096 is too large")
@pytest.mark.parametrize("samples", [noise(1), tone(1) + 0.001 * noise(1), noise(0.05), tone(0.05)])
@pytest.mark.parametrize("config", [PUBLISHED, FeatureConfig(RATE, 128, 96, 31.25, n_fft=4096)])
def test_log_mel_energies_are_those_of_librosa(samples, config):
    expected = librosa.feature.melspectrogram(
        y=samples.astype(float),
        sr=RATE,
        n_fft=config.n_fft or 2080,
        win_length=config.window_length,
        hop_length=config.hop_length,
        n_mels=config.n_mels,
        pad_mode="constant",
    )
    result = LogMel(config)(samples)
    # Far below the loudest energy the result is rounding noise of the Fourier transform.
    audible = expected > max(ENERGY_FLOOR, 1e-8 * expected.max())
    assert result.shape == expected.shape and result.dtype == np.float32 and audible.mean() > 0.1
    np.testing.assert_allclose(result[audible], np.log(expected[audible]), atol=1e-3)


def test_digital_silence_has_the_energy_of_the_floor():
    np.testing.assert_allclose(LogMel(SMALL)(np.zeros(4_000, np.float32)), np.log(ENERGY_FLOOR), rtol=1e-6)


@pytest.mark.parametrize("seconds", [0.03, 0.5, 1.0, 1.017, 10.0])
@pytest.mark.parametrize("config", [PUBLISHED, FeatureConfig(22_050, 64, 93, 23)])
def test_the_number_of_frames_is_the_predicted_one(config, seconds):
    samples = np.zeros(round(seconds * config.sample_rate), np.float32)
    assert LogMel(config)(samples).shape == (config.n_mels, config.frames(seconds))


def test_the_published_configuration():
    assert PUBLISHED.fft_length == PUBLISHED.window_length
    assert (PUBLISHED.fft_length, PUBLISHED.hop_length, PUBLISHED.n_mels, PUBLISHED.frames(10)) == (2080, 480, 256, 334)


def test_the_configuration_of_the_baselines_of_2024_and_2025():
    config = FeatureConfig(32_000, 256, 96, 15.625, n_fft=4096)
    assert (config.window_length, config.fft_length, config.hop_length) == (3072, 4096, 500)
    assert (config.n_mels, config.frames(1)) == (256, 65)
    with pytest.raises(UserError, match="n_fft: needs at least the 3072 samples of a window, got 2048"):
        FeatureConfig(32_000, 256, 96, 15.625, n_fft=2048)


@pytest.mark.parametrize(
    "values", [{"n_mels": 40}, {"n_mels": 0}, {"hop_ms": 0}, {"window_ms": -1}, {"sample_rate": 0}]
)
def test_an_impossible_configuration_is_an_error_that_names_the_key(values):
    with pytest.raises(UserError, match=f"^{next(iter(values))}: needs .*, got "):
        FeatureConfig(**values)


def test_the_features_do_not_depend_on_sample_rate_and_channels(tmp_path):
    files = {"mono.wav": (tone(0.5), RATE), "stereo.wav": (np.stack([tone(0.5, 48_000)] * 2, axis=1), 48_000)}
    for name, (samples, rate) in files.items():
        soundfile.write(tmp_path / name, samples, rate, subtype="PCM_24")
    mono, stereo = (LogMel(PUBLISHED)(read_samples(tmp_path / name, RATE)) for name in files)
    inner = (slice(None), slice(4, -4))  # the resampler's ends differ
    loud = mono[inner] > mono.max() - 10
    assert mono.shape == stereo.shape and loud.sum() > 30
    np.testing.assert_allclose(stereo[inner][loud], mono[inner][loud], atol=0.01)


def test_a_longer_clip_is_cut_and_a_shorter_one_repeated():
    samples = np.arange(5, dtype=np.float32)
    assert fit_length(samples, 3).tolist() == [0, 1, 2]
    assert fit_length(samples, 5).tolist() == [0, 1, 2, 3, 4]
    assert fit_length(samples, 12).tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]


def test_windows_are_those_of_the_whole_file_whatever_its_length(tmp_path):
    """Shorter than a window, a window, and several with a rest that is none."""
    frontend = Frontend({"features": {"config": asdict(SMALL), "seconds": 0.5}})
    for seconds, count in ((0.2, 1), (0.5, 1), (0.99, 1), (1.7, 3)):
        sound = noise(seconds)
        soundfile.write(tmp_path / "clip.wav", sound, RATE, subtype="FLOAT")
        windows = list(frontend.windows(tmp_path / "clip.wav"))
        starts = [RATE // 2 * number for number in range(count)]
        expected = [LogMel(SMALL)(fit_length(sound[start:], RATE // 2)).astype(np.float16) for start in starts]
        assert [window.shape for window in windows] == [(1, 32, SMALL.frames(0.5))] * count
        assert windows[0].dtype == np.float32 and np.array_equal(np.stack(windows)[:, 0], np.stack(expected))
        assert np.array_equal(frontend.read(tmp_path / "clip.wav"), np.stack(windows))
        assert np.array_equal(frontend(sound), np.stack(windows))


@pytest.mark.parametrize("form", [("wav", "PCM_U8"), ("wav", "PCM_24"), ("flac", "PCM_16")], ids="-".join)
def test_memory_does_not_grow_with_the_length_of_a_file(tmp_path, form):
    path, rate = tmp_path / f"long.{form[0]}", 48_000
    with soundfile.SoundFile(path, "w", rate, 1, subtype=form[1]) as file:
        for _ in range(15):
            file.write(np.random.default_rng(0).uniform(-0.5, 0.5, 60 * rate))
    frontend = Frontend({"features": {"config": asdict(SMALL), "seconds": 10.0}})
    next(frontend.windows(path))  # what is imported at the first use
    tracemalloc.start()
    try:
        count = sum(1 for _ in frontend.windows(path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 90
    assert peak < 4 * 15 * 60 * rate / 3  # bytes: a third of the decoded file


def test_log_energies_of_the_loudest_sound_there_may_be_fit_half_precision():
    """So features are finite wherever samples are in range."""
    loudest = np.full(2 * RATE, LOUDEST, np.float32) * np.resize([1, -1], 2 * RATE).astype(np.float32)
    for sound in (loudest, np.abs(loudest), LOUDEST * 2 * tone(2)):
        for config in (PUBLISHED, FeatureConfig(window_ms=1000)):
            energies = LogMel(config)(sound)
            assert np.isfinite(energies).all() and np.abs(energies).max() < 100 < np.finfo(np.float16).max


@pytest.fixture(scope="module")
def clips(rendered):
    """Some 30 clips of both splits, in the columns of a validated corpus."""
    return read_corpus(rendered).iloc[::5].reset_index(drop=True).assign(seconds=0.5)


@pytest.fixture
def corpus(rendered, clips, tmp_path):
    """A copy whose clips a test may spoil."""
    (tmp_path / "corpus" / "audio").mkdir(parents=True)
    for name in clips["filename"]:
        shutil.copy2(rendered / name, tmp_path / "corpus" / name)
    return tmp_path / "corpus"


def features_of(path):
    return LogMel(SMALL)(fit_length(read_samples(path, RATE), RATE // 2)).astype(np.float16)


def test_the_store_holds_the_features_of_every_clip_whatever_the_number_of_workers(rendered, clips, tmp_path):
    for name, workers in (("store1", None), ("store2", 2)):
        extract(rendered, clips, SMALL, tmp_path / name, tmp_path / "work", workers)
    store, other = FeatureStore(tmp_path / "store1"), FeatureStore(tmp_path / "store2")
    assert store.array.dtype == np.float16 and store.array.shape == (len(clips), 32, SMALL.frames(0.5))
    torch.set_num_threads(1)
    for row, name in enumerate(clips["filename"]):
        np.testing.assert_allclose(store.array[row], features_of(rendered / name), atol=0.02)
    assert np.array_equal(store.array, other.array)
    pd.testing.assert_frame_equal(store.clips, clips)
    assert store.config == SMALL and store.description["seconds"] == 0.5
    assert {path.name for path in tmp_path.iterdir()} == {"store1", "store2"}
    assert {path.name for path in (tmp_path / "store1").iterdir()} == {"features.npy", "clips.parquet", "features.json"}


def test_an_interrupted_extraction_continues_and_does_changed_clips_again(corpus, clips, tmp_path):
    folder, work = tmp_path / "store", tmp_path / "work"
    paths = [corpus / name for name in clips["filename"]]
    good = paths[-1].read_bytes()
    paths[-1].write_bytes(b"not sound")
    folder.mkdir()
    (folder / "features.npy").write_bytes(b"old")
    with pytest.raises(UserError, match=str(paths[-1])):
        extract(corpus, clips, SMALL, folder, work, 1)
    assert [(path.name, path.read_bytes()) for path in folder.iterdir()] == [("features.npy", b"old")]

    paths[-1].write_bytes(good)
    before = [features_of(path) for path in paths[:2]]
    # A clip that looks untouched is not read again; one that was replaced is.
    status = paths[0].stat()
    replacement = paths[1].read_bytes()
    paths[0].write_bytes(bytes(44) + replacement[44:])
    os.utime(paths[0], ns=(status.st_atime_ns, status.st_mtime_ns))
    soundfile.write(paths[1], tone(0.5), RATE)
    extract(corpus, clips, SMALL, folder, work, 1)
    store = FeatureStore(folder)
    np.testing.assert_allclose(store.array[0], before[0], atol=0.02)
    np.testing.assert_allclose(store.array[1], features_of(paths[1]), atol=0.02)
    assert not np.allclose(store.array[1], before[1], atol=0.5)
    for row, path in enumerate(paths[2:], start=2):
        np.testing.assert_allclose(store.array[row], features_of(path), atol=0.02)
    assert not work.exists()


def test_all_clips_get_the_most_common_length(corpus, clips, tmp_path):
    few = clips.head(4)
    soundfile.write(corpus / few["filename"][0], tone(0.2), RATE)
    soundfile.write(corpus / few["filename"][1], tone(0.9), RATE)
    extract(corpus, few.assign(seconds=[0.2, 0.9, 0.5, 0.5]), SMALL, tmp_path / "store", tmp_path / "work", 1)
    store = FeatureStore(tmp_path / "store")
    assert store.array.shape == (4, 32, SMALL.frames(0.5)) and store.description["seconds"] == 0.5
    for row, name in enumerate(few["filename"]):
        np.testing.assert_allclose(store.array[row], features_of(corpus / name), atol=0.02)


def test_clips_without_a_common_length_get_the_median(corpus, clips, tmp_path):
    """The shortest, a broken recording, would cut all others to nothing."""
    few = clips.head(5)
    seconds = [0.03, 0.51, 0.52, 0.5, 0.53]
    for name, length in zip(few["filename"], seconds, strict=True):
        soundfile.write(corpus / name, noise(length), RATE)
    extract(corpus, few.assign(seconds=seconds), SMALL, tmp_path / "store", tmp_path / "work", 1)
    assert FeatureStore(tmp_path / "store").description["seconds"] == 0.51


def test_a_full_disk_is_told_before_anything_is_extracted(corpus, clips, tmp_path):
    """Memory that is mapped to a file for which the disk has no room would kill the processes."""
    few = pd.concat([clips.head(4)] * 800, ignore_index=True)  # 3.5 MB
    with small_disk(tmp_path / "disk", megabytes=2) as disk:
        with pytest.raises(UserError, match=r"features\.npy: \d+ MB are needed and 2 MB free; make room$"):
            extract(corpus, few, SMALL, disk / "store", disk / "work", 1)
        assert not [path for path in disk.rglob("*") if path.is_file()]


@pytest.mark.filterwarnings("ignore")
def test_room_that_the_disk_promises_but_does_not_have_is_told_too(corpus, clips, tmp_path):
    """As with a quota: here, a limit on the size of a file that a process may write."""
    code = (
        "import resource, sys, pandas as pd; from pathlib import Path\n"
        "from asc_core.features.extraction import extract; from asc_core.features.config import FeatureConfig\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))\n"
        "corpus, table, out = map(Path, sys.argv[1:])\n"
        "extract(corpus, pd.read_parquet(table), FeatureConfig(n_mels=32), out / 'store', out / 'work', 1)"
    )
    pd.concat([clips.head(4)] * 400, ignore_index=True).to_parquet(tmp_path / "clips.parquet")
    command = [sys.executable, "-c", code, corpus, tmp_path / "clips.parquet", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True)
    told = done.stderr.splitlines()[-1]
    assert told.startswith("asc_core.errors.UserError: ") and told.endswith("cannot be written (File too large)")


def test_links_where_the_extraction_writes_are_replaced_and_not_followed(corpus, clips, tmp_path):
    few, precious = clips.head(4), tmp_path / "precious"
    precious.mkdir()
    (precious / "features.npy").write_bytes(b"precious")
    (tmp_path / "store").symlink_to(precious)
    (tmp_path / "work").symlink_to(precious)
    extract(corpus, few, SMALL, tmp_path / "store", tmp_path / "work", 1)
    assert [(path.name, path.read_bytes()) for path in precious.iterdir()] == [("features.npy", b"precious")]
    assert not (tmp_path / "store").is_symlink() and len(FeatureStore(tmp_path / "store").clips) == 4


def test_links_in_what_an_interrupted_extraction_left_are_replaced_too(corpus, clips, tmp_path):
    few, work, precious = clips.head(4), tmp_path / "work", tmp_path / "precious.npy"
    good = (corpus / few["filename"][3]).read_bytes()
    (corpus / few["filename"][3]).write_bytes(b"not sound")
    with pytest.raises(UserError, match="unreadable"):
        extract(corpus, few, SMALL, tmp_path / "store", work, 1)
    (corpus / few["filename"][3]).write_bytes(good)
    (part,) = work.iterdir()
    for name in ("features.npy", "done.npy", "clips.parquet", "features.json"):
        np.save(precious, np.full((4, 32, SMALL.frames(0.5)), 7, np.float16))
        (part / name).unlink(missing_ok=True)
        (part / name).symlink_to(precious)
    before = precious.read_bytes()
    extract(corpus, few, SMALL, tmp_path / "store", work, 1)
    assert precious.read_bytes() == before
    np.testing.assert_allclose(
        FeatureStore(tmp_path / "store").array[0], features_of(corpus / few["filename"][0]), atol=0.02
    )


def test_a_missing_clip_is_an_error_that_names_it(corpus, clips, tmp_path):
    (corpus / clips["filename"][2]).unlink()
    with pytest.raises(UserError, match=clips["filename"][2]):
        extract(corpus, clips.head(4), SMALL, tmp_path / "store", tmp_path / "work", 1)


def test_a_batch_holds_the_rows_asked_for_in_their_order(store):
    rows = np.array([7, 3, 60, 3, 0])
    batch = store.batch(rows)
    assert batch.shape == (5, 1, 32, 24) and batch.dtype == torch.float16
    for number, row in enumerate(rows):
        assert np.array_equal(batch[number, 0].numpy(), store.array[row])


def test_a_store_knows_its_splits_labels_and_unseen_devices(store):
    assert store.scenes == ["bus", "park", "tram"] and store.unseen == ["c"]
    assert store.rows("train").tolist() == list(range(48)) and store.rows("test").tolist() == list(range(48, 66))
    assert [store.scenes[label] for label in store.labels] == store.clips["scene"].tolist()


def test_statistics_are_those_of_the_training_split(store):
    part = np.asarray(store.array[:48], np.float64)
    mean, std = store.statistics(chunk=5)
    np.testing.assert_allclose(mean.numpy(), part.mean(axis=(0, 2)), rtol=1e-5)
    np.testing.assert_allclose(std.numpy(), part.std(axis=(0, 2)), rtol=1e-5)


def test_the_key_of_a_store_changes_with_its_array(store, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(store.folder, copy)
    assert FeatureStore(copy).key() == store.key()
    os.utime(copy / "features.npy", ns=(0, 0))
    assert FeatureStore(copy).key() != store.key()


@pytest.mark.parametrize("name", ["features.npy", "clips.parquet", "features.json"])
@pytest.mark.parametrize("content", [None, b"", b"garbage", b"{}"])
def test_a_folder_that_is_no_store_is_an_error_that_names_it(store, tmp_path, name, content):
    copy = tmp_path / "copy"
    shutil.copytree(store.folder, copy)
    (copy / name).unlink()
    if content is not None:
        (copy / name).write_bytes(content)
    with pytest.raises(UserError, match=str(copy)):
        FeatureStore(copy)


def test_a_store_with_a_cut_array_is_an_error(store, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(store.folder, copy)
    os.truncate(copy / "features.npy", (copy / "features.npy").stat().st_size - 2)
    with pytest.raises(UserError, match=str(copy)):
        FeatureStore(copy)


def test_a_store_of_another_configuration_is_an_error(store, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(store.folder, copy)
    (copy / "features.json").write_text(json.dumps({"config": {"bands": 3}}))
    with pytest.raises(UserError, match=str(copy)):
        FeatureStore(copy)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """A corpus of two recordings of three seconds, each as one file, and in parts of a second; and both as tables."""
    folder = tmp_path_factory.mktemp("recordings")
    (folder / "audio").mkdir()
    whole, parts = [], []
    for split, device in (("train", "a"), ("test", "b")):
        sound = noise(3) if device == "a" else tone(3)
        name = f"audio/bus-lyon-1-0-{device}.wav"
        soundfile.write(folder / name, sound, RATE, subtype="PCM_24")
        row = {"scene": "bus", "split": split, "device": device}
        whole.append({"filename": name, "seconds": 3.0, **row})
        for part in (2, 0, 1):  # in the order in which a list may have them
            name = f"audio/bus-lyon-1-0-{part}-{device}.wav"
            soundfile.write(folder / name, sound[part * RATE : (part + 1) * RATE], RATE, subtype="PCM_24")
            parts.append({"filename": name, "seconds": 1.0, **row})
    return folder, pd.DataFrame(whole), pd.DataFrame(parts)


def extracted(recordings, table, tmp_path, **changes) -> FeatureStore:
    extract(recordings[0], table, FeatureConfig(n_mels=32, **changes), tmp_path / "store", tmp_path / "work", 1)
    return FeatureStore(tmp_path / "store")


def test_recordings_are_cut_into_clips(recordings, tmp_path):
    _, whole, parts = recordings
    cut = extracted(recordings, whole, tmp_path, clip_seconds=1.0)
    assert cut.clips["filename"].tolist() == sorted(parts["filename"], key=lambda name: (name[-5:], name))
    assert cut.clips["split"].tolist() == ["train"] * 3 + ["test"] * 3 and set(cut.clips["seconds"]) == {1.0}
    files = extracted(recordings, parts.sort_values(["split", "filename"], ascending=[False, True]), tmp_path)
    assert np.array_equal(cut.array, files.array)


def test_parts_of_a_recording_are_put_together(recordings, tmp_path):
    _, whole, parts = recordings
    joined = extracted(recordings, parts, tmp_path / "joined", clip_seconds=3.0)
    files = extracted(recordings, whole, tmp_path / "files")
    assert joined.clips["filename"].tolist() == whole["filename"].tolist() and joined.description["seconds"] == 3.0
    assert np.array_equal(joined.array, files.array)


def test_the_end_of_a_recording_is_no_clip_unless_it_is_all_there_is(recordings, tmp_path):
    _, whole, parts = recordings
    store = extracted(recordings, whole, tmp_path / "two", clip_seconds=2.0)
    assert store.clips["filename"].tolist() == whole["filename"].tolist()
    few = extracted(recordings, parts.iloc[[1, 3, 4, 5]], tmp_path / "few", clip_seconds=2.0)
    assert few.clips["seconds"].tolist() == [1.0, 2.0] and few.array.shape[2] == few.config.frames(1.0)


def test_an_extraction_of_parts_goes_on_when_one_of_them_has_changed(recordings, tmp_path):
    folder, _, parts = recordings
    shutil.copytree(folder, tmp_path / "corpus")
    own = (tmp_path / "corpus", *recordings[1:])
    before = extracted(own, parts, tmp_path, clip_seconds=3.0).array.copy()
    soundfile.write(tmp_path / "corpus/audio/bus-lyon-1-0-1-a.wav", tone(1, frequency=1000), RATE, subtype="PCM_24")
    after = extracted(own, parts, tmp_path, clip_seconds=3.0).array
    assert (before[0] != after[0]).any() and (before[1] == after[1]).all()
