"""One run of a pipeline in Prefect: stages as tasks, side by side on their share of the cores."""

import logging
import os
import re
import threading
from collections.abc import Sequence
from datetime import datetime
from types import TracebackType
from typing import Annotated, Any, Literal, Self, cast

from prefect import get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture
from prefect.runtime import flow_run
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from pydantic import Field

from asc_core import UserError
from asc_core.addresses import without_credentials
from asc_core.cores import usable_cores
from flows.engine.progress import Progress
from flows.engine.stages import LIMITS, Outcome, StageFailed, end_all, run_command, run_stage
from flows.engine.workspace import locked_workspace
from pipeline import params
from pipeline.configure import configure
from pipeline.runtime.processes import watch
from pipeline.runtime.threads import share

# Threads that wait for a stage cost nothing; how many stages compute at once is limited by an Execution's slots.
RUNNER = cast(TaskRunner[PrefectFuture[Any]], ThreadPoolTaskRunner(max_workers=1000))

# Types of parameters; what Prefect's user interface says about them it takes from the flows' docstrings.
Number = Annotated[int, Field(ge=1)]
StageName = Literal[
    "download", "validate", "extract_features",
    "train_teacher", "train_student", "prune", "quantize", "tune_devices", "evaluate",
    "summarise", "gate",
]  # fmt: skip


def _without_traceback(record: logging.LogRecord) -> bool:
    """A mistake of the user, or a stage's, is logged in its own line: where in our code it was found tells nothing."""
    if record.exc_info and isinstance(record.exc_info[1], UserError):
        record.exc_info = None
    return True


for _name in ("prefect.flow_runs", "prefect.task_runs"):
    logging.getLogger(_name).addFilter(_without_traceback)


@task(cache_policy=NO_CACHE)
def stage(target: str, execution: "Execution", threads: int | None, pull: bool) -> Outcome:
    """One stage of a pipeline, brought up to date by DVC."""
    logger, kind = get_run_logger(), kind_of(target)
    with execution.slots:
        if execution.stopped.is_set():
            raise StageFailed(f"{target}: not started, the run was ended")
        outcome = run_stage(
            target,
            Progress(target, logger.info),
            threads=threads,
            execution=execution.name,
            force=kind in execution.force,
            pull=pull,
            timeout=60 * execution.limits[kind],
        )
    logger.info(f"{target}: {outcome.status} in {outcome.seconds:.1f} s")
    return outcome


@task(cache_policy=NO_CACHE, retries=2, retry_delay_seconds=10)
def sync_tracking() -> None:
    """What the tracking server has not heard yet."""
    run_command("sync_tracking", ["-m", "pipeline.release.sync"], get_run_logger().info, timeout=600)


class Execution:
    """The stages that one flow run submits, in a workspace that is its own for as long (a context manager).

    Args:
        force: names of stages to run although nothing changed.
        limits: minutes that stages may take, by name, where they are not to be the usual ones.
        name: what the run is called in MLflow; None for a new name.
        borrow_from: id of the flow run that this one works for, whose workspace it may share.

    Raises:
        asc_core.UserError: a limit for a stage that there is not.
    """

    def __init__(
        self,
        force: Sequence[str] | None = None,
        limits: dict[str, float] | None = None,
        name: str | None = None,
        borrow_from: str | None = None,
    ) -> None:
        # It names a folder too, and a run in Prefect may have any name.
        called = re.sub(r"[^\w.-]+", "-", flow_run.name or "asc")[:60]
        self.name = name or f"{datetime.now():%Y-%m-%d-%H%M%S}-{called}"
        if unknown := sorted(set(limits or {}) - set(LIMITS)):
            raise UserError(f"limits: no stage {unknown[0]}, known are {', '.join(LIMITS)}")
        self.force, self.limits = force or [], {**LIMITS, **(limits or {})}
        self.outcomes: list[Outcome] = []
        self.stopped = threading.Event()
        self.log = get_run_logger()
        self._workspace = locked_workspace(
            flow_run.name or self.name, flow_run.id, self.log.warning, borrow_from=borrow_from
        )
        self.plan(1, 1)

    def __enter__(self) -> Self:
        if "PREFECT__FLOW_RUN_ID" in os.environ:
            # Started by a worker, which is all that could cancel this run: none goes on without it.
            watch(os.getppid())
        self.alone = self._workspace.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            # Cancelled or interrupted, as a rule: the threads that wait for a stage would wait to its end.
            self.stopped.set()
            end_all()
        self._workspace.__exit__(kind, error, trace)

    def configure(self, profile: str | None, overrides: list[str] | None) -> params.Params:
        """Write params.yaml as whoever asks for the run wants it, if it is to change; what it then says.

        Raises:
            asc_core.UserError: the parameters cannot be used.
        """
        if profile or overrides:
            configure(profile, overrides or [])
        return params.load()

    def plan(self, parallel: int | None, jobs: int, threads: int | None = None) -> None:
        """Share the cores among trainings.

        Args:
            parallel: how many trainings run at once; None for one a core.
            jobs: how many there are.
            threads: cores of each; None for its share.
        """
        cores = usable_cores()
        side_by_side = max(1, min(parallel or cores, jobs))
        self.threads = threads or share(side_by_side)
        self.slots = threading.BoundedSemaphore(side_by_side)

    def submit(self, target: str, after: list[PrefectFuture] | None = None, *, pull: bool = False) -> PrefectFuture:
        """A training, to start when those before it are done and there is a slot for it."""
        return self._submit(target, self.threads, after or [], pull=pull)

    def run(self, *targets: str, retries: int = 0) -> None:
        """Stages one after another, each on all cores, to their end.

        Raises:
            StageFailed: one of them failed, `retries` times over.
        """
        for target in targets:
            self.collect([self._submit(target, None, [], retries=retries)])

    def collect(self, futures: list[PrefectFuture]) -> None:
        """Wait for all of these stages, and only then complain: what the others did is done for the next run.

        Raises:
            StageFailed: the first that failed, in its own words.
        """
        for future in futures:
            future.wait()
        failed = [future.state for future in futures if not future.state.is_completed()]
        results = [future.result() for future in futures if future.state.is_completed()]
        self.outcomes += [result for result in results if result is not None]  # None: there was nothing to do
        if failed:
            error = failed[0].result(raise_on_failure=False)
            raise error if isinstance(error, StageFailed) else StageFailed(str(failed[0].message))

    def publish(self, key: str, text: str, description: str) -> None:
        """Keep a Markdown text with the run in Prefect; a server that is down loses it, but not the run."""
        try:
            create_markdown_artifact(key=key, markdown=text, description=description)
        except Exception as error:
            told = without_credentials(f"{type(error).__name__}: {error}")
            self.log.warning(f"artifact {key}: not stored in Prefect ({told})")

    def sync(self) -> None:
        """Send what MLflow has not heard; what it refuses waits in the journals and fails nothing."""
        if not sync_tracking(return_state=True).is_completed():
            self.log.warning("MLflow has not taken everything; the rest goes with the next run")

    def _submit(
        self, target: str, threads: int | None, after: list[PrefectFuture], *, retries: int = 0, pull: bool = False
    ) -> PrefectFuture:
        named = stage.with_options(
            name=kind_of(target), task_run_name=target.split(":")[-1], retries=retries, retry_delay_seconds=30
        )
        return named.submit(target, self, threads, pull, wait_for=after, return_state=False)


def kind_of(target: str) -> str:
    """The name of a stage, without the dvc.yaml it is in and without its seed."""
    return target.split(":")[-1].split("@")[0]
