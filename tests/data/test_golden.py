"""The package as docs/package.md specifies it, read with numpy and the standard library alone: from the bytes to the
logits of a golden sound."""

import hashlib
import json
import lzma
import wave
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent / "golden"
Tensors = dict[str, np.ndarray]


def parts(path: Path) -> tuple[dict, Tensors]:
    """The description, and the four arrays that hold all tensors."""
    data = path.read_bytes()
    assert data[:4] == b"ASC1" and data[4:36] == hashlib.sha256(data[36:]).digest()
    content = lzma.decompress(data[36:], format=lzma.FORMAT_ALONE)
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    description = json.loads(header.pop("__metadata__")["asc"])
    kinds = {"U8": np.uint8, "I8": np.int8, "F32": np.dtype("<f4")}
    arrays = {}
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        arrays[name] = np.frombuffer(content[start + first : start + last], kinds[entry["dtype"]])
        arrays[name] = arrays[name].reshape(entry["shape"])
    return description, arrays


def structure(tau: float, classes: int) -> list[tuple[str, str, tuple[int, ...]]]:
    """Name, type and shape of the tensors of a `bc_resnet_asc` whose input layer has one mean, in order."""
    found: list[tuple[str, str, tuple[int, ...]]] = [("input.mean", "float", (1, 1)), ("input.std", "float", (1, 1))]

    def add(name: str, weight: tuple[int, ...], *halves: tuple[str, int]) -> None:
        found.append((f"{name}.weight", "weight", weight))
        found.extend((f"{name}.{half}", "half", (length,)) for half, length in halves)

    c = round(10 * tau)
    add("stem", (2 * c, 1, 5, 5), ("scale", 2 * c), ("shift", 2 * c))
    before = 2 * c
    for stage, (width, blocks) in enumerate(zip((c, round(1.5 * c), 2 * c, round(2.5 * c)), (2, 2, 2, 3), strict=True)):
        for block in range(blocks):
            name = f"{stage}.{block}"
            if block == 0:
                add(f"{name}.mix", (width, before, 1, 1), ("scale", width), ("shift", width))
            add(f"{name}.frequency", (width, 1, 3, 1), ("scale", 4 * width), ("shift", 4 * width))
            add(f"{name}.time", (width, 1, 1, 3), ("scale", width), ("shift", width))
            add(f"{name}.channels", (width, width, 1, 1), ("scale", 1))
        before = width
    add("classifier", (classes, before, 1, 1), ("scale", 1), ("bias", classes))
    return found


def unpacked(arrays: Tensors, expected: list[tuple[str, str, tuple[int, ...]]]) -> Tensors:
    """The tensors by name."""
    count = sum(int(np.prod(shape)) for _, kind, shape in expected if kind == "weight")
    weights = np.unpackbits(arrays["nonzero"], count=count).astype(np.int8)
    weights[weights == 1] = arrays["weights"]
    high, low = arrays["halves"]
    halves = np.stack([low, high], axis=1).view("<f2").ravel()
    streams = {"weight": weights, "half": halves.astype(np.float64), "float": arrays["floats"].astype(np.float64)}
    at, tensors = dict.fromkeys(streams, 0), {}
    for name, kind, shape in expected:
        size = int(np.prod(shape))
        tensors[name] = streams[kind][at[kind] : at[kind] + size].reshape(shape)
        at[kind] += size
    assert all(at[kind] == len(stream) for kind, stream in streams.items())
    return tensors


def mel(hertz: np.ndarray) -> np.ndarray:
    return np.where(hertz < 1000, 3 * hertz / 200, 15 + 27 * np.log(np.maximum(hertz, 1000) / 1000) / np.log(6.4))


def hertz(mels: np.ndarray) -> np.ndarray:
    return np.where(mels < 15, 200 * mels / 3, 1000 * np.exp(np.log(6.4) / 27 * (mels - 15)))


def log_mel(samples: np.ndarray, config: dict) -> np.ndarray:
    """(n_mels, frame), in half precision."""
    rate, bands = config["sample_rate"], config["n_mels"]
    window, hop = round(rate * config["window_ms"] / 1000), round(rate * config["hop_ms"] / 1000)
    size = config["n_fft"] or window
    hann = np.zeros(size)
    left = (size - window) // 2
    hann[left : left + window] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    padded = np.pad(samples, size // 2)
    frames = np.stack([padded[at : at + size] for at in range(0, len(padded) - size + 1, hop)])
    power = np.abs(np.fft.rfft(frames * hann)) ** 2  # (frame, bin)
    edges = hertz(np.linspace(0, mel(np.array(rate / 2)), bands + 2))
    bins = np.arange(power.shape[1]) * rate / size
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    triangles = np.maximum(0, np.minimum((bins - low) / (middle - low), (high - bins) / (high - middle)))
    energies = (triangles * 2 / (high - low)) @ power.T
    return np.log(np.maximum(energies, 1e-10)).astype(np.float16)


def convolved(x: np.ndarray, q: np.ndarray, stride: int = 1) -> np.ndarray:
    """x (channel, frequency, time) with weights q / 128 (out, in / groups, height, width), zeros around x."""
    weights = q.astype(np.float64) / 128
    inputs, height, width = weights.shape[1:]
    groups = len(x) // inputs
    x = np.pad(x, ((0, 0), (height // 2, height // 2), (width // 2, width // 2)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (height, width), axis=(1, 2))[:, ::stride, ::stride]
    return np.concatenate([
        np.einsum("iftkl,oikl->oft", part, own)
        for part, own in zip(np.split(windows, groups), np.split(weights, groups), strict=True)
    ])  # fmt: skip


def logits(features: np.ndarray, tensors: Tensors) -> np.ndarray:
    """(class,) of features (n_mels, frame)."""

    def affine(x: np.ndarray, name: str) -> np.ndarray:
        scale, shift = tensors[f"{name}.scale"], tensors[f"{name}.shift"]
        bands = x.reshape(len(scale), -1)  # channel by channel, of each its sub-bands if it has any
        return (bands * scale[:, None] + shift[:, None]).reshape(x.shape)

    def residual_norm(x: np.ndarray) -> np.ndarray:
        mean, variance = (each(x, axis=(0, 2), keepdims=True) for each in (np.mean, np.var))
        return 0.1 * x + (x - mean) / np.sqrt(variance + 1e-5)

    def relu(x: np.ndarray) -> np.ndarray:
        return np.maximum(x, 0)

    def block(x: np.ndarray, name: str) -> np.ndarray:
        identity: np.ndarray | float = x
        if f"{name}.mix.weight" in tensors:
            x = relu(affine(convolved(x, tensors[f"{name}.mix.weight"]), f"{name}.mix"))
            identity = 0.0
        both = affine(convolved(x, tensors[f"{name}.frequency.weight"]), f"{name}.frequency")
        time = both.mean(axis=1, keepdims=True)
        time = affine(convolved(time, tensors[f"{name}.time.weight"]), f"{name}.time")
        time = time / (1 + np.exp(-time))
        time = convolved(time, tensors[f"{name}.channels.weight"]) * tensors[f"{name}.channels.scale"]
        return relu(both + time + identity)

    def pooled(x: np.ndarray) -> np.ndarray:
        height, width = (length // 2 * 2 for length in x.shape[1:])
        halves = x[:, :height, :width].reshape(len(x), height // 2, 2, width // 2, 2)
        return halves.max(axis=(2, 4))

    x = (features[None].astype(np.float64) - tensors["input.mean"]) / tensors["input.std"]
    x = relu(affine(convolved(residual_norm(x), tensors["stem.weight"], stride=2), "stem"))
    for stage, blocks in enumerate((2, 2, 2, 3)):
        for number in range(blocks):
            x = block(x, f"{stage}.{number}")
        x = residual_norm(x)
        if stage < 2:
            x = pooled(x)
    x = convolved(x, tensors["classifier.weight"]) * tensors["classifier.scale"]
    return x.mean(axis=(1, 2)) + tensors["classifier.bias"]


def test_the_specification_is_enough_to_come_from_the_bytes_to_the_logits():
    description, arrays = parts(FOLDER / "model.asc")
    assert description["network"]["name"] == "bc_resnet_asc" and description["network"]["norm"] == "resnorm"
    labels, config = description["labels"], description["features"]["config"]
    tensors = unpacked(arrays, structure(description["network"]["tau"], len(labels)))
    with wave.open(str(FOLDER / "sound.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (config["sample_rate"], 1, 2)
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 2**15
    assert len(samples) == round(description["features"]["seconds"] * config["sample_rate"])
    expected = np.load(FOLDER / "features.npy")
    features = log_mel(samples, config)
    np.testing.assert_allclose(features.astype(np.float32), expected.astype(np.float32), atol=0.01)  # one step
    golden = json.loads((FOLDER / "logits.json").read_text())
    np.testing.assert_allclose(logits(expected, tensors), [golden[label] for label in labels], atol=1e-4)
    np.testing.assert_allclose(logits(features, tensors), [golden[label] for label in labels], atol=1e-2)


def test_ours_still_reads_it():
    from asc_core.deploy.predictor import Engine, load
    from asc_core.features.frontend import Frontend

    function, description = load(FOLDER / "model.asc", Engine.torch, 1)
    heard = Frontend(description).read(FOLDER / "sound.wav")
    expected = np.load(FOLDER / "features.npy").astype(np.float32)
    np.testing.assert_allclose(heard[0, 0], expected, atol=0.01)
    golden = json.loads((FOLDER / "logits.json").read_text())
    found = function(expected[None, None])[0]
    np.testing.assert_allclose(found, [golden[label] for label in description["labels"]], atol=1e-4)
