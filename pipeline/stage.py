"""What every stage has in common: parameters in, a report kept, and a user's mistake told in one line.

A stage is a function of the parameters, its journal and, where it is made once for each seed, the seed. Its module ends
with `run(function)`.

The environment variable ASC_PROCESSES says how many processes share each training, one a GPU: `ASC_PROCESSES=4 dvc
repro`. It is no parameter, as it changes results by no more than rounding and dropout (`asc_core.distributed`), and
what one machine trained on four GPUs is not stale on another. The stage then starts itself again through `torchrun`,
which can also be used directly: `torchrun --standalone --nproc-per-node 4 -m pipeline.train_teacher --seed 0`.
"""

import argparse
import inspect
import os
import sys
from collections.abc import Callable
from typing import Any

from asc_core import UserError
from pipeline import params
from pipeline.tracking import Journal, SilentJournal

UNDER_TORCHRUN = "TORCHELASTIC_RUN_ID" in os.environ
# A process that takes part in the trainings of a stage, whose first process does and tells all the rest.
HELPER = UNDER_TORCHRUN and os.environ["RANK"] != "0"


def run(work: Callable[..., Any], experiment: str | None = None, *, trains: bool = False) -> None:
    """Run the function of a stage as the stage's process, and exit with 0, 1 (one line says why) or 130.

    What the function takes beyond parameters and journal are the options of the command: `--seed 0`. `experiment` is
    the one in MLflow, unless it is that of the parameters. A stage that `trains` can be shared by several processes.
    """
    parser = argparse.ArgumentParser(description=inspect.getdoc(work))
    for option in list(inspect.signature(work).parameters.values())[2:]:
        parser.add_argument(f"--{option.name}", type=option.annotation, required=True)
    arguments = vars(parser.parse_args())
    name = "@".join([work.__name__, *(str(value) for value in arguments.values())])
    if HELPER:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (until the process ends)
    try:
        settings = params.load()
        if trains and not UNDER_TORCHRUN and (processes := _processes()) > 1:
            raise SystemExit(_share(processes))
    except UserError as error:
        raise SystemExit(_tell(name, error)) from None
    described = settings.model_dump(mode="json")
    if experiment:
        described["tracking"]["experiment"] = experiment
    journal = SilentJournal() if HELPER else Journal(name, arguments.get("seed"), described)
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


def _processes() -> int:
    text = os.environ.get("ASC_PROCESSES", "1")
    if not text.isdecimal() or int(text) < 1:
        raise UserError(f"ASC_PROCESSES: {text!r} is not a number of processes, 1 or more")
    return int(text)


def _share(processes: int) -> int:
    """Run this command in so many processes at once and return its exit code; one that fails ends the others.

    Raises:
        UserError: a process was killed, perhaps because memory ran out; one that fails by itself has told why.
    """
    import logging

    import torch
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    # Else torchrun makes it 1, with a warning.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, torch.get_num_threads() // processes)))
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    module = sys.modules["__main__"].__spec__.name  # type: ignore[union-attr]
    command = ["--standalone", "--nproc-per-node", str(processes), "--module", module, *sys.argv[1:]]
    try:
        torchrun.run(torchrun.parse_args(command))
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode < 0:
            raise UserError(f"process {rank} of {processes} was ended by signal {-failure.exitcode}") from None
        return failure.exitcode
    except KeyboardInterrupt:
        return 130
    return 0


def _tell(name: str, error: UserError) -> int:
    if HELPER:  # the first process makes the same mistake, and tells it; ending badly would end it before it has
        return 0
    print(f"{name}: error: {error}", file=sys.stderr, flush=True)
    return 1
