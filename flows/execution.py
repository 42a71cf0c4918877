"""One run of a pipeline in Prefect: stages as tasks, side by side on their share of the cores."""

import threading
from datetime import datetime

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture
from prefect.runtime import flow_run
from prefect.task_runners import ThreadPoolTaskRunner

from asc_core.cores import usable_cores
from flows.stages import Outcome, StageFailed, run_stage

# Threads that wait for a stage cost nothing; how many stages compute at once is limited by an Execution's slots.
RUNNER = ThreadPoolTaskRunner(max_workers=1000)  # type: ignore[var-annotated]


@task(cache_policy=NO_CACHE)
def stage(target: str, slots: threading.Semaphore, threads: int | None, execution: str, force: bool) -> Outcome:
    """One stage of a pipeline, brought up to date by DVC."""
    logger = get_run_logger()
    with slots:
        outcome = run_stage(target, logger.info, threads=threads, execution=execution, force=force)
    logger.info(f"{target}: {outcome.status} in {outcome.seconds:.1f} s")
    return outcome


class Execution:
    """The stages that one flow run submits.

    Args:
        parallel: how many trainings run at once; None for one a core.
        jobs: how many there are.
        force: names of stages to run although nothing changed.
    """

    def __init__(self, parallel: int | None, jobs: int, force: list[str] | None = None) -> None:
        cores = usable_cores()
        side_by_side = max(1, min(parallel or cores, jobs))
        self.threads = max(1, cores // side_by_side)
        self.slots = threading.BoundedSemaphore(side_by_side)
        self.name = f"{datetime.now():%Y-%m-%d-%H%M%S}-{flow_run.name or 'asc'}"
        self.force = force or []
        self.outcomes: list[Outcome] = []

    def submit(self, target: str, after: list[PrefectFuture] | None = None) -> PrefectFuture:
        """A training, to start when those before it are done and there is a slot for it."""
        return self._submit(target, self.threads, after or [])

    def run(self, *targets: str) -> None:
        """Stages one after another, each on all cores, to their end.

        Raises:
            StageFailed: one of them failed.
        """
        for target in targets:
            self.collect([self._submit(target, None, [])])

    def collect(self, futures: list[PrefectFuture]) -> None:
        """Wait for all of these stages, and only then complain: what the others did is done for the next run.

        Raises:
            StageFailed: the first that failed, in its own words.
        """
        for future in futures:
            future.wait()
        for future in futures:
            if not future.state.is_completed():
                error = future.state.result(raise_on_failure=False)
                raise error if isinstance(error, StageFailed) else StageFailed(str(future.state.message))
            self.outcomes.append(future.result())

    def _submit(self, target: str, threads: int | None, after: list[PrefectFuture]) -> PrefectFuture:
        name = target.split(":")[-1]  # without the dvc.yaml it is in
        kind = name.split("@")[0]
        return stage.with_options(name=kind, task_run_name=name).submit(
            target, self.slots, threads, self.name, kind in self.force, wait_for=after
        )
