"""Write `reports/index.html`, and the pages it links to."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.page import clips, details, results
from pipeline.page.made import made
from pipeline.page.parts import Links, Section
from pipeline.page.render import page
from pipeline.page.run import Run, read
from pipeline.params import Params
from pipeline.paths import PAGE
from pipeline.runtime.journal import write_text

SECTIONS: list[Callable[[Run], Section | None]] = [
    results.verdict, results.accuracy, results.devices, results.scenes, details.curves, details.reliability,
    details.size, details.cost, details.corpus, clips.worst,
]  # fmt: skip
# Pages of what is no part of every run, below the folder of the report.
OTHERS = {"paper": "Tables of the publications", "peers": "Peers", "shares": "Shares of the training set",
          "sweeps": "Sweeps"}  # fmt: skip


def write(params: Params, checks: list[dict[str, Any]]) -> None:
    """Write the report of the run that these checks of the gate are of.

    Raises:
        UserError: what it tells is not there, or it cannot be written.
    """
    run = read(params, checks)
    sections = [section for make in SECTIONS if (section := make(run))]
    sections.append(made(params))
    if links := [(title, f"{name}/index.html") for name, title in OTHERS.items() if _beside(name).exists()]:
        sections.append(Section("more", "More", [Links(links)]))
    write_text(PAGE, page("Acoustic scenes: report of a run", sections))


def _beside(name: str) -> Path:
    return PAGE.parent / name / "index.html"
