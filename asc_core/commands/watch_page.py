"""The page of `asc watch`: what has moved, device by device, for whoever has to decide what to do about it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from asc_core.drift.compare import CONFIDENCE, Row, Shift, moved
from asc_core.drift.reference import Reference
from asc_core.page import charts
from asc_core.page.parts import Figure, Section, Table, Text
from asc_core.page.render import page

NOW = "new recordings"


@dataclass(frozen=True)
class Watched:
    """New recordings beside those of training.

    Attributes:
        model: whose training it was.
        recordings: where the new ones are.
        edges: from where to where each group of mel bands reaches, in Hz.
        rates: their sample rates that training never heard, in Hz.
        limit: the p-value below which something has moved.
        least: the distance below which nothing has.
    """

    model: str
    recordings: str
    before: Reference
    shift: Shift
    edges: list[tuple[float, float]]
    rates: list[int]
    limit: float
    least: float


def told(watched: Watched) -> list[str]:
    """What is wrong with the recordings, in words; nothing where they are like those of training."""
    problems, shift = [], watched.shift
    if shift.moved:
        of = f"{len(shift.moved)} of {len(shift.rows)} quantities"
        problems.append(f"{of} have moved from those of every training device")
    if watched.rates:
        problems.append(f"training never heard {', '.join(map(str, watched.rates))} Hz")
    return problems


def quantity(watched: Watched, row: Row) -> str:
    """What a row is about."""
    return CONFIDENCE if isinstance(row.name, str) else "{:,.0f} to {:,.0f} Hz".format(*watched.edges[row.name])


def watch_page(watched: Watched) -> str:
    """The page, as HTML."""
    return page("Recordings beside those of training", [_verdict(watched), _devices(watched), _quantities(watched)])


def _verdict(watched: Watched) -> Section:
    shift, problems = watched.shift, told(watched)
    verdict = (
        Text(f"They differ: {' and '.join(problems)}. Results on these recordings cannot be relied on.", "bad")
        if problems
        else Text("Nothing has moved: the recordings are like those of a device of training.", "good")
    )
    facts = (
        f"{shift.recordings} recordings of {watched.recordings}, heard by {watched.model}. Of the devices of training "
        f"they are most like {shift.device}."
    )
    return Section("verdict", "Verdict", [verdict, Text(facts)])


def _devices(watched: Watched) -> Section:
    shift = watched.shift
    rows = []
    for device, quantities in shift.devices.items():
        away = moved(quantities, watched.limit, watched.least)
        furthest, surest = max(row.distance for row in quantities), min(row.p for row in quantities)
        count = int((watched.before.devices == device).sum())
        cells = (f"{count}", f"{len(away)} of {len(quantities)}", f"{furthest:.2f}", f"{surest:.2g}")
        rows.append([device, *cells, "no" if away else "yes"])
    table = Table(
        "Each device of training: whether the new recordings could be its own",
        ["device", "recordings", "quantities moved", "largest distance", "smallest p", "could be"],
        rows,
    )
    points = list(_spectra(watched))
    numbers = [
        [f"{low:,.0f} to {high:,.0f}", *(f"{point['nepers']:.2f}" for point in points if point["band"] == number + 1)]
        for number, (low, high) in enumerate(watched.edges)
    ]
    heads = ["Hz", *dict.fromkeys(point["device"] for point in points)]
    figure = Figure(
        "spectra",
        "Mean spectrum by device",
        "The level of neighbouring mel bands above the mean of them all, in nepers, from the lowest bands to the "
        f"highest: of the new recordings, and of each device in training. They are nearest to {shift.device}.",
        charts.lines(points, "band", "nepers", "device"),
        Table("Mean level in nepers above the mean of all bands", heads, numbers),
    )
    return Section("devices", "Devices", [figure, table])


def _spectra(watched: Watched) -> Iterator[dict[str, Any]]:
    """The points of the chart: the new recordings first."""
    spectra = {NOW: [row.now for row in watched.shift.rows if isinstance(row.name, int)]}
    for device in watched.shift.devices:
        means = watched.before.spectra[watched.before.devices == device].mean(axis=0)
        spectra[f"training, {device}"] = [float(mean) for mean in means]
    for device, means in spectra.items():
        yield from ({"device": device, "band": number, "nepers": mean} for number, mean in enumerate(means, 1))


def _quantities(watched: Watched) -> Section:
    shift = watched.shift
    rows = [
        [quantity(watched, row), f"{row.before:.2f}", "{:.2f} [{:.2f}, {:.2f}]".format(row.now, *row.interval),
         f"{row.distance:.2f}", f"{row.p:.2g}", "yes" if row in shift.moved else ""]
        for row in shift.rows
    ]  # fmt: skip
    heads = ["quantity", "training", "now [95 % interval]", "distance", "p", "moved"]
    limits = (
        f"A quantity has moved where its distance (Kolmogorov and Smirnov, 0 to 1) is {watched.least:g} or more and "
        f"its p-value, corrected for their number (Benjamini and Hochberg), below {watched.limit:g}."
    )
    table = Table(f"The new recordings beside those of {shift.device}; spectra in nepers above their mean", heads, rows)
    return Section("quantities", f"Beside {shift.device}", [Text(limits), table])
