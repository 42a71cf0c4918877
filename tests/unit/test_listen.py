"""The command `asc listen`: sound as it comes, a decision at a time."""

import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from memory import peak_bytes
from networks import deployed
from torch import Tensor

from asc_core.cli import main
from asc_core.compression import package
from asc_core.deploy.predictor import Predictor
from asc_core.errors import UserError
from asc_core.features.config import FeatureConfig
from asc_core.features.log_mel import LogMel, SlidingLogMel, cut_windows
from asc_core.features.streams import Encoding, read_raw
from asc_core.models.config import NetworkConfig

RATE, LABELS = 16_000, ["bus", "park", "tram"]


def sound(seconds: float) -> np.ndarray:
    """Noise whose colour and loudness wander."""
    rng = np.random.default_rng(0)
    count = round(seconds * RATE)
    wave = rng.normal(0, 0.05, count) * np.sin(np.arange(count) / RATE / 3) + np.sin(np.arange(count) ** 1.5 / 1e5) / 9
    return wave.astype(np.float32)


class Counting(LogMel):
    """Counts the frames that are transformed."""

    count = 0

    def energies(self, frames: Tensor) -> np.ndarray:
        self.count += len(frames)
        return super().energies(frames)


@pytest.mark.parametrize(
    ("config", "seconds", "hop", "edges"),
    [
        (FeatureConfig(n_mels=32), 10.0, 33, 5),
        (FeatureConfig(n_mels=32), 10.0, 1, 5),
        (FeatureConfig(n_mels=32), 1.01, 33, None),
        (FeatureConfig(n_mels=32, window_ms=96, hop_ms=15.625, n_fft=4096), 1.0, 7, 18),
        (FeatureConfig(n_mels=32, window_ms=40.0625, hop_ms=10), 1.0, 20, 4),  # 641 samples, an odd number
        (FeatureConfig(n_mels=32), 0.1, 2, None),  # no frame lies inside a window
    ],
)
def test_sliding_features_are_those_of_each_window_and_a_frame_is_computed_once(config, seconds, hop, edges):
    log_mel = Counting(config)
    length, step, windows = round(seconds * RATE), hop * config.hop_length, 6
    samples = sound((length + (windows - 1) * step + 10) / RATE)
    blocks = [samples[at : at + 777] for at in range(0, len(samples), 777)]
    sliding = SlidingLogMel(log_mel, length, step)
    found = [sliding(window) for window in cut_windows(blocks, length, step)]
    assert len(found) == windows
    computed = log_mel.count
    for number, each in enumerate(found):
        whole = log_mel(samples[number * step : number * step + length])
        np.testing.assert_allclose(each, whole, atol=2e-5)
    frames = config.frames(seconds)
    most = windows * frames if edges is None else frames + (windows - 1) * (hop + edges)
    assert computed == most


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    config, network_config = FeatureConfig(n_mels=32), NetworkConfig()
    torch.manual_seed(0)
    log_mel = LogMel(config)
    clips = [log_mel(part * scale) for part in np.split(sound(40), 4) for scale in (1, 0.01)]
    network = deployed(network_config, len(LABELS), torch.from_numpy(np.stack(clips)[:, None]))
    path = tmp_path_factory.mktemp("model") / "model.asc"
    package.write(path, network, network_config, LABELS, features={"config": asdict(config), "seconds": 10.0})
    return path


@pytest.fixture(scope="module")
def minute(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "minute.wav"
    soundfile.write(path, sound(60), RATE, subtype="PCM_16")
    return path


def listened(capsys, *arguments: object, code: int = 0) -> tuple[str, str]:
    threads = torch.get_num_threads()
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main(["listen", *(str(argument) for argument in arguments)])
    torch.set_num_threads(threads)
    assert (stopped.value.code or 0) == code
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_each_decision_is_what_the_model_says_of_that_window(model, minute, capsys):
    out, _ = listened(capsys, model, minute, "--json", "--top", 3, "--hop", 2)
    lines = [json.loads(line) for line in out.splitlines()]
    samples, _ = soundfile.read(minute, dtype="float32")
    predictor, step, length = Predictor(model), 67 * 480, 10 * RATE
    assert [line["seconds"] for line in lines] == [pytest.approx(10 + 2.01 * n, abs=1e-3) for n in range(len(lines))]
    assert len(lines) == 1 + (len(samples) - length) // step and len({line["label"] for line in lines}) > 1
    for number, line in enumerate(lines):
        expected = predictor.probabilities(predictor.frontend(samples[number * step : number * step + length]))
        found = {each["label"]: each["probability"] for each in line["top"]}
        np.testing.assert_allclose([found[label] for label in LABELS], expected, atol=1e-3)
    text, _ = listened(capsys, model, minute, "--hop", 2)
    assert [line.split() for line in text.splitlines()] == [
        [f"{line['seconds']:.2f}", "s", line["label"], f"{line['probability']:.3f}"] for line in lines
    ]


def test_a_line_comes_with_the_last_sample_of_its_window_and_ctrl_c_ends_it(model, minute, capsys):
    reference = listened(capsys, model, minute, "--json", "--hop", 10)[0].splitlines()
    samples = soundfile.read(minute, dtype="int16")[0].astype("<i2").tobytes()
    window = 333 * 480 * 2 + 320 * 2  # of the first decision: 10 s
    command = [sys.executable, "-m", "asc_core.cli", "listen", model, "-", "--json", "--hop", "10"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as process:
        process.stdin.write(samples[:window])
        process.stdin.flush()
        assert process.stdout.readline().decode().rstrip() == reference[0]  # and waits for nothing else
        process.stdin.write(samples[window : window + 333 * 480 * 2])
        process.stdin.flush()
        assert process.stdout.readline().decode().rstrip() == reference[1]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, b"") and b"Traceback" not in err


def test_a_reader_that_goes_ends_it(model, minute):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "asc_core.cli", "listen", model, "-"]
    with open(minute, "rb") as file:
        file.seek(44)
        done = subprocess.run(command, stdin=file, stdout=write, stderr=subprocess.PIPE, timeout=120, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")


def test_memory_does_not_grow_with_the_length_of_a_stream(model, tmp_path):
    most = []
    for seconds in (20, 3600):
        with open(tmp_path / "zeros", "wb") as file:
            file.truncate(2 * RATE * seconds)  # takes no room
        with open(tmp_path / "zeros", "rb") as file:
            peak, out = peak_bytes("listen", model, "-", "--hop", 10, stdin=file)
        assert len(out.splitlines()) == 1 + (seconds - 10) // 9.99
        most.append(peak)
    assert most[1] - most[0] < 40e6, most  # the samples take 115 MB, as they come


def raw(data: bytes, encoding: Encoding, channels: int = 1, at_once: int = 1 << 16) -> np.ndarray:
    class Dripping(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer) -> int:
            nonlocal data
            part, data = data[: min(at_once, len(buffer))], data[min(at_once, len(buffer)) :]
            buffer[: len(part)] = part
            return len(part)

    return np.concatenate(list(read_raw(io.BufferedReader(Dripping()), RATE, encoding, channels)))


@pytest.mark.parametrize(
    ("encoding", "subtype"),
    [("u8", "PCM_U8"), ("s16le", "PCM_16"), ("s24le", "PCM_24"), ("s32le", "PCM_32"), ("f32le", "FLOAT")],
)
def test_raw_samples_are_those_of_a_file(tmp_path, encoding, subtype):
    """However the stream is cut, samples in the middle among it."""
    stereo = np.stack([sound(0.1), sound(0.1)[::-1]], axis=1)
    soundfile.write(tmp_path / "sound.raw", stereo, RATE, subtype=subtype, format="RAW")
    expected, _ = soundfile.read(
        tmp_path / "sound.raw", samplerate=RATE, channels=2, subtype=subtype, format="RAW", dtype="float32"
    )
    data = (tmp_path / "sound.raw").read_bytes()
    for at_once in (1, 7, 1 << 16):
        np.testing.assert_array_equal(raw(data + b"\1", Encoding(encoding), 2, at_once), expected.mean(axis=1))


def test_what_cannot_be_heard_is_an_error_of_one_line(model, minute, tmp_path, capsys, monkeypatch):
    with pytest.raises(UserError, match="is a sound file; send raw samples"):
        raw(minute.read_bytes(), Encoding.s16le)
    with pytest.raises(UserError, match="not finite"):
        raw(np.full(9, np.nan, "<f4").tobytes(), Encoding.f32le)
    for hop in ("0", "11", "nan", "-1"):
        assert f"--hop {hop}: needs from 0.03 to 9.99 s" in listened(capsys, model, minute, "--hop", hop, code=1)[1]
    assert "nothing.wav: no such file" in listened(capsys, model, tmp_path / "nothing.wav", code=1)[1]
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    told = listened(capsys, model, code=1)[1]
    assert "a microphone needs sounddevice" in told and told.count("\n") == 1
