"""Building blocks of an acoustic scene: each returns `n` float64 samples at `RATE`, of arbitrary level."""

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.fft import irfft, rfft, rfftfreq
from scipy.signal import fftconvolve

RATE = 44_100  # Hz
SPEED_OF_SOUND = 343.0  # m/s
FORMANTS = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))  # Hz
Samples = NDArray[np.float64]


def unit(samples: Samples) -> Samples:
    """`samples` at a root mean square of 1; silence stays silence."""
    level = np.sqrt(np.mean(samples**2))
    return samples / level if level > 0 else samples


def band(n: int, tilt: float = 0.0, low: float = 20.0, high: float = 20_000.0) -> Samples:
    """Gain at the n // 2 + 1 bins of a real transform: `tilt` dB per octave between soft edges, `low` and `high` Hz."""
    frequency = np.maximum(rfftfreq(n, 1 / RATE), 1.0)
    gain = (frequency / 1000) ** (tilt / (20 * np.log10(2)))
    return gain / np.sqrt((1 + (low / frequency) ** 6) * (1 + (frequency / high) ** 6))


def filtered(samples: Samples, gain: Samples) -> Samples:
    """`samples` under the zero-phase filter `gain`, one value per bin of their real transform."""
    return irfft(rfft(samples) * gain, len(samples))


def noise(rng: Generator, n: int, tilt: float = 0.0, low: float = 20.0, high: float = 20_000.0) -> Samples:
    """Coloured Gaussian noise with the spectrum of `band`."""
    return unit(filtered(rng.standard_normal(n), band(n, tilt, low, high)))


def fluctuation(rng: Generator, n: int, rate: float, depth: float) -> Samples:
    """A gain that wanders `rate` times a second with a standard deviation of `depth` dB."""
    points = int(n / RATE * rate) + 3
    at = np.arange(n) * (rate / RATE) + rng.random()
    return 10 ** (depth / 20 * np.interp(at, np.arange(points), rng.standard_normal(points)))


def harmonics(rng: Generator, frequency: Samples, amplitudes: Sequence[float]) -> Samples:
    """A tone whose fundamental follows `frequency` (Hz, one value a sample), with the given harmonic amplitudes."""
    phase = 2 * np.pi * np.cumsum(frequency) / RATE
    offsets = rng.uniform(0, 2 * np.pi, len(amplitudes))
    total = np.zeros_like(phase)
    for order, (amplitude, offset) in enumerate(zip(amplitudes, offsets, strict=True), start=1):
        total += amplitude * np.sin(order * phase + offset)
    return total


def engine(rng: Generator, n: int, rpm: float, acceleration: float) -> Samples:
    """Half orders of a four-stroke engine; `acceleration` is the relative change of speed over one second."""
    speed = rpm * (1 + acceleration * (np.arange(n) / RATE)) * fluctuation(rng, n, 3, 0.1)
    # Four cylinders fire twice a revolution: multiples of the fourth half order dominate.
    amplitudes = [(1.0 if order % 4 == 0 else 0.3 * rng.random()) / order**0.6 for order in range(1, 17)]
    return harmonics(rng, speed / 120, amplitudes)


def whine(rng: Generator, n: int, frequency: float, acceleration: float) -> Samples:
    """The tone of a traction motor and its inverter, gliding by `acceleration` (relative, per second)."""
    contour = frequency * (1 + acceleration * (np.arange(n) / RATE))
    return harmonics(rng, contour, (1.0, 0.6, 0.15, 0.3, 0.1)) * fluctuation(rng, n, 4, 2)


def squeal(rng: Generator, n: int, frequency: float) -> Samples:
    """Stick-slip of a wheel flange: a bright tone that comes and goes within a second."""
    contour = frequency * fluctuation(rng, n, 6, 0.15)
    return harmonics(rng, contour, (1.0, 0.5, 0.25)) * swell(rng, n, rng.uniform(0.2, 0.6)) * fluctuation(rng, n, 15, 4)


def swell(rng: Generator, n: int, width: float) -> Samples:
    """A Gaussian rise and fall of `width` seconds at a random time."""
    return np.exp(-0.5 * ((np.arange(n) / RATE - rng.uniform(0, n / RATE)) / width) ** 2)


def arrivals(rng: Generator, n: int, rate: float) -> Samples:
    """Times (s) of a Poisson process of `rate` events a second."""
    return rng.uniform(0, n / RATE, rng.poisson(rate * n / RATE))


def paces(rng: Generator, n: int, rate: float, jitter: float = 0.06) -> Samples:
    """Times (s) of near-regular events, `rate` a second."""
    steps = rng.random() + np.arange(int(n / RATE * rate) + 1) + jitter * rng.standard_normal(int(n / RATE * rate) + 1)
    return steps / rate


def strikes(rng: Generator, n: int, times: Samples, decay: float, low: float, high: float) -> Samples:
    """A short band-limited burst, decaying in `decay` seconds, at each of `times` with its own strength."""
    train = np.zeros(n)
    at = (np.asarray(times) * RATE).astype(int)
    strength = rng.uniform(0.4, 1.0, len(at))
    inside = (at >= 0) & (at < n)
    np.add.at(train, at[inside], strength[inside])
    length = int(8 * decay * RATE) + 256
    burst = noise(rng, length, 0, low, high) * np.exp(-np.arange(length) / (decay * RATE))
    return fftconvolve(train, burst)[:n]


def bells(rng: Generator, n: int, times: Samples, frequency: float, decay: float) -> Samples:
    """Inharmonic partials that ring for `decay` seconds from each of `times`."""
    total = np.zeros(n)
    for time in times:
        t = np.arange(n) / RATE - time
        ring = sum(np.sin(2 * np.pi * frequency * ratio * t) / ratio for ratio in (1.0, 2.0, 2.76, 5.4))
        total += np.where(t >= 0, ring * np.exp(-np.maximum(t, 0) / decay), 0)
    return total


def chirps(rng: Generator, n: int, rate: float, low: float, high: float) -> Samples:
    """Bird song: `rate` motifs a second, each a few equal sweeps between `low` and `high` Hz."""
    total = np.zeros(n)
    for start in arrivals(rng, n, rate):
        length = int(rng.uniform(0.04, 0.18) * RATE)
        start_pitch, end_pitch = np.exp(rng.uniform(np.log(low), np.log(high), 2))
        vibrato = 1 + rng.uniform(0, 0.06) * np.sin(2 * np.pi * rng.uniform(20, 45) * np.arange(length) / RATE)
        note = harmonics(rng, np.geomspace(start_pitch, end_pitch, length) * vibrato, (1.0, 0.15)) * np.hanning(length)
        period, strength = int(length * rng.uniform(1.1, 1.8)), rng.uniform(0.3, 1.0)
        for k in range(rng.integers(1, 6)):
            at = int(start * RATE) + k * period
            end = min(at + length, n)
            total[at:end] += strength * note[: max(end - at, 0)]
    return total


def voice(rng: Generator, n: int, pitch: float) -> Samples:
    """One talker at `pitch` Hz: a glottal pulse train through vowels that change with every syllable."""
    contour = pitch * fluctuation(rng, n, 5, 0.8)
    source = 1 - 2 * (np.cumsum(contour) / RATE % 1) + 0.15 * rng.standard_normal(n)
    rate = rng.uniform(3.5, 5.5)
    syllables = int(n / RATE * rate) + 3
    strength = rng.uniform(0.3, 1.0, syllables) * (rng.random(syllables) < 0.8)
    vowels = rng.integers(0, 3, syllables)
    at = np.arange(n) * (rate / RATE) + rng.random()
    opening = np.sin(np.pi * at) ** 2
    frequency = rfftfreq(n, 1 / RATE)
    spectrum = np.zeros(len(frequency), complex)
    for vowel, formants in enumerate(rng.permutation(FORMANTS)[:3] * rng.uniform(0.9, 1.15)):
        gate = np.where(vowels == vowel, strength, 0)[at.astype(int)] * opening
        resonances = sum(0.6**k / (1 + ((frequency - f) / (60 + 0.04 * f)) ** 2) for k, f in enumerate(formants))
        spectrum += rfft(source * gate) * (resonances + 0.01)
    return irfft(spectrum, n)


def babble(rng: Generator, n: int, voices: int) -> Samples:
    """Several talkers at unlike distances."""
    return sum((unit(voice(rng, n, rng.uniform(95, 240))) * rng.uniform(0.3, 1.0) for _ in range(voices)), np.zeros(n))


def music(rng: Generator, n: int, tempo: float) -> Samples:
    """Chords from a loudspeaker, `tempo` a second."""
    beats = int(n / RATE * tempo) + 2
    at = np.arange(n) * (tempo / RATE) + rng.random()
    beat = at.astype(int)
    roots = 220 * 2 ** (rng.choice([0, 2, 4, 5, 7, 9], beats) / 12)
    decay = np.exp(-1.5 * (at % 1)) * np.minimum(20 * (at % 1), 1)
    chord = sum(harmonics(rng, roots[beat] * ratio, (1.0, 0.5, 0.25, 0.12)) for ratio in (1.0, 1.26, 1.5))
    return chord * decay


def pass_by(rng: Generator, source: Samples, speed: float, distance: float) -> Samples:
    """`source` driving by at `speed` m/s, `distance` m away at the nearest: Doppler shift and 1/r level."""
    n = len(source)
    time = np.arange(n) / RATE
    path = np.hypot(distance, speed * (time - rng.uniform(0, time[-1])))
    emitted = time - (path - path.min()) / SPEED_OF_SOUND
    return np.interp(emitted % time[-1], time, source) / path


def reverberate(rng: Generator, samples: Samples, seconds: float, wet: float = 1.0) -> Samples:
    """`samples` in a room whose decay by 60 dB takes `seconds`; `wet` weighs the diffuse field against the source."""
    length = int(seconds * RATE)
    tail = noise(rng, length, -2, 60, 9000) * 10 ** (-3 * np.arange(length) / length)
    return unit(samples) + wet * unit(fftconvolve(samples, tail)[: len(samples)])
