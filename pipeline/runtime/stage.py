"""What every stage has in common: parameters in, a report kept, and a user's mistake told in one line.

A stage is a function of the parameters, its journal and, where it is made once for each seed, the seed. Its module ends
with `run(function)`.
"""

import argparse
import inspect
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from asc_core import UserError
from asc_core.addresses import without_credentials
from asc_core.config import shown
from asc_core.text import printable
from pipeline import params
from pipeline.runtime import torchrun as sharing
from pipeline.runtime.journal import Journal, SilentJournal
from pipeline.runtime.processes import dvc, end_children, watch


def run(work: Callable[..., Any], experiment: str | None = None, *, trains: bool = False) -> None:
    """Run the function of a stage as the stage's process, and exit with 0, 1 (one line says why) or 130.

    What the function takes beyond parameters and journal are the options of the command, `--seed 0`, which DVC gives in
    the name of the stage. `experiment` is the one in MLflow, unless it is that of the parameters. A stage that `trains`
    can be shared by several processes.
    """
    options = {each.name: each.annotation for each in list(inspect.signature(work).parameters.values())[2:]}
    parser = argparse.ArgumentParser(description=inspect.getdoc(work), argument_default=argparse.SUPPRESS)
    for option, kind in options.items():
        parser.add_argument(f"--{option}", type=kind, required=len(sys.argv) > 1 or "DVC_STAGE" not in os.environ)
    arguments, name = vars(parser.parse_args()), work.__name__
    if sharing.HELPER:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (until the process ends)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # told in the journal like Ctrl-C
    if "DVC_STAGE" in os.environ:
        # A shell between DVC and this process would survive a DVC that is killed, and this process with it.
        leader = dvc()
        pids = [os.getppid(), leader.pid if leader else None, os.environ.get("ASC_FLOW_PID")]
        watch(*(int(pid) for pid in pids if pid))
    try:
        settings = params.load()
        arguments = arguments or _named(os.environ.get("DVC_STAGE", ""), options)
        name = "@".join([name, *(["-".join(map(str, arguments.values()))] if arguments else [])])
        if trains and (processes := sharing.wanted()) > 1:
            raise SystemExit(sharing.share(processes))
        described = settings.model_dump(mode="json")
        if experiment:
            described["tracking"]["experiment"] = experiment
        journal = SilentJournal() if sharing.HELPER else Journal(name, arguments.get("seed"), described)
    except UserError as error:
        raise SystemExit(_tell(name, error)) from None
    start = time.monotonic()
    try:
        work(settings, journal, **arguments)
    except KeyboardInterrupt:
        journal.end("KILLED", "interrupted")
        end_children()
        raise SystemExit(130) from None
    except BaseException as error:
        told = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        journal.end("FAILED", told)
        journal.send(wait=True)
        if isinstance(error, UserError):
            raise SystemExit(_tell(name, error)) from None
        raise
    journal.metrics({"stage": {"seconds": time.monotonic() - start, "processor_seconds": sum(os.times()[:4])}})
    journal.end("FINISHED")
    journal.send(wait=name == "gate")


def _named(stage: str, options: dict[str, type]) -> dict[str, Any]:
    """The options of a stage of DVC, which are in its name: `pipeline/paper/dvc.yaml:train@cp_resnet-0`.

    They are checked here, as DVC makes a stage of whatever stands in a list of parameters.
    """
    found: dict[str, Any] = {}
    texts = stage.partition("@")[2].rsplit("-", max(0, len(options) - 1))
    for (option, kind), text in zip(options.items(), texts, strict=False):
        if not (text.isascii() and (text.isdecimal() if kind is int else text.isidentifier())):
            raise UserError(f"{shown(stage)}: {shown(text)} is no {option}; give the name of a stage in dvc.yaml")
        found[option] = kind(text)
    return found


def _tell(name: str, error: UserError) -> int:
    if sharing.HELPER:
        return 0  # the first process makes the same mistake and tells it, unless this one ends it by ending badly
    print(printable(f"{name}: error: {without_credentials(str(error))}"), file=sys.stderr, flush=True)
    return 1
