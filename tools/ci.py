"""The pipeline as a check of a change: `python -m tools.ci` runs it, compares the metrics and says in one line why not.

The table, the difference to the branch that CI_BASE names (main where it names none) and the verdict go to standard
output, and to the job's summary where GITHUB_STEP_SUMMARY names one.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from asc_core import UserError
from flows.engine.stages import StageFailed, run_command
from pipeline import params
from pipeline.paths import PREDICTIONS, SUMMARY, TABLE
from pipeline.reporting.tables import markdown_table


def difference(base: str) -> str:
    """What changed in the summary's metrics since `base`, as Markdown."""
    command = [sys.executable, "-m", "dvc", "metrics", "diff", "--md", base, "--targets", str(SUMMARY)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return f"Not compared with {base}: {done.stderr.strip().splitlines()[-1]}\n"
    return done.stdout.strip() or f"The same as in {base}, to the last digit."


def clip_by_clip(base: str) -> str:
    """How the shipped network's accuracy and log loss differ from those of `base`, and whether beyond chance."""
    from asc_core.comparison.systems import compare
    from asc_core.evaluation import predictions

    with tempfile.TemporaryDirectory() as temporary:
        there = Path(temporary) / "predictions"
        command = [sys.executable, "-m", "dvc", "get", ".", str(PREDICTIONS), "--rev", base, "--out", str(there)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip() or "dvc get failed").splitlines()[-1]
            return f"Not compared clip by clip, because its predictions are not at hand: {reason}\n"
        try:
            own = [PREDICTIONS / f"{seed}.parquet" for seed in params.load().seeds]
            files = {"": own, f"{base}: ": sorted(there.glob("*.parquet"))}
            here, others = ({f"{name}{file.name}": predictions.read(file) for file in group}
                            for name, group in files.items())  # fmt: skip
            found = compare(here, others).differences
        except UserError as error:
            return f"Not compared clip by clip, because {error}\n"
    rows = [
        [
            " ".join(name).replace("_", " "),
            *(f"{value:.3f}" for value in (each.first, each.other)),
            f"{each.difference:+.3f}" + (" [{:+.3f}, {:+.3f}]".format(*each.interval) if each.interval else ""),
            each.verdict,
        ]
        for name, each in found.items()
        if len(name) == 1
    ]
    return markdown_table(["quantized", "here", base, "difference [95 % interval]", "verdict"], rows)


def main() -> int:
    """Run, compare, tell; 0 where the gate is passed."""
    base = os.environ.get("CI_BASE") or "main"
    try:
        run_command("ci", ["-m", "dvc", "repro"], print)
        verdict, code = "ci: passed", 0
    except StageFailed as failure:
        verdict, code = f"ci: {failure}", 1
    table = TABLE.read_text(encoding="utf-8") if TABLE.exists() else "No result.\n"
    text = f"# {verdict}\n\n{table}\n## Compared with {base}\n\n{clip_by_clip(base)}\n{difference(base)}\n"
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with open(Path(summary), "a", encoding="utf-8") as file:
            file.write(text)
    print(text)
    print(f"::error::{verdict}" if code and summary else verdict)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
