"""What every stage has in common: parameters in, a report kept, and a user's mistake told in one line.

A stage is a function of the parameters, its journal and, where it is made once for each seed, the seed. Its module ends
with `run(function)`.
"""

import argparse
import inspect
import sys
from collections.abc import Callable
from typing import Any

from asc_core import UserError
from pipeline import params
from pipeline.tracking import Journal


def run(work: Callable[..., Any], experiment: str | None = None) -> None:
    """Run the function of a stage as the stage's process, and exit with 0, 1 (one line says why) or 130.

    What the function takes beyond parameters and journal are the options of the command: `--seed 0`. `experiment` is
    the one in MLflow, unless it is that of the parameters.
    """
    parser = argparse.ArgumentParser(description=inspect.getdoc(work))
    for option in list(inspect.signature(work).parameters.values())[2:]:
        parser.add_argument(f"--{option.name}", type=option.annotation, required=True)
    arguments = vars(parser.parse_args())
    name = "@".join([work.__name__, *(str(value) for value in arguments.values())])
    try:
        settings = params.load()
    except UserError as error:
        raise SystemExit(_tell(name, error)) from None
    described = settings.model_dump(mode="json")
    if experiment:
        described["tracking"]["experiment"] = experiment
    journal = Journal(name, arguments.get("seed"), described)
    try:
        work(settings, journal, **arguments)
    except UserError as error:
        journal.end("FAILED", str(error))
        journal.send(wait=True)
        raise SystemExit(_tell(name, error)) from None
    except KeyboardInterrupt:
        journal.end("KILLED", "interrupted")
        raise SystemExit(130) from None
    except BaseException as error:
        journal.end("FAILED", f"{type(error).__name__}: {error}")
        journal.send(wait=True)
        raise
    journal.end("FINISHED")
    journal.send(wait=name == "gate")


def _tell(name: str, error: UserError) -> int:
    print(f"{name}: error: {error}", file=sys.stderr, flush=True)
    return 1
