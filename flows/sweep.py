"""A search over parameters as a Prefect flow (deployment `asc/sweep`): `asc sweep SPACE.yaml`, or
`python -m flows.sweep SPACE.yaml`."""

import time
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from asc_core.cli import run
from flows.engine.execution import RUNNER, Execution, Number
from flows.engine.options import Threads
from flows.engine.stages import Outcome, StageFailed, run_command
from flows.full import prepare
from flows.servers.prefect import reachable
from pipeline import params
from pipeline.paths import FEATURES
from pipeline.sweep.outcome import REPORTS
from pipeline.sweep.space import check_split, load
from pipeline.sweep.study import Study

WAIT = 5  # seconds between two looks at what others have left to do


@task(cache_policy=NO_CACHE)
def trial(space: str, study: Study, execution: Execution) -> Outcome | None:
    """The next trial of a study, trained in a process of its own; nothing where there are enough."""
    logger = get_run_logger()
    with execution.slots:
        if execution.stopped.is_set():
            raise StageFailed("trial: not started, the run was ended")
        start, number = time.monotonic(), study.ask()
        if number is None:
            return None
        environment = {"ASC_EXECUTION": execution.name, "OMP_NUM_THREADS": str(execution.threads)}
        command, limit = ["-m", "pipeline.sweep.trial", space, str(number)], 60 * execution.limits["trial"]
        with study.running(number):
            run_command(f"trial {number}", command, logger.info, environment, limit)
    return Outcome(f"trial {number}", study.state(number), time.monotonic() - start)


@flow(name="asc", task_runner=RUNNER)
def sweep(
    space: str,
    parallel: Number | None = None,
    threads: Number | None = None,
    limits: dict[str, float] | None = None,
) -> None:
    """Parameters that are best on the validation split, among those that a file describes; started again, it goes on.

    Args:
        space: the file, in the workspace that the run is in: sweeps/devices.yaml. docs/sweeps.md shows one.
        parallel: trials at once; null for what the file says, or one a core.
        threads: cores for each trial; null for its share of them. Other numbers round differently.
        limits: minutes after which a stage is ended, by its name: {"trial": 90}; null for generous ones.

    Raises:
        StageFailed: a stage or a trial failed for a reason that is not in its parameters.
        asc_core.UserError: the file cannot be used, or nothing is held back to judge by.
    """
    search = load(Path(space))
    with Execution(limits=limits, name=f"sweep-{search.space.name}") as execution:
        prepare(execution, params.load())
        check_split(search.space, pd.read_parquet(FEATURES / "clips.parquet", columns=["split", "device"]))
        execution.run(*(f"{stage}@{search.space.seed}" for stage in search.before))
        study = Study(search)
        while missing := max(0, search.space.trials - study.finished):
            study.release()
            execution.plan(parallel or search.space.parallel, missing, threads)
            began = len(execution.outcomes)
            execution.collect([trial.submit(space, study, execution, return_state=False) for _ in range(missing)])
            if len(execution.outcomes) == began:  # the others are being run elsewhere
                time.sleep(WAIT)
        command, environment = ["-m", "pipeline.sweep.outcome", space], {"ASC_EXECUTION": execution.name}
        run_command("sweep", command, execution.log.info, environment)
        execution.sync()
        text = (REPORTS / f"{search.space.name}.md").read_text(encoding="utf-8")
        execution.publish(f"sweep-{search.space.name}".replace("_", "-"), text, "Trials, the best first")


def main(
    space: Annotated[str, typer.Argument(help="A file that says what to search: sweeps/devices.yaml.")],
    parallel: Annotated[int | None, typer.Option(help="Trials at once; else as the file says.", min=1)] = None,
    threads: Threads = None,
) -> None:
    """Search for parameters that are best on the validation split, and write them as a profile; it can be resumed."""
    load(Path(space))  # a mistake is told before a server is started
    with reachable():
        sweep(space, parallel, threads)


if __name__ == "__main__":
    run(main, "sweep")
