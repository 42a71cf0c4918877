"""Write `reports/index.html`."""

from collections.abc import Callable
from typing import Any

from asc_core.page.parts import Link, Links, Section
from asc_core.page.render import page
from pipeline import paths
from pipeline.page import clips, details, results
from pipeline.page.curves import curves
from pipeline.page.made import made
from pipeline.page.run import Run, read
from pipeline.params import Params
from pipeline.paths import PAGE
from pipeline.reporting.views import VEGA
from pipeline.runtime.journal import write_text

SECTIONS: list[Callable[[Run], Section | None]] = [
    results.verdict, results.accuracy, results.devices, results.scenes, details.reliability, curves,
    details.size, details.device, details.corpus, clips.worst,
]  # fmt: skip

# Made by pipelines of their own, before or after this page.
OTHERS = Links([
    Link("paper/index.html", "Tables of the publications", "made by `make paper`"),
    Link("peers/index.html", "Systems of others beside ours", "made by `make peers`"),
    Link("shares/index.html", "Accuracy by the share of the training data", "made by `make shares`"),
    Link("sweeps/index.html", "Sweeps", "made by `asc sweep`"),
])  # fmt: skip


def write(params: Params, checks: list[dict[str, Any]]) -> None:
    """Write the report of the run that these checks of the gate are of.

    Raises:
        UserError: what it tells is not there, or it cannot be written.
    """
    run = read(params, checks)
    sections = [section for make in SECTIONS if (section := make(run))]
    sections += [made(params), Section("reports", "Other reports", [OTHERS])]
    script = paths.made(VEGA).read_text(encoding="utf-8")
    write_text(PAGE, page("Acoustic scenes: report of a run", sections, script))
