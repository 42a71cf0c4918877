"""The pipeline as a check of a change: `python -m tools.ci` runs it, compares the metrics and says in one line why not.

The table, the difference to the branch that CI_BASE names (main where it names none) and the verdict go to standard
output, and to the job's summary where GITHUB_STEP_SUMMARY names one.
"""

import os
import subprocess
import sys
from pathlib import Path

from flows.engine.stages import StageFailed, run_command
from pipeline.paths import SUMMARY, TABLE


def difference(base: str) -> str:
    """What changed in the summary's metrics since `base`, as Markdown."""
    command = [sys.executable, "-m", "dvc", "metrics", "diff", "--md", base, "--targets", str(SUMMARY)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return f"Not compared with {base}: {done.stderr.strip().splitlines()[-1]}\n"
    return done.stdout.strip() or f"The same as in {base}, to the last digit."


def main() -> int:
    """Run, compare, tell; 0 where the gate is passed."""
    base = os.environ.get("CI_BASE") or "main"
    try:
        run_command("ci", ["-m", "dvc", "repro"], print)
        verdict, code = "ci: passed", 0
    except StageFailed as failure:
        verdict, code = f"ci: {failure}", 1
    table = TABLE.read_text(encoding="utf-8") if TABLE.exists() else "No result.\n"
    text = f"# {verdict}\n\n{table}\n## Compared with {base}\n\n{difference(base)}\n"
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with open(Path(summary), "a", encoding="utf-8") as file:
            file.write(text)
    print(text)
    print(f"::error::{verdict}" if code and summary else verdict)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
