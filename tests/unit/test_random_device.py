"""Random devices on stored energies, against the same devices on the waveforms."""

import librosa
import numpy as np
import pytest
import soundfile
import torch
from scipy.signal import butter, fftconvolve, lfilter, sosfilt
from workspace import ROOT

from asc_core.errors import ConfigError, UserError
from asc_core.features.audio import read_samples
from asc_core.features.config import FeatureConfig
from asc_core.features.log_mel import LogMel
from asc_core.training.augmentation.config import AugmentConfig
from asc_core.training.augmentation.random_device import Compressor, Noise, RandomDevice, Response
from asc_core.training.augmentation.responses import band_gains, fingerprint
from asc_core.training.batches import Batch

CONFIG = FeatureConfig(n_mels=64)
RATE, DB = CONFIG.sample_rate, 10 / np.log(10)
NEVER = {"response": Response(p=0), "compressor": Compressor(p=0), "noise": Noise(p=0)}
SHARED = ROOT.parent / "shared"
# Median and 95 % quantile of the differences, dB. A compressor moves within a window and so spreads loud bands into
# quiet ones, which gains of frames do not.
WITHIN = {"response": (0.3, 1.5), "compressor": (1, 10), "noise": (0.1, 1), "device": (1, 4.5)}


class Store:
    config = CONFIG


def through(x, seed=0, **parts):
    """Energies (batch, 1, mel, frame) through a random device that has these parts only."""
    batch = Batch(x, torch.zeros(len(x), 3), torch.zeros(len(x)), Store())
    return RandomDevice(**(NEVER | parts))(batch, torch.Generator().manual_seed(seed)).x


def energies(samples):
    return torch.from_numpy(LogMel(CONFIG)(samples.astype(np.float32)))[None, None]


def made_sounds():
    """A street of coloured noise that comes and goes, gliding tones over it, and bursts like speech: 4 s each."""
    rng, t = np.random.default_rng(0), np.arange(4 * RATE) / RATE
    street = lfilter([0.05], [1, -0.95], rng.normal(size=len(t))) * (1 + 0.8 * np.sin(2 * np.pi * 0.7 * t))
    glide = np.cumsum(220 + 30 * np.sin(2 * np.pi * 0.5 * t)) / RATE
    tones = sum(np.sin(2 * np.pi * k * glide) / k for k in range(1, 20)) * 0.05 + 0.3 * street
    syllables = np.clip(np.sin(2 * np.pi * 3 * t), 0, None) ** 2 + 0.003
    speech = lfilter([1], [1, -1.6, 0.8], rng.normal(size=len(t))) * 0.05 * syllables
    return [street, tones, speech]


def recorded_sounds():
    paths = sorted((SHARED / "esc10_mobile" / "clips").glob("*/*.ogg"))[::40]
    return [read_samples(path, RATE).astype(np.float64) for path in paths]


def made_responses():
    """Decaying noise of 40 ms through a resonance, and a dull one, at 44.1 kHz."""
    rng, t = np.random.default_rng(1), np.arange(1764) / 44_100
    spike = np.exp(-t * 4000) + 0.1 * rng.normal(size=len(t)) * np.exp(-t * 300)
    return [lfilter([1], [1, -1.5, 0.7], spike), lfilter([0.2], [1, -0.8], spike)]


def measured_responses():
    paths = sorted((SHARED / "micirp").glob("*.wav"))[::9]
    return [read_samples(path, 44_100).astype(np.float64) for path in paths]


@pytest.fixture(params=["made", "recorded"])
def material(request):
    """Sounds at the features' rate, and impulse responses at 44.1 kHz."""
    if request.param == "made":
        return made_sounds(), made_responses()
    if not (SHARED / "esc10_mobile").is_dir() or not (SHARED / "micirp").is_dir():
        pytest.skip("needs recordings and measured responses in ../shared")
    return recorded_sounds(), measured_responses()


def differences(found, expected):
    """Between energies, in dB, where the expected are within 80 dB of the loudest; a constant gain does not count."""
    heard = expected > expected.max() - 80 / DB
    difference = DB * (found - expected)[heard]
    return (difference - difference.median()).abs()


def assert_within(all_differences, median, most):
    found = torch.cat(all_differences)
    figures = found.median().item(), found.quantile(0.95).item()
    assert figures[0] < median and figures[1] < most


def write(folder, responses, rate=44_100):
    folder.mkdir(exist_ok=True)
    for number, response in enumerate(responses):
        soundfile.write(folder / f"{number}.wav", response / np.abs(response).max(), rate, subtype="FLOAT")
    return Response(1.0, str(folder), fingerprint(folder))


def convolved(samples, response):
    """Through a response at 44.1 kHz: there, as a device would."""
    import soxr

    high = fftconvolve(soxr.resample(samples, RATE, 44_100), response)
    return soxr.resample(high, 44_100, RATE)[: len(samples)]


def compressed(samples, threshold_db, ratio):
    """Feed-forward compressor on the power, 5 ms attack and 100 ms release; threshold below the loudest frame."""
    power, envelope, level = samples**2, np.empty(len(samples)), 0.0
    up, down = np.exp(-1 / (0.005 * RATE)), np.exp(-1 / (0.1 * RATE))
    for i, value in enumerate(power.tolist()):
        k = up if value > level else down
        level = k * level + (1 - k) * value
        envelope[i] = level
    window = np.hanning(CONFIG.window_length) ** 2
    loudest = fftconvolve(power, window / window.sum(), mode="same").max()
    over = np.maximum(10 * np.log10(envelope / loudest + 1e-12) + threshold_db, 0)
    return samples * 10 ** (-over * (1 - 1 / ratio) / 20)


def with_noise(samples, below_db):
    """White noise whose energy in each band is so far below the loudest cell of the sound."""
    window = torch.hann_window(CONFIG.window_length).double().square().sum().item()
    per_variance = window * CONFIG.window_length / RATE  # a Slaney filter has the area 1, in hertz
    energy = np.exp(energies(samples).max().item()) * 10 ** (-below_db / 10)
    return samples + np.random.default_rng(2).normal(size=len(samples)) * np.sqrt(energy / per_variance)


def test_a_response_on_energies_is_the_convolved_waveform(material, tmp_path):
    sounds, responses = material
    found = []
    for number, response in enumerate(responses):
        part = write(tmp_path / str(number), [response])
        for samples in sounds:
            found.append(differences(through(energies(samples), response=part), energies(convolved(samples, response))))
    assert_within(found, *WITHIN["response"])


def test_a_compressor_on_energies_is_that_on_the_waveform(material):
    found = []
    for samples in material[0]:
        for threshold, ratio in ((12, 2), (25, 5)):
            part = Compressor(1.0, (threshold, threshold), (ratio, ratio))
            energy = energies(samples)
            found.append(differences(through(energy, compressor=part), energies(compressed(samples, threshold, ratio))))
    assert_within(found, *WITHIN["compressor"])


def test_noise_on_energies_is_white_noise_on_the_waveform(material):
    found = []
    for samples in material[0]:
        for below in (40, 70):
            energy = through(energies(samples), noise=Noise(1.0, (below, below)))
            expected = energies(with_noise(samples, below))
            # Noise in a cell is random: what is compared is each band's mean energy over half a second.
            found.append(DB * (halves(energy) - halves(expected)).abs().flatten())
    assert_within(found, *WITHIN["noise"])


def halves(x):
    return torch.nn.functional.avg_pool1d(x[:, 0].double().exp(), 16).log()


def test_a_whole_device_on_energies_is_that_on_the_waveform(material, tmp_path):
    sounds, responses = material
    found = []
    for number, (samples, response) in enumerate(zip(sounds, responses, strict=False)):
        device = RandomDevice(
            write(tmp_path / str(number), [response]), Compressor(1.0, (20, 20), (3, 3)), Noise(1.0, (50, 50))
        )
        parts = {"response": device.response, "compressor": device.compressor, "noise": device.noise}
        expected = energies(with_noise(compressed(convolved(samples, response), 20, 3), 50))
        found.append(differences(through(energies(samples), **parts), expected))
    assert_within(found, *WITHIN["device"])


def test_the_response_of_another_rate_is_the_same_and_its_level_does_not_count(tmp_path):
    def low_pass(rate):
        t = np.arange(round(0.02 * rate)) / rate
        return np.exp(-t * 6000)

    config = FeatureConfig(sample_rate=8_000, n_mels=32)
    gains = [
        band_gains(tmp_path / str(rate), str(write(tmp_path / str(rate), [low_pass(rate)], rate).fingerprint), config)
        for rate in (48_000, 192_000)
    ]
    assert (gains[0] - gains[1]).abs().max() * DB < 0.3 and gains[0].std() * DB > 2
    assert gains[0].mean().abs() < 1e-5


def test_random_curves_are_smooth_and_as_strong_as_configured():
    curves = DB * through(torch.zeros(4000, 1, 64, 2), response=Response(1.0, curve_db=4))[:, 0, :, 0]
    assert curves.mean(dim=1).abs().max() < 1e-3
    assert abs(curves.var(dim=1).mean().sqrt() - 4) < 0.2
    assert curves.diff(dim=1).square().mean().sqrt() < 1


def test_a_low_cut_is_a_high_pass_filter_of_the_waveform():
    samples = np.random.default_rng(3).normal(size=20 * RATE)
    for cutoff in (60, 300):
        cut = Response(1.0, curve_db=0, low_cut_hz=(cutoff, cutoff))
        expected = energies(sosfilt(butter(2, cutoff, "high", fs=RATE, output="sos"), samples))
        found = through(energies(samples), response=cut)
        band = (DB * (found - expected)).mean(dim=3).flatten()
        assert (band - band.median())[4:].abs().max() < 0.3  # below, what leaks from other bands is heard
        assert (DB * (found - energies(samples))).mean(dim=3).flatten()[-1] > 0  # the mean gain is none


def test_cutoffs_are_drawn_from_the_whole_range_evenly_in_octaves():
    centre = librosa.mel_frequencies(66, fmax=RATE / 2)[2]  # of the second band
    cut = Response(1.0, curve_db=0, low_cut_hz=(centre / 4, centre * 4))
    cuts = DB * through(torch.zeros(2000, 1, 64, 2), response=cut)[:, 0, :, 0]
    loss = cuts[:, -1] - cuts[:, 1]
    assert loss.min() < 0.1 and loss.max() > 20
    assert abs((loss > 3).float().mean() - 0.5) < 0.05


def test_a_low_cut_beside_measured_responses_is_an_error_that_names_it():
    with pytest.raises(ConfigError, match=r"^low_cut_hz: goes with random curves"):
        Response(folder="responses", low_cut_hz=(20, 200))


def test_each_part_changes_its_share_of_the_clips_each_in_its_own_way(tmp_path):
    x = torch.randn(2000, 1, 64, 6) * 3
    for name, part in (("response", Response(0.6)), ("compressor", Compressor(0.3)), ("noise", Noise(0.2, (20, 40)))):
        changed = (through(x, **{name: part}) != x).flatten(1).any(dim=1).float().mean()
        assert abs(changed - part.p) < 0.04, name
    assert torch.equal(through(x), x)
    measured = write(tmp_path / "r", made_responses())
    steps = (through(x[:200], response=measured) - x[:200])[:, 0, :, 0]
    assert len(torch.unique((steps * 10).round(), dim=0)) == 2
    assert torch.equal(through(x, 3, **ON), through(x, 3, **ON)) and not torch.equal(
        through(x, 3, **ON), through(x, 4, **ON)
    )


ON = {"response": Response(), "compressor": Compressor(), "noise": Noise()}


def test_silence_stays_at_the_energy_of_silence():
    silent = torch.full((50, 1, 64, 5), float(np.log(1e-10)))
    x = through(silent, response=Response(1.0), compressor=Compressor(1.0))
    assert x.isfinite().all() and x.min() >= np.log(1e-10) - 1e-4


def test_other_responses_than_the_expected_are_an_error_that_says_which(tmp_path):
    folder, x = tmp_path / "responses", torch.zeros(2, 1, 64, 3)
    part = write(folder, made_responses())
    through(x, response=part)
    with pytest.raises(UserError, match=f"fingerprint {part.fingerprint}, and none is expected"):
        through(x, response=Response(1.0, str(folder)))
    (folder / "README.md").write_text("not a response")
    assert fingerprint(folder) == part.fingerprint
    other = write(folder, made_responses()[::-1])
    assert other != part and repr(AugmentConfig(random_device=RandomDevice(other))) != repr(
        AugmentConfig(random_device=RandomDevice(part))
    )
    band_gains.cache_clear()
    with pytest.raises(UserError, match=f"fingerprint {other.fingerprint}, not {part.fingerprint}"):
        through(x, response=part)
    soundfile.write(folder / "9.wav", np.zeros(100), RATE)
    with pytest.raises(UserError, match=r"9\.wav: is silent"):
        through(x, response=Response(1.0, str(folder), fingerprint(folder)))
    for wrong, reason in (("nowhere", "nowhere: "), (".", "no impulse response")):
        with pytest.raises(UserError, match=reason):
            through(x, response=Response(1.0, str(tmp_path / wrong), "0"))


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (Response, "p", 1.1), (Response, "curve_db", -1), (Response, "fingerprint", "abc"),
        (Response, "low_cut_hz", (200, 20)), (Response, "low_cut_hz", (0, 20)),
        (Compressor, "threshold_db", (30, 10)), (Compressor, "ratio", (0.5, 2)), (Compressor, "ratio", (1, 2, 3)),
        (Noise, "below_db", (10, float("nan"))), (Noise, "below_db", 40),
    ],
)  # fmt: skip
def test_an_impossible_part_is_an_error_that_names_its_field(kind, field, value):
    with pytest.raises(ConfigError, match=f"^{field}: "):
        kind(**{field: value})
