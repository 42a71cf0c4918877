"""Audio files, good and bad."""

import numpy as np
import pytest
import soundfile

from asc_core.errors import UserError
from asc_core.features.audio import BLOCK, read_header, read_samples, sample_problem


def tone(seconds: float, rate: int, frequency: float = 440) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


@pytest.fixture
def wav(tmp_path):
    path = tmp_path / "clip.wav"
    soundfile.write(path, tone(0.5, 44_100), 44_100, subtype="PCM_24")
    return path


def test_the_header_of_a_good_file(wav):
    header = read_header(wav)
    assert (header.seconds, header.sample_rate, header.channels, header.subtype) == (0.5, 44_100, 1, "PCM_24")
    assert header.problem is None


@pytest.mark.parametrize("kept", [-1, -1000, 100, 20])
def test_the_header_shows_a_truncated_file(wav, kept):
    size = wav.stat().st_size
    wav.write_bytes(wav.read_bytes()[:kept])
    header = read_header(wav)
    assert header.problem == f"truncated: {size - wav.stat().st_size} bytes short of what its header announces"
    assert header.seconds is None


def test_bytes_after_the_end_are_no_problem(wav):
    wav.write_bytes(wav.read_bytes() + b"extra")
    assert read_header(wav).problem is None


def test_samples_are_mono_float32_at_the_rate_asked_for(tmp_path):
    left, right = tone(0.25, 16_000), tone(0.25, 16_000, 900)
    soundfile.write(tmp_path / "stereo.wav", np.stack([left, right], axis=1), 16_000, subtype="FLOAT")
    samples = read_samples(tmp_path / "stereo.wav", 16_000)
    assert samples.dtype == np.float32
    np.testing.assert_allclose(samples, (left + right) / 2, atol=1e-6)


@pytest.mark.parametrize("rate", [8_000, 22_050, 48_000])
def test_resampling_keeps_a_tone(tmp_path, rate):
    soundfile.write(tmp_path / "tone.wav", tone(0.5, rate), rate, subtype="FLOAT")
    samples = read_samples(tmp_path / "tone.wav", 16_000)
    assert samples.shape == (8_000,)
    np.testing.assert_allclose(samples[500:-500], tone(0.5, 16_000)[500:-500], atol=2e-3)


def missing(path):
    pass


def zero_length(path):
    path.write_bytes(b"")


def text(path):
    path.write_text("this is not sound\n" * 20)


def folder(path):
    path.mkdir()


def no_samples(path):
    soundfile.write(path, np.zeros(0), 16_000)


def cut_header(path):
    soundfile.write(path, tone(0.1, 16_000), 16_000)
    path.write_bytes(path.read_bytes()[:30])


UNUSABLE = [missing, zero_length, text, folder, no_samples, cut_header]


@pytest.mark.parametrize("make", UNUSABLE)
def test_reading_an_unusable_file_is_an_error_that_names_it(tmp_path, make):
    make(tmp_path / "clip.wav")
    with pytest.raises(UserError) as caught:
        read_samples(tmp_path / "clip.wav", 16_000)
    assert str(caught.value).startswith(f"{tmp_path / 'clip.wav'}: ")


@pytest.mark.parametrize("make", UNUSABLE)
def test_the_header_of_an_unusable_file_says_so_and_raises_nothing(tmp_path, make):
    make(tmp_path / "clip.wav")
    assert read_header(tmp_path / "clip.wav").problem


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_refused(tmp_path, bad):
    samples = tone(0.1, 16_000)
    samples[700] = bad
    soundfile.write(tmp_path / "clip.wav", np.stack([samples, tone(0.1, 16_000)], axis=1), 16_000, subtype="FLOAT")
    with pytest.raises(UserError, match=r"clip\.wav: .*not finite"):
        read_samples(tmp_path / "clip.wav", 16_000)


def test_a_file_too_short_for_one_sample_at_the_rate_is_refused(tmp_path):
    soundfile.write(tmp_path / "clip.wav", np.ones(1), 48_000)
    with pytest.raises(UserError, match=r"clip\.wav: has no samples"):
        read_samples(tmp_path / "clip.wav", 16_000)


@pytest.mark.parametrize("form", [("wav", "PCM_16"), ("wav", "FLOAT"), ("flac", "PCM_24"), ("ogg", "VORBIS")])
@pytest.mark.parametrize("before", [0, 3 * BLOCK])
def test_a_file_that_moves_sooner_or_later_has_sound(tmp_path, form, before):
    samples = np.concatenate([np.zeros(before), tone(0.1, 44_100)])
    path = tmp_path / f"clip.{form[0]}"
    soundfile.write(path, np.stack([samples, np.zeros_like(samples)], axis=1), 44_100, subtype=form[1])
    assert sample_problem(path) is None


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("offsets", [[0.0], [0.3, -0.3]], ids=["mono", "stereo"])
def test_a_file_that_stands_still_is_silent(tmp_path, subtype, offsets):
    """Digital silence, a constant offset of its own on each channel, and the last bit of 16 flickering."""
    dither = np.random.default_rng(0).integers(-1, 2, (2 * BLOCK + 7, 1)) / 2**15
    soundfile.write(tmp_path / "clip.wav", offsets + dither, 44_100, subtype=subtype)
    assert sample_problem(tmp_path / "clip.wav") == "is silent"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, -1])
def test_samples_that_are_no_numbers_are_found_wherever_they_are(tmp_path, bad, at):
    samples = np.stack([tone(1, 44_100)] * 2, axis=1)
    samples[at, 1] = bad
    soundfile.write(tmp_path / "clip.wav", samples, 44_100, subtype="FLOAT")
    assert sample_problem(tmp_path / "clip.wav") == "has samples that are not finite numbers"


def test_a_file_that_breaks_off_while_it_is_decoded_is_told(tmp_path):
    path = tmp_path / "clip.flac"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 100_000), 44_100)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + bytes(2000) + whole[len(whole) // 2 + 2000 :])
    assert read_header(path).problem is None
    assert "cannot be decoded" in (sample_problem(path) or "")


@pytest.mark.parametrize("kind", ["WAV", "WAVEX", "AIFF", "FLAC", "RF64"])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_24_bit_files_give_the_numbers_of_libsndfile(tmp_path, kind, channels):
    samples = np.random.default_rng(0).uniform(-1, 1, (1_001, channels))
    samples[:2] = [[-1] * channels, [1] * channels]  # both ends of the range
    soundfile.write(tmp_path / "clip", samples, 16_000, subtype="PCM_24", format=kind)
    expected = soundfile.read(tmp_path / "clip", dtype="float32", always_2d=True)[0].mean(axis=1)
    assert np.array_equal(read_samples(tmp_path / "clip", 16_000), expected)


@pytest.mark.parametrize("kept", [-1, -2, -3, -100])
def test_of_a_24_bit_file_that_is_cut_short_the_whole_samples_are_read(wav, kept):
    wav.write_bytes(wav.read_bytes()[:kept])
    expected = soundfile.read(wav, dtype="float32")[0]
    assert np.array_equal(read_samples(wav, 44_100), expected) and len(expected) < 22_050
