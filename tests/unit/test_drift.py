"""New recordings beside those of training: devices that it heard raise no alarm, others do."""

import copy

import numpy as np
import pytest
import torch

from asc_core.commands.watch import Heard, judge
from asc_core.drift import reference
from asc_core.drift.compare import CONFIDENCE, compare
from asc_core.drift.reference import Reference, spectrum
from asc_core.errors import UserError
from asc_core.evaluation import predictions

DRAWS = 40
MELS = 32
CURVES = {"a": 0.0, "b": 0.8, "new": -0.8}  # nepers from the lowest band to the highest


def recordings(rng: np.random.Generator, device: str, count: int) -> np.ndarray:
    """Spectra of scenes of any loudness, whose neighbouring bands are alike, as a device hears them."""
    scenes = rng.normal(0, 0.3, (count, MELS)).cumsum(axis=1) + rng.normal(0, 3, (count, 1))
    return spectrum(scenes + np.linspace(0, CURVES[device], MELS) * 3)


def confidences(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.beta(5, 2, count)


@pytest.fixture
def before() -> Reference:
    rng = np.random.default_rng(0)
    devices = np.repeat(["a", "b"], 60)
    spectra = np.concatenate([recordings(rng, device, 60) for device in "ab"])
    return Reference(spectra, devices, confidences(rng, 120), devices, [44100])


@pytest.mark.parametrize(("device", "least", "most"), [("a", 0, 3), ("b", 0, 3), ("new", DRAWS - 1, DRAWS)])
def test_recordings_of_a_device_that_training_did_not_have_are_noticed(before, device, least, most):
    rng = np.random.default_rng(1)
    shifts = [compare(before, recordings(rng, device, 25), confidences(rng, 25)) for _ in range(DRAWS)]
    assert least <= sum(bool(shift.moved) for shift in shifts) <= most
    assert all(list(shift.devices) == ["a", "b"] and shift.rows is shift.devices[shift.device] for shift in shifts)
    if device in "ab":
        assert {shift.device for shift in shifts} == {device}


def test_a_model_that_is_no_longer_sure_is_noticed_though_the_sound_is_the_same(before):
    rng = np.random.default_rng(1)
    shift = compare(before, recordings(rng, "a", 40), 0.5 * confidences(rng, 40))
    assert [row.name for row in shift.moved] == [CONFIDENCE] and shift.moved[0].now < shift.moved[0].before


def test_the_interval_of_a_mean_holds_the_true_one_as_often_as_it_says(before):
    rng = np.random.default_rng(1)
    true = float(confidences(rng, 100_000).mean())
    rows = [compare(before, recordings(rng, "a", 25), confidences(rng, 25)).rows[-1] for _ in range(5 * DRAWS)]
    held = sum(low < true < high for low, high in (row.interval for row in rows))
    assert rows[0].name == CONFIDENCE and 0.9 * len(rows) < held < 0.99 * len(rows)
    assert all(row.interval[0] < row.now < row.interval[1] for row in rows)


def test_a_difference_below_the_least_is_no_alarm_however_certain(before):
    rng = np.random.default_rng(1)
    new = recordings(rng, "new", 100), confidences(rng, 100)
    found = compare(before, *new, least=0.3).moved
    assert found and all(row.distance >= 0.3 for row in found)
    assert compare(before, *new, least=1.0).moved == []


def test_too_few_recordings_are_told(before):
    rng = np.random.default_rng(1)
    with pytest.raises(UserError, match="7 recordings, at least 8 are needed"):
        compare(before, recordings(rng, "a", 7), confidences(rng, 7))


def test_clips_of_one_recording_count_once_and_a_file_gives_back_what_was_written(store, tmp_path):
    rows, tested = store.rows("train"), store.rows("test")
    store = copy.copy(store)
    locations = store.clips["scene"] + store.clips.index.astype(str).str[-1]
    store.clips = store.clips.assign(location=locations, sample_rate=44100)
    logits = torch.randn(len(tested), len(store.scenes))
    answers = predictions.prediction_table(store, tested, logits, "quantized")
    kept = reference.reference(store, answers)
    pairs = store.clips.iloc[rows][["location", "device"]].drop_duplicates()
    assert len(kept.spectra) == len(pairs) < len(rows)
    assert set(kept.devices) == {"a", "b"} == set(kept.confidence_devices) and kept.rates == [44100]
    reference.write(tmp_path / "reference.safetensors", kept)
    again = reference.read(tmp_path / "reference.safetensors")
    np.testing.assert_allclose(again.spectra, kept.spectra, atol=0.01)
    assert list(again.devices) == list(kept.devices) and again.rates == kept.rates


@pytest.mark.parametrize("content", [b"", b"\xff" * 50, (10).to_bytes(8, "little") + b"[" * 10])
def test_a_file_that_is_no_reference_is_told_in_one_line(content, tmp_path):
    path = tmp_path / "reference.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"reference\.safetensors: not a usable reference"):
        reference.read(path)


def test_a_reference_with_a_number_that_is_none_is_told(before, tmp_path):
    before.spectra[3, 2] = np.nan
    reference.write(tmp_path / "reference.safetensors", before)
    with pytest.raises(UserError, match="a number that is not finite"):
        reference.read(tmp_path / "reference.safetensors")


def test_files_of_one_recording_count_once_and_rates_of_all_are_looked_at(before):
    rng = np.random.default_rng(1)
    heard = [
        Heard(f"bus-{number % 9}", each, 0.7, rate)
        for number, (each, rate) in enumerate(zip(recordings(rng, "a", 27), [44100, 44100, 48000] * 9, strict=True))
    ]
    shift, rates = judge(before, heard, 0.01, 0.2)
    assert (shift.recordings, rates) == (9, [48000])
    with pytest.raises(UserError, match="7 recordings"):
        judge(before, [each for each in heard if each.recording < "bus-7"], 0.01, 0.2)


def test_of_a_device_with_many_recordings_some_are_kept_from_all_locations(store, monkeypatch):
    monkeypatch.setattr(reference, "MOST", 5)
    store = copy.copy(store)
    store.clips = store.clips.assign(location=[f"{row:03}" for row in store.clips.index], sample_rate=44100)
    rows = store.rows("test")
    answers = predictions.prediction_table(store, rows, torch.randn(len(rows), len(store.scenes)), "quantized")
    kept = reference.reference(store, answers)
    assert [list(kept.devices).count(device) for device in "ab"] == [5, 5]
    assert [list(kept.confidence_devices).count(device) for device in "ab"] == [5, 5]
