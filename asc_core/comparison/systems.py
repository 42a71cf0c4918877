"""Two systems, compared clip by clip: what each metric differs by, and whether that can be told from chance."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from asc_core.comparison.bootstrap import LEVEL, RESAMPLES, Spread, interval, weights
from asc_core.comparison.clips import check_same, check_scenes, clips_of
from asc_core.comparison.tally import Design, Metric, System

Tables = Mapping[str, pd.DataFrame]  # of predictions, one a network, by what errors call them


@dataclass(frozen=True)
class Difference:
    """A metric of two systems.

    Attributes:
        first, other: its value for each.
        interval: of first - other, at `level`; None with fewer than five locations.
        verdict: "better", "worse" (the first one than the other) or "not distinguishable".
    """

    first: float
    other: float
    interval: tuple[float, float] | None
    level: float
    verdict: str

    @property
    def difference(self) -> float:
        return self.first - self.other


@dataclass(frozen=True)
class Comparison:
    """What came of comparing two systems.

    Attributes:
        clips, locations: how many they were compared on.
        several: of each system, whether it has several networks for its clips, so that other seeds are accounted for.
        differences: of each metric that has a value (there may be no unseen device).
    """

    clips: int
    locations: int
    several: tuple[bool, bool]
    differences: dict[Metric, Difference]


def compare(first: Tables, other: Tables, resamples: int = RESAMPLES, seed: int = 0) -> Comparison:
    """Compare two systems by the tables of predictions of their networks; both answered to the same clips.

    A location that is drawn brings its clips for both systems, so what makes it easy or hard for both does not count.
    Where a system has several networks for a set of clips (seeds), these are drawn too, each system's on its own: other
    trainings would have given others. A single network does not tell what another seed would change.

    An interval is of 95 %; those of the devices hold for all devices at once, and those of the scenes for all scenes
    (Bonferroni), as one of many would often differ by chance.

    Raises:
        UserError: the tables of a system do not fit together, or the systems are not of the same clips and scenes.
    """
    (clips, sets), (other_clips, other_sets) = (clips_of(tables) for tables in (first, other))
    names = [" + ".join(tables) for tables in (first, other)]
    check_scenes(names[0], next(iter(first.values())), names[1], next(iter(other.values())))
    check_same(names[0], clips, names[1], other_clips)
    design, rng = Design(clips), np.random.default_rng(seed)
    systems = [System(list(first.values()), sets, design), System(list(other.values()), other_sets, design)]
    drawn = weights(design.strata, resamples, rng)
    by_location = _subtract(*(system.metrics(drawn) for system in systems))
    whole = np.ones((1, len(design.locations)))
    by_network = _subtract(*(system.metrics(whole, weights(system.sets, resamples, rng)) for system in systems))
    estimates, freedom = [system.estimates() for system in systems], design.freedom()
    networks_freedom = sum(len(system.sets) - len(np.unique(system.sets)) for system in systems)
    family = Counter(name[0] for name in freedom)
    differences = {}
    for name in freedom:
        a, b = (values[name] for values in estimates)
        if np.isfinite([a, b]).all():
            spreads = Spread.of(by_location[name], freedom[name]), Spread.of(by_network[name], networks_freedom)
            level = 1 - (1 - LEVEL) / family[name[0]]
            bounds = interval(a - b, *spreads, level)
            differences[name] = Difference(a, b, bounds, level, verdict(name, bounds))
    several = [bool(np.bincount(system.sets).min() > 1) for system in systems]
    return Comparison(len(clips), len(design.locations), (several[0], several[1]), differences)


def _subtract(values: dict[Metric, np.ndarray], less: dict[Metric, np.ndarray]) -> dict[Metric, np.ndarray]:
    return {name: values[name] - less[name] for name in values}


def verdict(name: Metric, bounds: tuple[float, float] | None) -> str:
    """Whether the first system is better, by the interval of the difference."""
    if bounds is None or bounds[0] <= 0 <= bounds[1]:
        return "not distinguishable"
    return "better" if (bounds[0] > 0) == name[0].startswith("accuracy") else "worse"
