"""Audio files, good and bad."""

import io
import os
import socket
import struct
import unicodedata

import numpy as np
import pytest
import soundfile
import soxr

from asc_core.errors import UserError
from asc_core.features import audio
from asc_core.features.audio import (
    BLOCK,
    FIRST_LOOK,
    LOUDEST,
    read_blocks,
    read_header,
    read_samples,
    sample_problem,
    to_mono,
)


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
@pytest.mark.parametrize("before", [0, 3 * FIRST_LOOK])
def test_a_file_that_moves_sooner_or_later_has_sound(tmp_path, form, before):
    samples = np.concatenate([np.zeros(before), tone(0.1, 44_100)])
    path = tmp_path / f"clip.{form[0]}"
    soundfile.write(path, np.stack([samples, np.zeros_like(samples)], axis=1), 44_100, subtype=form[1])
    assert sample_problem(path) is None


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("offsets", [[0.0], [0.3, -0.3]], ids=["mono", "stereo"])
def test_a_file_that_stands_still_is_silent(tmp_path, subtype, offsets):
    """Digital silence, a constant offset of its own on each channel, and the last bit of 16 flickering."""
    dither = np.random.default_rng(0).integers(-1, 2, (2 * FIRST_LOOK + 7, 1)) / 2**15
    soundfile.write(tmp_path / "clip.wav", offsets + dither, 44_100, subtype=subtype)
    mean = "" if len(offsets) == 1 else " in the mean of its 2 channels, which is what is used"
    assert sample_problem(tmp_path / "clip.wav") == f"is silent{mean}"


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_a_file_whose_channels_cancel_is_silent(tmp_path, subtype):
    """What is heard in an editor is gone from the mean of the channels, and that is what is used."""
    soundfile.write(tmp_path / "clip.wav", np.outer(tone(0.5, 44_100), [1, -1]), 44_100, subtype=subtype)
    assert "is silent in the mean of its 2 channels" in (sample_problem(tmp_path / "clip.wav") or "")


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


@pytest.mark.parametrize("bad", [3e30, -3e30, 1.01 * LOUDEST])
def test_samples_far_beyond_full_scale_are_refused_wherever_sound_is_read(tmp_path, bad):
    """They would become features that are no numbers, or a scene louder than any that was learnt."""
    path, samples = tmp_path / "clip.wav", np.stack([tone(1, 16_000)] * 2, axis=1)
    samples[-1] = [bad, -bad]  # the mean is as if nothing were there
    soundfile.write(path, samples, 16_000, subtype="FLOAT")
    assert "times full scale" in (sample_problem(path) or "")
    with pytest.raises(UserError, match=r"clip\.wav: .*times full scale"):
        read_samples(path, 16_000)
    with pytest.raises(UserError, match="times full scale"):
        to_mono(samples, 16_000, 16_000)


def test_samples_somewhat_beyond_full_scale_are_sound(tmp_path):
    """As recorders of floating point write them."""
    samples = (0.99 * LOUDEST * 2 * tone(0.5, 16_000)).astype(np.float32)
    soundfile.write(tmp_path / "clip.wav", samples, 16_000, subtype="FLOAT")
    assert sample_problem(tmp_path / "clip.wav") is None
    assert np.array_equal(read_samples(tmp_path / "clip.wav", 16_000), samples)


def writes(container: str, subtype: str, channels: int = 1) -> bool:
    """Whether libsndfile writes that (it takes more for valid than it can)."""
    try:
        soundfile.write(io.BytesIO(), np.zeros((4_800, channels)), 16_000, format=container, subtype=subtype)
    except soundfile.LibsndfileError:
        return False
    return True


# All but what has no header (RAW) and what writes a second file (SD2).
FORMS = [
    (container, subtype)
    for container in soundfile.available_formats()
    if container not in ("RAW", "SD2")
    for subtype in soundfile.available_subtypes(container)
    if writes(container, subtype)
]


def write(path, samples: np.ndarray, form: tuple[str, str], rate: int = 16_000) -> None:
    soundfile.write(path, samples, rate, format=form[0], subtype=form[1])


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("form", FORMS, ids="-".join)
def test_every_form_gives_the_numbers_of_libsndfile(tmp_path, form, channels):
    if not writes(*form, channels):
        return
    samples = np.random.default_rng(0).uniform(-1, 1, (20_001, channels))
    samples[:2] = [[-1] * channels, [1] * channels]  # both ends of the range
    write(tmp_path / "clip", samples, form)
    with soundfile.SoundFile(tmp_path / "clip") as file:
        try:
            expected = file.read(file.frames, "float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            assert sample_problem(tmp_path / "clip") == f"cannot be decoded ({error.error_string})"
            return
    mono = expected.mean(axis=1)
    assert np.array_equal(read_samples(tmp_path / "clip", file.samplerate), mono)
    problem = read_header(tmp_path / "clip").problem or sample_problem(tmp_path / "clip")
    assert problem is None if np.ptp(mono) > 0.1 else "is silent" in problem  # it writes ALAC_24 in stereo as zeros


def wav_file(channels: int, align: int, bits: int, data: bytes, tag: int = 1, more: bytes = b"") -> bytes:
    form = struct.pack("<HHIIHH", tag, channels, 16_000, 16_000 * align, align, bits) + more
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


PCM, FLOAT = (bytes([kind]) + bytes.fromhex("000000001000800000aa00389b71") for kind in (1, 3))
TAIL = {valid: struct.pack("<HHI", 22, valid, 4) for valid in (20, 24, 32)}
CONTRADICTORY = {
    "24 bits in 4 bytes": (1, 4, 24, 1, b""),
    "24 bits in 4 bytes, stereo": (2, 8, 24, 1, b""),
    "24 valid bits in 4 bytes": (1, 4, 32, 0xFFFE, TAIL[24] + PCM),
    "extensible, 24 bits in 4 bytes": (1, 4, 24, 0xFFFE, TAIL[24] + PCM),
    "extensible, 20 valid bits in 3 bytes": (2, 6, 24, 0xFFFE, TAIL[20] + PCM),
    "extensible, floats": (1, 4, 32, 0xFFFE, TAIL[32] + FLOAT),
    "no block align": (1, 0, 24, 1, b""),
    "block align of 16 bits": (1, 2, 24, 1, b""),
    "block align of one channel": (2, 3, 24, 1, b""),
    "format of floats with 24 bits": (1, 3, 24, 3, b""),
    "format of a law with 24 bits": (1, 3, 24, 7, b""),
}


@pytest.mark.parametrize("name", CONTRADICTORY)
def test_a_wav_file_that_is_no_plain_24_bits_is_as_libsndfile_reads_it(tmp_path, name):
    """The faster reader is for packed 24 bits alone; it took four-byte containers for noise."""
    channels, align, bits, tag, more = CONTRADICTORY[name]
    samples = (0.5 * np.sin(np.arange(12_000) / 20) * 2**23).astype("<i4") << 8
    data = (samples / 2**31).astype("<f4").tobytes() if "floats" in name else samples.tobytes()
    path = tmp_path / "clip.wav"
    path.write_bytes(wav_file(channels, align, bits, data, tag, more))
    try:
        expected = soundfile.read(path, dtype="float32", always_2d=True)[0].mean(axis=1)
    except soundfile.LibsndfileError:
        assert read_header(path).problem
        return
    try:
        assert np.array_equal(read_samples(path, 16_000), expected)
    except UserError as error:
        assert "times full scale" in str(error) or "not finite" in str(error)


@pytest.mark.parametrize("start", [0, 3_000])
@pytest.mark.parametrize("bits", [8, 0])
def test_four_bytes_called_24_bits_never_become_noise(tmp_path, bits, start):
    """libsndfile tells them by what they look like, and guesses three bytes where the sound begins with silence or uses
    all 32 bits; then the file is refused."""
    sound = 0.5 * np.sin(np.arange(12_000) / 20) * (np.arange(12_000) >= start)
    path = tmp_path / "clip.wav"
    path.write_bytes(wav_file(1, 4, 24, ((sound * 2 ** (31 - bits)).astype("<i4") << bits).tobytes()))
    problem = read_header(path).problem
    if bits and not start:
        assert problem is None
    if problem is None:
        np.testing.assert_allclose(read_samples(path, 16_000), sound, atol=1e-6)
    else:
        assert "contradicts itself: 24 bits in blocks of four bytes" in problem


LISTED = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "CAF", "AU", "FLAC", "OGG", "MP3")  # whose cut shows


@pytest.mark.parametrize("kept", [0.97, 0.6, 0.1])
@pytest.mark.parametrize("form", [form for form in FORMS if form[0] in LISTED], ids="-".join)
def test_a_file_that_was_cut_off_is_refused_by_all(tmp_path, form, kept):
    """libsndfile takes most of them for shorter ones."""
    path = tmp_path / "clip"
    write(path, np.random.default_rng(0).normal(0, 0.1, 48_000), form)
    whole = path.read_bytes()
    if problem := read_header(path).problem or sample_problem(path):
        pytest.skip(f"libsndfile does not read what it wrote: {problem}")
    path.write_bytes(whole[: int(len(whole) * kept)])
    problem = read_header(path).problem or sample_problem(path)
    assert problem and ("truncated" in problem or "cannot be decoded" in problem)
    with pytest.raises(UserError, match=r"clip: (truncated|cannot be decoded)"):
        read_samples(path, 16_000)


def patched(data: bytes, at: int, value: int) -> bytes:
    return data[:at] + struct.pack("<I", value) + data[at + 4 :]


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_U8"])
@pytest.mark.parametrize("size", ["of the file", "16 more", "0", "0xFFFFFFFF"])
def test_the_size_of_a_wav_file_as_a_whole_decides_nothing(tmp_path, subtype, size):
    path = tmp_path / "clip.wav"
    soundfile.write(path, tone(0.5, 16_000)[:7_999], 16_000, subtype=subtype)
    samples, data = read_samples(path, 16_000), path.read_bytes()
    value = {"of the file": len(data), "16 more": len(data) + 8, "0": 0, "0xFFFFFFFF": 0xFFFFFFFF}[size]
    path.write_bytes(patched(data, 4, value))
    assert (read_header(path).problem or sample_problem(path)) is None
    assert np.array_equal(read_samples(path, 16_000), samples)


def test_a_pad_byte_that_is_counted_but_not_written_is_no_cut(tmp_path):
    path = tmp_path / "clip.wav"
    data = (100 * tone(0.5, 16_000)[:7_999] + 128).astype("u1").tobytes()
    whole = wav_file(1, 1, 8, data)
    path.write_bytes(patched(whole, 4, len(whole) - 8 + 1))
    assert (read_header(path).problem or sample_problem(path)) is None


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
@pytest.mark.parametrize("sizes", [(0, 0), (36, 0), (36, 0xFFFFFFFF), (0, 0xFFFFFFFF)])
def test_a_file_that_its_recorder_did_not_complete_is_told_as_such(wav, subtype, sizes):
    soundfile.write(wav, tone(0.5, 44_100), 44_100, subtype=subtype)
    data = wav.read_bytes()
    wav.write_bytes(patched(patched(data, 4, sizes[0]), data.index(b"data") + 4, sizes[1]))
    assert "was never completed" in (read_header(wav).problem or "")
    with pytest.raises(UserError, match=r"clip\.wav: was never completed: .* bytes follow"):
        read_samples(wav, 44_100)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_a_stream_of_unknown_length_is_read_to_its_end(wav, subtype):
    """As programs write it that pass a WAV file on through a pipe: both sizes are the largest there is."""
    soundfile.write(wav, tone(0.5, 44_100), 44_100, subtype=subtype)
    samples, data = read_samples(wav, 44_100), wav.read_bytes()
    wav.write_bytes(patched(patched(data, 4, 0xFFFFFFFF), data.index(b"data") + 4, 0xFFFFFFFF))
    assert (read_header(wav).problem or sample_problem(wav)) is None
    assert np.array_equal(read_samples(wav, 44_100), samples)


def test_an_mp3_file_without_a_tag_is_whole_whatever_libsndfile_guesses_of_its_length(tmp_path):
    path, sound = tmp_path / "clip.mp3", np.random.default_rng(0).normal(0, 0.1, 100_000)
    with soundfile.SoundFile(path, "w", 44_100, 1, format="MP3", bitrate_mode="VARIABLE") as file:
        file.write(np.concatenate([np.zeros(100_000), sound, np.zeros(100_000)]))
    data = path.read_bytes()
    path.write_bytes(data[data.index(data[:2], 4) :])  # the first frame is the tag
    assert (read_header(path).problem or sample_problem(path)) is None
    assert len(read_samples(path, 44_100)) > 100_000


def pipe(path):
    os.mkfifo(path)


def listening_socket(path):
    with socket.socket(socket.AF_UNIX) as each:
        each.bind(os.path.relpath(path))  # its length is limited


def link_to_a_device(path):
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [pipe, listening_socket, link_to_a_device])
def test_what_is_no_file_is_refused_without_waiting_for_it(tmp_path, monkeypatch, make):
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "clip.wav")
    assert read_header(tmp_path / "clip.wav").problem == "is a pipe, a socket or a device, not a file"
    with pytest.raises(UserError, match=r"clip\.wav: is a pipe, a socket or a device"):
        read_samples(tmp_path / "clip.wav", 16_000)


def test_a_dangling_link_and_a_name_in_another_unicode_form_are_told(tmp_path):
    (tmp_path / "clip.wav").symlink_to("gone.wav")
    assert read_header(tmp_path / "clip.wav").problem == "a link to gone.wav, which is not there"
    composed, decomposed = (unicodedata.normalize(form, "köln.wav") for form in ("NFC", "NFD"))
    soundfile.write(tmp_path / decomposed, tone(0.1, 16_000), 16_000)
    if (tmp_path / composed).exists():
        pytest.skip("this file system takes both for the same name")
    assert "another Unicode form (NFD)" in (read_header(tmp_path / composed).problem or "")


def test_a_name_that_is_not_utf_8_is_as_good_as_any(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.wav")
    soundfile.write(os.fsencode(path), tone(0.1, 16_000), 16_000)
    assert read_header(path).problem is None and len(read_samples(path, 16_000)) == 1_600


LIES = {  # bytes of the fmt chunk that follows "fmt "
    "a size of 4 GB": (b"fmt ", 4, 0xFFFFFFF0),
    "a size of nothing": (b"fmt ", 4, 0),
    "65,535 channels": (b"fmt ", 8, 0xFFFF0001),
    "a rate of 4 GHz": (b"fmt ", 12, 0xFFFFFFFF),
    "a rate of nothing": (b"fmt ", 12, 0),
    "65,535 bits": (b"fmt ", 20, 0xFFFF0002),
}


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
@pytest.mark.parametrize("lie", LIES)
def test_a_header_that_lies_is_an_error_that_names_the_file(wav, lie, subtype):
    soundfile.write(wav, tone(0.5, 44_100), 44_100, subtype=subtype)
    data, (chunk, more, value) = wav.read_bytes(), LIES[lie]
    wav.write_bytes(patched(data, data.index(chunk) + more, value))
    with pytest.raises(UserError) as caught:
        read_samples(wav, 16_000)
    assert str(caught.value).startswith(f"{wav}: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize("form", [("WAV", "PCM_24"), ("WAV", "PCM_16"), ("WAV", "FLOAT")], ids="-".join)
@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (44_100, 1), (48_000, 2), (11_025, 3), (192_000, 8)])
def test_a_file_that_is_read_in_blocks_gives_the_numbers_of_one_that_is_read_at_once(tmp_path, form, rate, channels):
    samples = np.random.default_rng(0).uniform(-1, 1, (3 * BLOCK // channels + 5, channels))
    write(tmp_path / "clip", samples, form, rate)
    mono = soundfile.read(tmp_path / "clip", dtype="float32", always_2d=True)[0].mean(axis=1)
    blocks = list(read_blocks(tmp_path / "clip", 16_000))
    assert len(blocks) > 3
    expected = mono if rate == 16_000 else soxr.resample(mono, rate, 16_000, quality="HQ")
    assert np.array_equal(np.concatenate(blocks), expected)


@pytest.mark.parametrize("form", [("FLAC", "PCM_16"), ("MP3", "MPEG_LAYER_III"), ("OGG", "VORBIS")], ids="-".join)
def test_so_does_a_long_compressed_file_but_for_what_its_decoder_loses_between_blocks(tmp_path, monkeypatch, form):
    """Clips as one trains on are read at once, with the numbers of libsndfile to the last bit."""
    write(tmp_path / "clip", np.random.default_rng(0).normal(0, 0.1, 200_000), form, 44_100)
    expected = read_samples(tmp_path / "clip", 16_000)
    monkeypatch.setattr(audio, "COMPRESSED_BLOCK", 30_000)
    blocks = list(read_blocks(tmp_path / "clip", 16_000))
    assert len(blocks) > 6
    np.testing.assert_allclose(np.concatenate(blocks), expected, atol=1e-5)
