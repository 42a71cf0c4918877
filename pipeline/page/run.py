"""What a run of the pipeline has left, read for its report."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from asc_core.evaluation import predictions
from asc_core.evaluation.predictions import SHIPPED
from asc_core.files import read_json
from pipeline.params import Params
from pipeline.paths import COST, PREDICTIONS, SEEDS, SIZES, SUMMARY, VALIDATION, made
from pipeline.reporting.views import CURVES

NAMES = {"teacher": "teacher", "student": "student", "pruned": "pruned", "quantized": "shipped (8 bit)",
         "known_devices": "tuned to each device"}  # fmt: skip


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        summary: networks to their metrics over the seeds.
        seeds: the metrics of each seed.
        sizes: what the rules count of the largest package, tensor by tensor.
        validation: what was found about the corpus.
        predictions: probabilities of the shipped networks of all seeds, a row a clip and seed.
        curves: the learning curves of all networks and seeds, as `pipeline.reporting.views` has them.
        checks: what the gate found.
        device: what the package that ships and its exported file cost on a device, and what the file answers.
    """

    params: Params
    summary: dict[str, Any]
    seeds: dict[int, dict[str, Any]]
    sizes: list[dict[str, Any]]
    validation: dict[str, Any]
    predictions: pd.DataFrame
    curves: pd.DataFrame
    checks: list[dict[str, Any]]
    device: dict[str, Any]

    @property
    def shipped(self) -> dict[str, Any]:
        return self.summary[SHIPPED]

    @property
    def unseen(self) -> list[str]:
        """The devices that training never heard."""
        return self.validation["unseen_devices"]

    @property
    def scenes(self) -> list[str]:
        """The answers that there are: the columns of numbers."""
        return list(self.predictions.select_dtypes("number").columns)


def read(params: Params, checks: list[dict[str, Any]]) -> Run:
    """What the stages before the gate have made.

    Raises:
        UserError: a file is missing.
    """
    seeds = {seed: read_json(SEEDS / f"{seed}.json") for seed in params.seeds}
    largest = max(seeds, key=lambda seed: seeds[seed][SHIPPED]["size"]["counted_bytes"])
    tables = [predictions.read(made(PREDICTIONS / f"{seed}.parquet"), SHIPPED) for seed in params.seeds]
    return Run(
        params=params,
        summary=read_json(SUMMARY),
        seeds=seeds,
        sizes=read_json(SIZES / f"{largest}.json"),
        validation=read_json(VALIDATION),
        predictions=pd.concat(tables, ignore_index=True),
        curves=pd.read_csv(made(CURVES)),
        checks=checks,
        device=read_json(COST),
    )


def spread(value: dict[str, Any]) -> tuple[float, float]:
    """The interval of a mean over seeds where there is one, else one standard deviation around it."""
    if interval := value.get("interval"):
        return interval[0], interval[1]
    return value["mean"] - value["std"], value["mean"] + value["std"]
