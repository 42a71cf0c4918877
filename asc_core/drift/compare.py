"""Have recordings moved? Each device of training is asked whether they could be its own."""

from dataclasses import dataclass

import numpy as np

from asc_core.drift.reference import Reference
from asc_core.errors import UserError

LEAST = 8  # recordings, without which nothing can be told
CONFIDENCE = "confidence"


@dataclass(frozen=True)
class Row:
    """One quantity, before and now.

    Attributes:
        name: the number of a group of mel bands, from 0 for the lowest, or `CONFIDENCE`.
        before: its mean over the recordings of the reference.
        now: over the new ones.
        interval: of that mean, 95 % by Student's t.
        distance: the largest difference of both distributions (Kolmogorov and Smirnov), 0 to 1.
        p: how often chance alone gives such a distance, after correction for the number of quantities.
    """

    name: int | str
    before: float
    now: float
    interval: tuple[float, float]
    distance: float
    p: float


@dataclass(frozen=True)
class Shift:
    """How new recordings compare with the device of training that they are most like.

    Attributes:
        device: that device.
        devices: the quantities beside those of each device of training.
        moved: those that have moved from the ones of `device`, the most certain first; where there are any, the
            recordings are like those of no device of training, or the model is less (or more) sure of them than it was.
    """

    device: str
    recordings: int
    devices: dict[str, list[Row]]
    moved: list[Row]

    @property
    def rows(self) -> list[Row]:
        """The quantities beside those of the device that they are most like."""
        return self.devices[self.device]


def moved(rows: list[Row], limit: float, least: float) -> list[Row]:
    """The quantities that have moved, the most certain first."""
    return sorted((row for row in rows if row.p < limit and row.distance >= least), key=lambda row: row.p)


def compare(
    before: Reference, spectra: np.ndarray, confidences: np.ndarray, limit: float = 0.01, least: float = 0.2
) -> Shift:
    """Hold new recordings of one device to the reference.

    For each device of training the distributions of all quantities are compared by the two-sample test of Kolmogorov
    and Smirnov; the p-values of a device are corrected together (Benjamini and Hochberg, which where nothing has moved
    holds the chance of any alarm to `limit`). What counts is the device that the recordings fit best.

    Args:
        spectra: (recordings, groups) of the new ones, as `reference.spectrum` has them.
        confidences: (recordings,) of the model.
        limit: the p-value below which something has moved.
        least: the distance below which nothing has moved, however certain it is.

    Raises:
        UserError: there are too few recordings, new ones or of any device of training, or they are of other features.
    """
    if len(spectra) and spectra.shape[1] != before.spectra.shape[1]:
        raise UserError("the reference is of a model with other features")
    if len(spectra) < LEAST:
        raise UserError(f"{len(spectra)} recordings, at least {LEAST} are needed to tell whether they differ")
    names, counts = np.unique(before.devices.astype(str), return_counts=True)
    known = names[counts >= LEAST]
    if not len(known):
        raise UserError(f"the reference has no device with {LEAST} recordings")
    found = {str(device): _rows(before, str(device), spectra, confidences) for device in known}
    device = max(found, key=lambda name: (min(row.p for row in found[name]), -_mean_distance(found[name])))
    return Shift(device, len(spectra), found, moved(found[device], limit, least))


def _rows(before: Reference, device: str, spectra: np.ndarray, confidences: np.ndarray) -> list[Row]:
    from scipy.stats import false_discovery_control, ks_2samp

    own = before.spectra[before.devices == device]
    pairs: dict[int | str, tuple[np.ndarray, np.ndarray]] = {
        group: (own[:, group], spectra[:, group]) for group in range(own.shape[1])
    }
    sure = before.confidences[before.confidence_devices == device]
    if len(sure) >= LEAST:
        pairs[CONFIDENCE] = (sure, confidences)
    tests = {name: ks_2samp(*pair) for name, pair in pairs.items()}
    ps = false_discovery_control([test.pvalue for test in tests.values()])
    return [
        Row(name, float(pairs[name][0].mean()), float(pairs[name][1].mean()), _interval(pairs[name][1]),
            float(test.statistic), float(p))
        for (name, test), p in zip(tests.items(), ps, strict=True)
    ]  # fmt: skip


def _interval(values: np.ndarray) -> tuple[float, float]:
    from scipy.stats import sem, t

    mean, half = float(values.mean()), float(t.ppf(0.975, len(values) - 1) * sem(values))
    return mean - half, mean + half


def _mean_distance(rows: list[Row]) -> float:
    return float(np.mean([row.distance for row in rows]))
