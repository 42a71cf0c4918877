"""Nine recording devices: a fixed frequency response, dynamic range compression and a noise floor for each name."""

import functools
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from scipy.fft import fft, ifft
from scipy.signal import fftconvolve, lfilter

from asc_core.corpus.synthetic.sounds import RATE, Samples, noise

TAPS = 1024
PEAK = 0.9  # full scale is 1; a device lowers its gain rather than clip


@dataclass(frozen=True)
class Device:
    """Corner frequencies in Hz, `roughness` and `tilt` of the response in dB and dB per octave, levels in dBFS."""

    name: str
    low: float = 30.0
    high: float = 20_000.0
    roughness: float = 0.0
    tilt: float = 0.0
    ratio: float = 1.0
    threshold: float = -40.0
    floor: float = -80.0


DEVICES = {
    device.name: device
    for device in (
        Device("a"),
        Device("b", low=140, high=7000, roughness=4.0, tilt=1.0, floor=-74),
        Device("c", low=90, high=9000, roughness=4.5, tilt=-1.0, floor=-72),
        Device("s1", low=110, high=8000, roughness=4.5, tilt=1.5, ratio=1.5),
        Device("s2", low=160, high=6000, roughness=5.0, tilt=-1.5, ratio=2.0),
        Device("s3", low=60, high=9000, roughness=3.5, tilt=0.5, ratio=1.3),
        Device("s4", low=220, high=5500, roughness=6.0, tilt=2.0, ratio=1.8),
        Device("s5", low=90, high=4500, roughness=6.0, tilt=-2.0, ratio=1.6),
        Device("s6", low=250, high=6500, roughness=6.0, tilt=1.5, ratio=2.2),
    )
}
TRAINING_DEVICES = ("a", "b", "c", "s1", "s2", "s3")


def through(device: Device, samples: Samples, rng: Generator) -> Samples:
    """`samples` (full scale 1) as `device` records them; `rng` draws the noise of its microphone."""
    if device.roughness:
        samples = fftconvolve(samples, impulse_response(device))[: len(samples)]
    samples = compress(samples, device.threshold, device.ratio)
    samples = samples + 10 ** (device.floor / 20) * noise(rng, len(samples), -1)
    return samples * min(1.0, PEAK / np.abs(samples).max())


def compress(samples: Samples, threshold: float, ratio: float, seconds: float = 0.02) -> Samples:
    """Feed-forward compression above `threshold` dBFS of a level smoothed over `seconds`, without make-up gain."""
    if ratio == 1:
        return samples
    pole = np.exp(-1 / (seconds * RATE))
    power, _ = lfilter([1 - pole], [1, -pole], samples**2, zi=[pole * np.mean(samples**2)])
    over = np.maximum(10 * np.log10(power + 1e-12) - threshold, 0)
    return samples * 10 ** (-over * (1 - 1 / ratio) / 20)


@functools.cache
def impulse_response(device: Device) -> Samples:
    """The device's minimum-phase response, [TAPS], with unit energy; its name alone seeds the resonances."""
    rng = np.random.default_rng(zlib.crc32(device.name.encode()))
    size = 8 * TAPS
    frequency = np.maximum(np.abs(np.fft.fftfreq(size, 1 / RATE)), 10.0)
    octave = np.log2(frequency / 1000)
    # Half an octave between the nodes: coarser than the ear's bands, fine enough to change the spectrum's shape.
    nodes = np.arange(-7, 5, 0.5)
    gain = device.tilt * octave + np.interp(octave, nodes, device.roughness * rng.standard_normal(len(nodes)))
    for centre in rng.uniform(-1.5, 2.8, 4):
        gain += device.roughness * rng.choice([-1.5, 1.5]) * np.exp(-0.5 * ((octave - centre) / 0.1) ** 2)
    gain -= 10 * np.log10((1 + (device.low / frequency) ** 4) * (1 + (frequency / device.high) ** 6))
    # Folding the cepstrum onto positive times leaves the magnitude and gives the phase of least delay.
    cepstrum = ifft(gain * (np.log(10) / 20)).real
    cepstrum[1 : size // 2] *= 2
    cepstrum[size // 2 + 1 :] = 0
    response = ifft(np.exp(fft(cepstrum))).real[:TAPS]
    return response / np.sqrt(np.sum(response**2))
