"""Metrics from what was summed by location: a resample of locations is then a product with their weights."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from asc_core.evaluation.metrics import BINS, confidence_bins, log_losses
from asc_core.evaluation.predictions import scenes_of

CHUNK = 1000  # resamples at once, to keep the memory small

Metric = tuple[str, ...]  # the keys that lead to it in `metrics_of`: ("accuracy",), ("accuracy_by_device", "s4")


class Design:
    """The clips that networks are judged on: their locations, the strata of these, and the slices of the clips.

    A location's stratum is the scene that most of its clips are of. Where that leaves a location alone, all are of one
    stratum. A cell is what the clips of one device and scene have in common; a slice is a mask over cells.

    Args:
        clips: a row a clip: location, scene, device, unseen.
    """

    def __init__(self, clips: pd.DataFrame) -> None:
        main_scene = clips.groupby("location")["scene"].agg(lambda scenes: scenes.mode().iloc[0])
        self.locations = pd.Index(main_scene.index)
        strata = pd.factorize(main_scene)[0]
        self.strata = strata if np.bincount(strata).min() > 1 else np.zeros_like(strata)

        self.cells = pd.MultiIndex.from_frame(clips[["device", "scene", "unseen"]].drop_duplicates()).sort_values()
        device, self.scene, unseen = (self.cells.get_level_values(level).to_numpy() for level in range(3))
        unseen = unseen.astype(bool)
        self.scenes = np.unique(self.scene)
        everything = np.ones(len(self.cells), bool)
        devices = {name: device == name for name in np.unique(device)}
        self.accuracies: dict[Metric, np.ndarray] = {
            ("accuracy",): everything,
            ("accuracy_seen",): ~unseen,
            ("accuracy_unseen",): unseen,
            **{("accuracy_by_device", name): mask for name, mask in devices.items()},
            **{("accuracy_by_scene", name): self.scene == name for name in self.scenes},
        }
        self.log_losses: dict[Metric, np.ndarray] = {
            ("log_loss",): everything,
            **{("log_loss_by_device", name): mask for name, mask in devices.items()},
        }
        self.others: dict[Metric, np.ndarray] = {("accuracy_micro",): everything, ("calibration_error",): everything}
        self._present = np.zeros((len(self.locations), len(self.cells)), bool)
        self._present[self.locations.get_indexer(pd.Index(clips["location"])), self.cell_of(clips)] = True

    def cell_of(self, clips: pd.DataFrame) -> np.ndarray:
        """(clips,) the index of each clip's cell."""
        return self.cells.get_indexer(pd.MultiIndex.from_frame(clips[["device", "scene", "unseen"]]))

    def freedom(self) -> dict[Metric, int]:
        """Degrees of freedom of each metric: the locations in its slice, less their strata."""
        slices = {**self.accuracies, **self.log_losses, **self.others}
        own = {name: self.strata[self._present[:, mask].any(axis=1)] for name, mask in slices.items()}
        return {name: len(strata) - len(np.unique(strata)) for name, strata in own.items()}


@dataclass
class Tally:
    """The answers of one network, summed by location.

    Attributes:
        locations: (own,) those that it has clips of, as indices of the design's.
        sums: (own, 3 x cells): clips, right answers in percent, log losses.
        gaps: (own, bins): confidence less right answers, in percent, by confidence.
    """

    locations: np.ndarray
    sums: np.ndarray
    gaps: np.ndarray

    @classmethod
    def of(cls, table: pd.DataFrame, design: Design) -> "Tally":
        """Sum what is in a table of predictions of one network."""
        scenes = scenes_of(table)
        probabilities, labels = table[scenes].to_numpy(np.float64), scenes.get_indexer(pd.Index(table["scene"]))
        right = 100.0 * (probabilities.argmax(axis=1) == labels)
        locations, rows = np.unique(design.locations.get_indexer(pd.Index(table["location"])), return_inverse=True)
        cells = design.cell_of(table)
        sums = np.zeros((len(locations), 3, len(design.cells)))
        for kind, values in enumerate((1.0, right, log_losses(probabilities, labels))):
            np.add.at(sums[:, kind], (rows, cells), values)
        gaps = np.zeros((len(locations), BINS))
        np.add.at(gaps, (rows, confidence_bins(probabilities)), 100 * probabilities.max(axis=1) - right)
        return cls(locations, sums.reshape(len(locations), -1), gaps)


class System:
    """Networks that were made in the same way: by several seeds, judged on the same clips or on several sets of clips.

    Args:
        tables: of predictions, one a network.
        sets: (networks,) whole numbers: which set of clips each was judged on; no two sets have a clip in common.
    """

    def __init__(self, tables: Sequence[pd.DataFrame], sets: np.ndarray, design: Design) -> None:
        self.design, self.sets = design, sets
        self._tallies = [Tally.of(table, design) for table in tables]

    def estimates(self) -> dict[Metric, float]:
        """The metrics; of clips that several networks answered to, the mean over these. Not a number of no clip."""
        return {name: float(value[0]) for name, value in self.metrics(np.ones((1, len(self.design.locations)))).items()}

    def metrics(self, locations: np.ndarray, networks: np.ndarray | None = None) -> dict[Metric, np.ndarray]:
        """The metrics in each resample, (resamples,) each; not a number where one has nothing of a slice.

        Args:
            locations: (resamples or 1, locations) how often each location counts.
            networks: (resamples or 1, networks) how often each network counts; None: all once.
        """
        if networks is None:
            networks = np.ones((1, len(self._tallies)))
        shares = networks / np.bincount(self.sets)[self.sets]  # a clip counts once, whatever its number of networks
        parts = [
            self._chunk(
                locations[at : at + CHUNK] if len(locations) > 1 else locations,
                shares[at : at + CHUNK] if len(shares) > 1 else shares,
            )
            for at in range(0, max(len(locations), len(shares)), CHUNK)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _chunk(self, locations: np.ndarray, shares: np.ndarray) -> dict[Metric, np.ndarray]:
        design, resamples = self.design, max(len(locations), len(shares))
        sums, gaps = np.zeros((resamples, 3 * len(design.cells))), np.zeros(resamples)
        for tally, share in zip(self._tallies, shares.T, strict=True):
            own = locations[:, tally.locations]
            sums += share[:, None] * (own @ tally.sums)
            gaps += share * np.abs(own @ tally.gaps).sum(axis=1)  # of each network: two may err in opposite ways
        clips, right, losses = sums.reshape(resamples, 3, -1).transpose(1, 0, 2)
        of_scene = design.scene[:, None] == design.scenes  # (cells, scenes)

        def macro(mask: np.ndarray) -> np.ndarray:
            by_scene = (right @ (of_scene & mask[:, None])) / (clips @ (of_scene & mask[:, None]))
            there = np.isfinite(by_scene)
            return np.where(there, by_scene, 0).sum(axis=1) / there.sum(axis=1)

        with np.errstate(invalid="ignore"):  # 0 / 0
            return {
                **{name: macro(mask) for name, mask in design.accuracies.items()},
                **{name: losses @ mask / (clips @ mask) for name, mask in design.log_losses.items()},
                ("accuracy_micro",): right.sum(axis=1) / clips.sum(axis=1),
                ("calibration_error",): gaps / clips.sum(axis=1),
            }
