"""A trial as a process of its own: `python -m pipeline.sweep.trial SPACE.yaml NUMBER`, as the flow starts it."""

import argparse
import os
import signal
import sys
from pathlib import Path

from asc_core import UserError
from asc_core.text import printable
from pipeline.runtime.processes import end_children, watch
from pipeline.runtime.threads import settle
from pipeline.sweep.space import load
from pipeline.sweep.study import Study


def main() -> None:
    """Run the trial that the command names, and exit with 0, 1 (one line says why) or 130."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("space", type=Path)
    parser.add_argument("number", type=int)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if "ASC_FLOW_PID" in os.environ:
        watch(int(os.environ["ASC_FLOW_PID"]))
    settle()
    from pipeline.sweep.judge import run_trial  # loads torch

    try:
        search = load(arguments.space)
        run_trial(search, Study(search), arguments.number)
    except KeyboardInterrupt:
        end_children()
        raise SystemExit(130) from None
    except UserError as error:
        print(printable(f"trial {arguments.number}: error: {error}"), file=sys.stderr, flush=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
