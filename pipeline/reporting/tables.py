"""Numbers over seeds, and tables that people read."""

import re
import statistics
from collections.abc import Iterable
from typing import Any

from asc_core.text import printable


def over_seeds(values: list[Any], intervals: Any) -> Any:
    """Mean, sample standard deviation (0 for one seed), n and interval of numbers; of mappings, the same key by key.

    Args:
        intervals: [low, high] of the mean, or None; nested as the values are (`asc_core.comparison.intervals`).
    """
    if isinstance(values[0], dict):
        return {key: over_seeds([value[key] for value in values], (intervals or {}).get(key)) for key in values[0]}
    numbers = [value for value in values if value is not None]
    if not numbers:
        return None
    std = statistics.stdev(numbers) if len(numbers) > 1 else 0.0
    return {"mean": statistics.fmean(numbers), "std": std, "n": len(numbers), "interval": intervals}


def median_seed(accuracies: dict[int, float]) -> int:
    """The seed with the median accuracy, of an even number the lower of the two in the middle.

    It is the one to ship: to take the best would be to choose by the test split, and its accuracy would promise more
    than the mean over the seeds does.
    """
    ranked = sorted(accuracies, key=lambda seed: (accuracies[seed], seed))
    return ranked[(len(ranked) - 1) // 2]


class Markup(str):
    """Markdown that is meant to be: everything else in a table is text."""


BRACKETS = "in brackets the 95 % interval over locations (bootstrap, seeds pooled)"  # what heads say of `cell`


def cell(value: dict[str, Any] | None, digits: int = 1, *, short: bool = False) -> str:
    """Mean, standard deviation (of more than one seed) and, but for a short one, interval: 80.3 ±1.1 [75.2, 85.4]."""
    if value is None:
        return "-"
    spread = f" ±{value['std']:.{digits}f}" if value["n"] > 1 else ""
    bounds = ", ".join(f"{bound:.{digits}f}" for bound in value.get("interval") or ())
    bounds = f" [{bounds}]" if bounds and not short else ""
    return Markup(f"{value['mean']:.{digits}f}{spread}{bounds}")


def as_text(text: str) -> str:
    """A name in Markdown, shown as it is whatever it holds: a corpus may call its scenes and devices anything."""
    return re.sub(r"([\\`*\[\]<>&|~$]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", printable(text))


def markdown_table(heads: list[str], rows: Iterable[list[str]]) -> str:
    """A table in Markdown, with a final newline; cells are text, but for those that are `Markup`."""
    shown = [[each if isinstance(each, Markup) else as_text(each) for each in line] for line in (heads, *rows)]
    lines = [shown[0], ["---"] * len(heads), *shown[1:]]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
