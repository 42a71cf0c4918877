"""The interval of each metric of a system, from the tables of predictions of its networks."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from asc_core.comparison.bootstrap import RESAMPLES, Spread, interval, weights
from asc_core.comparison.clips import clips_of
from asc_core.comparison.tally import Design, Metric, System


def intervals(tables: Mapping[str, pd.DataFrame], resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Any]:
    """The 95 % interval [low, high] of each metric, nested as in `metrics_of`; None with fewer than five locations.

    Networks are pooled: a location that is drawn brings what each of them answered to its clips. The interval is that
    of their mean: it tells how this would move with other locations, and not with other seeds.

    Args:
        tables: of predictions, one a network, by what errors call them.

    Raises:
        UserError: the tables do not fit together (`clips_of`).
    """
    clips, sets = clips_of(tables)
    design = Design(clips)
    system = System(list(tables.values()), sets, design)
    drawn = system.metrics(weights(design.strata, resamples, np.random.default_rng(seed)))
    estimates, freedom = system.estimates(), design.freedom()
    found = {}
    for name, values in drawn.items():
        bounds = interval(estimates[name], Spread.of(values, freedom[name]))
        most = np.inf if name[0].startswith("log_loss") else 100.0
        found[name] = bounds and [min(max(bound, 0.0), most) for bound in bounds]
    return nested(found)


def nested(values: Mapping[Metric, Any]) -> dict[str, Any]:
    """{("a", "b"): 1} as {"a": {"b": 1}}."""
    result: dict[str, Any] = {}
    for (metric, *part), value in values.items():
        if part:
            result.setdefault(metric, {})[part[0]] = value
        else:
            result[metric] = value
    return result
