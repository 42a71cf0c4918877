"""What came of a sweep: `python -m pipeline.sweep.outcome SPACE.yaml` writes its report and the best as a profile."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asc_core import UserError
from asc_core.cli import tell
from asc_core.files import read_json, write_json
from asc_core.page.parts import Part, Section, Table, Text
from asc_core.page.render import page
from pipeline import configure
from pipeline.page.systems import BACK
from pipeline.reporting.tables import as_text, markdown_table
from pipeline.runtime.journal import Journal, write_text
from pipeline.sweep import profile
from pipeline.sweep.space import Interval, Search, load
from pipeline.sweep.study import Study

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

REPORTS = Path("reports/sweeps")
SHOWN = 20  # trials in the table


def results(study: Study) -> dict[str, Any]:
    """The report as it is in JSON: every trial that came to an end, the best first, those that were ended early last.

    Raises:
        UserError: no trial was trained to its end.
    """
    space = study.search.space
    trials = [row(study, trial) for trial in study.trials if trial.state.name in ("COMPLETE", "PRUNED")]
    sign = -1 if space.direction == "maximize" else 1
    complete = sorted((each for each in trials if each["complete"]), key=lambda each: sign * each["value"])
    early = [each for each in trials if not each["complete"]]
    if not complete:
        raise UserError(f"{space.name}: no trial was trained to its end; of the first: {early[0]['reason']}")
    return {
        "name": space.name,
        "stage": space.stage,
        "metric": space.metric,
        "seed": space.seed,
        "finished": len(trials),
        "ended_early": len(early),
        "best": complete[0],
        "importances": importances(study, len(complete)),
        "trials": complete + early,
    }


def row(study: Study, trial: "FrozenTrial") -> dict[str, Any]:
    """A trial as the report has it; the value of one that was ended early is that of its last epoch, if any."""
    complete = trial.state.name == "COMPLETE"
    return {
        "trial": trial.number,
        "complete": complete,
        "value": trial.value,
        "reason": None if complete else trial.user_attrs.get("reason"),
        "params": study.values(trial),
    }


def importances(study: Study, complete: int) -> dict[str, float]:
    """The share of each parameter in what tells good trials from others (PED-ANOVA, arXiv 2304.10255); of few, none."""
    from optuna.importance import get_param_importances

    if complete < 2 or len(study.search.tried) < 2:
        return {}
    return {key: round(share, 4) for key, share in get_param_importances(study.study).items()}


def table_of(found: dict[str, Any], keys: list[str]) -> tuple[list[str], list[list[str]]]:
    """Heads and cells of the first trials."""
    rows = [
        [
            str(each["trial"]),
            "-" if each["value"] is None else f"{each['value']:.4g}",
            *(_short(each["params"][key]) for key in keys),
            each["reason"] or "",
        ]
        for each in found["trials"][:SHOWN]
    ]
    return ["trial", found["metric"], *keys, "ended early"], rows


def told(found: dict[str, Any]) -> str:
    """What was tried, and how far to believe it."""
    return (
        f"{found['finished']} trials of {found['stage']}, seed {found['seed']}, judged by {found['metric']} at their "
        f"end; {found['ended_early']} of them were ended early. The best of many looks better than it is: what its "
        "settings are worth, the test split says, once."
    )


def section(found: dict[str, Any]) -> Section:
    """A sweep as a part of the page of all sweeps."""
    parts: list[Part] = [
        Text(told(found)),
        Table("Trials, the best first", *table_of(found, [*found["best"]["params"]])),
    ]
    if found["importances"]:
        shares = [[key, f"{100 * share:.0f} %"] for key, share in found["importances"].items()]
        parts.append(Table("What tells good trials from others", ["parameter", "share"], shares))
    return Section(f"sweep-{found['name']}", f"Sweep {found['name']}", parts)


def markdown(found: dict[str, Any], search: Search) -> str:
    """The report as people read it."""
    table = markdown_table(*table_of(found, list(search.tried)))
    text = f"# Sweep {found['name']}\n\n{as_text(told(found))}\n\n{table}"
    if len(found["trials"]) > SHOWN:
        text += f"\nThe JSON file beside this one has the other {len(found['trials']) - SHOWN}.\n"
    if found["importances"]:
        shares = [[key, f"{100 * share:.0f} %"] for key, share in found["importances"].items()]
        text += f"\nWhat tells good trials from others:\n\n{markdown_table(['parameter', 'share'], shares)}"
    return text + f"\n`asc configure {found['name']}` takes the parameters of trial {found['best']['trial']}.\n"


def head(found: dict[str, Any], search: Search) -> str:
    """What the profile says of itself."""
    best, name = found["best"], found["name"]
    chosen = "; ".join(f"{key} {_short(value)} of {_short(search.tried[key])}" for key, value in best["params"].items())
    return (
        f"Profile {name}: the best of {found['finished']} trials of a sweep ({found['ended_early']} ended early) "
        f"by {found['metric']} of {found['stage']}, {best['value']:.4g}, with seed {found['seed']}. Chosen: {chosen}. "
        f"reports/sweeps/{name}.md has the others."
    )


def _short(value: Any) -> str:
    return str(value) if isinstance(value, Interval) else json.dumps(value)


def publish(search: Search) -> None:
    """Write report and profile, and close the run of the sweep in MLflow.

    Raises:
        UserError: no trial was trained to its end, or a file cannot be written.
    """
    found = results(Study(search))
    name, best = search.space.name, found["best"]
    write_json(REPORTS / f"{name}.json", found)
    write_text(REPORTS / f"{name}.md", markdown(found, search))
    every = [section(read_json(path)) for path in sorted(REPORTS.glob("*.json"))]
    write_text(REPORTS / "index.html", page("Sweeps", [*every, BACK]))
    profile.write(search, best["params"], head(found, search))
    journal = Journal("sweep", None, search.settings({}).model_dump(mode="json"))
    journal.metrics({search.space.metric: best["value"], "trials": found["finished"]}, summary=True)
    for path in (REPORTS / f"{name}.md", REPORTS / f"{name}.json", configure.PROFILES / f"{name}.yaml"):
        journal.artifact(path, summary=True)
    journal.end("FINISHED", f"best: trial {best['trial']}", summary=True)
    print(f"{name}: {search.space.metric} {best['value']:.6g} in trial {best['trial']}; asc configure {name}")


def main() -> None:
    """Report on the sweep that the command names."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("space", type=Path)
    try:
        publish(load(parser.parse_args().space))
    except UserError as error:
        tell(error, "sweep")
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
