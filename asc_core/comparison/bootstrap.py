"""Bootstrap over clusters: weights of resampled units, and the interval that a statistic gets from its resamples.

Clips of one location are alike, so locations are resampled and not clips. They are drawn within strata (the scenes),
one fewer than there are and each with n / (n - 1) of its weight, which makes the variance of a mean unbiased also
where strata are small (Rao & Wu, "Resampling inference with complex survey data", JASA 83, 1988).

An interval is the estimate and, to either side, Student's t times the standard deviation of the resamples (Efron &
Tibshirani, "An introduction to the bootstrap", 1993, chapter 12), with as many degrees of freedom as there are units
less strata. Percentiles of the resamples were no alternative: with five or six locations to a scene they are too
narrow, and a calibration error, which sums absolute values, is larger in nearly every resample than it is. What varies
for two reasons has the sum of two variances and Satterthwaite's degrees of freedom (Biometrics Bulletin 2, 1946).
"""

from typing import NamedTuple

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95
FREEDOM = 4  # fewest degrees of freedom that locations must leave: five locations of one scene


class Spread(NamedTuple):
    """How a statistic varies for one reason: its variance, and the degrees of freedom that this was found with."""

    variance: float
    freedom: int

    @classmethod
    def of(cls, values: np.ndarray, freedom: int) -> "Spread":
        """That of a statistic in resamples, (resamples,); not a number where a resample has nothing of it."""
        there = values[np.isfinite(values)]
        return cls(float(there.var()) if len(there) else 0.0, freedom)


def weights(strata: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """How often each unit counts in each resample: (resamples, units); 1 on average, and always where it is alone.

    Args:
        strata: (units,) whole numbers: which stratum each unit belongs to.
    """
    drawn = np.ones((resamples, len(strata)))
    for stratum in np.unique(strata):
        units = np.flatnonzero(strata == stratum)
        n = len(units)
        if n > 1:
            drawn[:, units] = rng.multinomial(n - 1, np.full(n, 1 / n), size=resamples) * (n / (n - 1))
    return drawn


def interval(
    estimate: float, locations: Spread, networks: Spread = Spread(0.0, 0), level: float = LEVEL
) -> tuple[float, float] | None:
    """The interval of a statistic; None with too few locations for one.

    Args:
        locations: how the statistic varies with the locations.
        networks: how it varies with the networks, where that counts; nothing where no degree of freedom tells it.
    """
    from scipy.stats import t

    if locations.freedom < FREEDOM:
        return None
    spreads = [spread for spread in (locations, networks) if spread.freedom and spread.variance]
    if not spreads:
        return estimate, estimate
    variance = sum(spread.variance for spread in spreads)
    freedom = variance**2 / sum(spread.variance**2 / spread.freedom for spread in spreads)
    reach = float(t.ppf((1 + level) / 2, freedom)) * variance**0.5
    return estimate - reach, estimate + reach
