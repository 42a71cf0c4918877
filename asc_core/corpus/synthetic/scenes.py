"""Ten acoustic scenes, each a mixture of its own sound sources with parameters of its city and location."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from asc_core.corpus.synthetic.sounds import (
    RATE,
    Samples,
    arrivals,
    babble,
    band,
    bells,
    chirps,
    engine,
    filtered,
    fluctuation,
    music,
    noise,
    paces,
    pass_by,
    reverberate,
    squeal,
    strikes,
    swell,
    unit,
    voice,
    whine,
)

SPREAD = 3.5  # dB, standard deviation of the level of a source from one recording to the next
AMBIENCE = -5.0  # dB, level of the unspecific background that every scene has
LEVEL, LEVEL_SPREAD = -30.0, 4.0  # dBFS, mean and standard deviation of the level of a recording

Parts = list[tuple[float, Samples]]  # level in dB and samples of each source


@dataclass(frozen=True)
class Traits:
    """What the recordings of one location have in common, whatever their scene."""

    tilt: float  # dB per octave, on top of the scene's own spectrum
    ambience: float  # dB per octave, spectrum of the background
    pitch: float  # factor on the speed of engines and motors and on the register of birds and bells
    room: float  # factor on reverberation times
    activity: float  # factor on the rate of events
    crowd: float  # dB, level of people


def traits(seed: int, scene: str, city: str, location: int) -> Traits:
    """The location's traits: one part shared by its city, one of its own."""
    shared, own = _generator(seed, city), _generator(seed, scene, city, location)

    def draw(spread: float) -> float:
        return spread * (0.5 * shared.standard_normal() + 0.85 * own.standard_normal())

    return Traits(
        tilt=draw(0.7),
        ambience=draw(1.5) - 4.5,
        pitch=2 ** draw(0.2),
        room=2 ** draw(0.3),
        activity=2 ** draw(0.35),
        crowd=draw(2.0),
    )


def recording(seed: int, scene: str, city: str, location: int, segment: int, n: int) -> Samples:
    """`n` samples (44.1 kHz, full scale 1) of `scene` before any device; the arguments alone determine them."""
    here = traits(seed, scene, city, location)
    rng = _generator(seed, scene, city, location, segment)
    background = noise(rng, n, here.ambience, 30) * fluctuation(rng, n, 2, 1.5)
    parts: Parts = [(AMBIENCE, background), *SCENES[scene](rng, n, here)]
    total = sum((10 ** (rng.normal(level, SPREAD) / 20) * unit(part) for level, part in parts), np.zeros(n))
    level = rng.normal(LEVEL, LEVEL_SPREAD)
    return 10 ** (level / 20) * unit(filtered(total, band(n, here.tilt)))


def _generator(seed: int, *key: str | int) -> Generator:
    return np.random.default_rng([seed, zlib.crc32("/".join(map(str, key)).encode())])


def _walkers(rng: Generator, n: int, here: Traits, count: int, high: float = 6000) -> Samples:
    """Footsteps of several people, each with a pace and shoes of their own."""
    total = np.zeros(n)
    for _ in range(count):
        times = paces(rng, n, rng.uniform(1.6, 2.3) * here.activity**0.3)
        heels = strikes(rng, n, times, rng.uniform(0.006, 0.02), 150, rng.uniform(0.4, 1) * high)
        total += rng.uniform(0.3, 1.0) * heels
    return total


def _announcement(rng: Generator, n: int, here: Traits) -> Samples:
    """A loudspeaker voice after a chime."""
    speech = filtered(voice(rng, n, rng.uniform(150, 230)), band(n, 0, 400, 3800))
    return unit(speech) + 0.5 * unit(bells(rng, n, arrivals(rng, n, 0.4), 520 * here.pitch, 0.3))


def _traffic(rng: Generator, n: int, here: Traits, cars: int, nearest: float) -> Samples:
    """Cars of road noise and engine driving by."""
    total = np.zeros(n)
    for _ in range(cars):
        tyres = noise(rng, n, -2, 120, 3000) + 0.5 * unit(engine(rng, n, rng.uniform(1800, 3000) * here.pitch, 0))
        total += pass_by(rng, tyres, rng.uniform(8, 18), nearest * rng.uniform(1, 2))
    return total


def _distant_traffic(rng: Generator, n: int) -> Samples:
    return noise(rng, n, -6, 40, 700) * fluctuation(rng, n, 1, 2)


def _ventilation(rng: Generator, n: int, here: Traits) -> Samples:
    return noise(rng, n, -6, 40, 2500) + 0.3 * whine(rng, n, 100 * here.pitch, 0)


def airport(rng: Generator, n: int, here: Traits) -> Parts:
    wheels = noise(rng, n, 0, 500, 5000) * strikes(rng, n, paces(rng, n, 18 * here.activity, 0.2), 0.02, 20, 300) ** 2
    people = babble(rng, n, 3) + 0.5 * unit(_walkers(rng, n, here, 2))
    parts: Parts = [
        (0, _ventilation(rng, n, here)),
        (here.crowd - 2, reverberate(rng, people, 1.6 * here.room, 1.2)),
        (0, reverberate(rng, wheels * swell(rng, n, 0.7), 1.2 * here.room, 0.4)),
    ]
    if rng.random() < 0.6:
        parts.append((-1, reverberate(rng, _announcement(rng, n, here), 2.0 * here.room, 1.5)))
    return parts


def bus(rng: Generator, n: int, here: Traits) -> Parts:
    motor = engine(rng, n, rng.uniform(800, 1900) * here.pitch, rng.uniform(-0.15, 0.25))
    rattle = strikes(rng, n, arrivals(rng, n, 9 * here.activity), 0.012, 800, 5000)
    parts: Parts = [
        (0, motor * fluctuation(rng, n, 2, 2)),
        (-1, noise(rng, n, -6, 40, 1200) * fluctuation(rng, n, 3, 2.5)),
        (-9, rattle),
    ]
    if rng.random() < 0.4:
        parts.append((-5, noise(rng, n, 2, 2000, 9000) * swell(rng, n, 0.15)))  # doors and air brakes
    if rng.random() < 0.5:
        parts.append((here.crowd - 6, babble(rng, n, 2)))
    return parts


def metro(rng: Generator, n: int, here: Traits) -> Parts:
    acceleration = rng.uniform(-0.3, 0.3)
    parts: Parts = [
        (0, reverberate(rng, noise(rng, n, -5, 30, 900) * fluctuation(rng, n, 8, 3), 0.5 * here.room)),
        (-4, whine(rng, n, rng.uniform(350, 700) * here.pitch, acceleration)),
        (-5, _rail_joints(rng, n, here, 1.6, 0.05)),
    ]
    if rng.random() < 0.35:
        parts.append((-7, squeal(rng, n, rng.uniform(1800, 3200) * here.pitch)))
    if rng.random() < 0.6:
        parts.append((here.crowd - 7, babble(rng, n, 2)))
    return parts


def tram(rng: Generator, n: int, here: Traits) -> Parts:
    parts: Parts = [
        (-1, noise(rng, n, -4, 60, 1400) * fluctuation(rng, n, 4, 2)),
        (-5, whine(rng, n, rng.uniform(180, 420) * here.pitch, rng.uniform(-0.25, 0.25))),
        (-4, _rail_joints(rng, n, here, 1.0, 0.025)),
    ]
    if rng.random() < 0.6:
        parts.append((-4, squeal(rng, n, rng.uniform(2500, 4500) * here.pitch)))
    if rng.random() < 0.35:
        parts.append((-5, bells(rng, n, rng.uniform(0, n / RATE, 1) + np.array([0, 0.25]), 1100 * here.pitch, 0.25)))
    if rng.random() < 0.6:
        parts.append((here.crowd - 6, babble(rng, n, 2)))
    return parts


def _rail_joints(rng: Generator, n: int, here: Traits, rate: float, decay: float) -> Samples:
    """The two axles of a bogie over each joint."""
    times = paces(rng, n, rate * rng.uniform(0.8, 1.4) * here.activity, 0.03)
    return strikes(rng, n, np.concatenate([times, times + rng.uniform(0.1, 0.16)]), decay, 80, 2500)


def metro_station(rng: Generator, n: int, here: Traits) -> Parts:
    train = noise(rng, n, -5, 40, 1500) * swell(rng, n, 1.0) + 0.3 * squeal(rng, n, 2400 * here.pitch)
    people = 0.6 * unit(babble(rng, n, 2)) + unit(_walkers(rng, n, here, 3))
    parts: Parts = [
        (-3, _ventilation(rng, n, here)),
        (here.crowd - 1, reverberate(rng, people, 2.6 * here.room, 1.5)),
    ]
    if rng.random() < 0.6:
        parts.append((0, reverberate(rng, train, 2.0 * here.room)))
    if rng.random() < 0.7:
        parts.append((0, reverberate(rng, _announcement(rng, n, here), 2.8 * here.room, 1.5)))
    if rng.random() < 0.4:
        beeps = bells(rng, n, paces(rng, n, 3), 1900 * here.pitch, 0.06)
        parts.append((-6, reverberate(rng, beeps, 2.0 * here.room, 0.8)))
    return parts


def park(rng: Generator, n: int, here: Traits) -> Parts:
    parts: Parts = [
        (0, noise(rng, n, -7, 30, 600) * fluctuation(rng, n, 2, 4)),  # gusts on the microphone
        (-4, noise(rng, n, 0, 1500, 9000) * fluctuation(rng, n, 2, 3)),  # leaves
        (-4, chirps(rng, n, 2.0 * here.activity, 2000 * here.pitch, 6500 * here.pitch)),
        (-3, _distant_traffic(rng, n)),
    ]
    if rng.random() < 0.5:
        parts.append((-7, _walkers(rng, n, here, 1, 9000)))
    if rng.random() < 0.3:
        parts.append((here.crowd - 6, babble(rng, n, 2)))
    return parts


def public_square(rng: Generator, n: int, here: Traits) -> Parts:
    parts: Parts = [
        (here.crowd - 1, reverberate(rng, babble(rng, n, 5), 0.8 * here.room, 1.5)),
        (0, _distant_traffic(rng, n)),
        (-6, _walkers(rng, n, here, 2)),
    ]
    if rng.random() < 0.75:
        parts.append((-1, noise(rng, n, -1, 700, 7000) * fluctuation(rng, n, 25, 2)))  # fountain
    if rng.random() < 0.5:
        parts.append((-4, _traffic(rng, n, here, 1, 12)))
    if rng.random() < 0.4:
        parts.append((-8, chirps(rng, n, 1.0 * here.activity, 1500 * here.pitch, 4000 * here.pitch)))
    return parts


def shopping_mall(rng: Generator, n: int, here: Traits) -> Parts:
    parts: Parts = [
        (here.crowd, reverberate(rng, babble(rng, n, 5), 1.0 * here.room, 0.8)),
        (-3, _ventilation(rng, n, here)),
        (-6, reverberate(rng, _walkers(rng, n, here, 3), 0.9 * here.room, 0.5)),
    ]
    if rng.random() < 0.85:
        parts.append((-2, reverberate(rng, music(rng, n, rng.uniform(1.5, 2.5)), 0.8 * here.room, 0.5)))
    if rng.random() < 0.3:
        parts.append((-10, bells(rng, n, arrivals(rng, n, 1.0), 2600 * here.pitch, 0.05)))
    return parts


def street_pedestrian(rng: Generator, n: int, here: Traits) -> Parts:
    parts: Parts = [
        (here.crowd, reverberate(rng, babble(rng, n, 3), 0.35 * here.room, 0.4)),
        (-1, _walkers(rng, n, here, 3)),
        (-2, _distant_traffic(rng, n)),
    ]
    if rng.random() < 0.3:
        parts.append((-4, _traffic(rng, n, here, 1, 8)))
    return parts


def street_traffic(rng: Generator, n: int, here: Traits) -> Parts:
    parts: Parts = [
        (1, _traffic(rng, n, here, 1 + rng.poisson(1.2 * here.activity), 4)),
        (-2, _distant_traffic(rng, n)),
    ]
    if rng.random() < 0.2:
        parts.append((-3, whine(rng, n, 420 * here.pitch, 0) * swell(rng, n, 0.15)))  # horn
    if rng.random() < 0.4:
        parts.append((-7, _walkers(rng, n, here, 1)))
    if rng.random() < 0.3:
        parts.append((here.crowd - 6, babble(rng, n, 1)))
    return parts


SCENES: dict[str, Callable[[Generator, int, Traits], Parts]] = {
    function.__name__: function
    for function in (
        airport,
        bus,
        metro,
        metro_station,
        park,
        public_square,
        shopping_mall,
        street_pedestrian,
        street_traffic,
        tram,
    )
}
