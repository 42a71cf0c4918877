"""Seeds that workers in other clones train: what they are handed, and how their results come back.

Features go by way of the DVC remote. Results come back the same way, and with them DVC's run-cache, which knows what a
stage made of its inputs: `dvc repro --pull` of the one who asked finds the networks there and has nothing to train. DVC
compares parameters, data and code by their hashes, so what was made of others is never taken.
"""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, cast
from uuid import UUID

import httpx
import yaml
from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run
from pydantic import BaseModel, Field

from asc_core import UserError
from asc_core.files import replacing
from flows.engine.stages import StageFailed, run_command, seed_of, trainings
from pipeline.params import PARAMS
from pipeline.paths import FEATURES
from pipeline.runtime.journal import git, write_text

DEPLOYMENT = "asc/seed"
LOCK = Path("dvc.lock")
TABLES = (":(exclude)pipeline/paper", ":(exclude)pipeline/peers", ":(exclude)pipeline/shares")
CODE = ("asc_core", "pipeline", "flows", "dvc.yaml", *TABLES)
POLL_SECONDS = 2
PATIENCE = 60  # seconds without a worker, after which that is worth a line
ATTEMPTS = 3  # a seed whose worker dies goes to another


class Order(BaseModel):
    """What `asc/full` hands over with a seed."""

    flow_run: str = Field(description="Id of the flow run that asks.")
    execution: str = Field(description="Its name in MLflow.")
    commit: str = Field(description="The git commit that it runs.")
    params: str = Field(description="Its params.yaml.")
    features: dict[str, Any] = Field(description="Its entry of extract_features in dvc.lock.")
    threads: int = Field(description="Cores for each training.", ge=1)
    limits: dict[str, float] = Field(description="Minutes that stages may take, by name.")


def run_dvc(name: str, *arguments: str, log: Callable[[str], None]) -> list[str]:
    """Run a command of DVC; a failure is told as `name`.

    Raises:
        StageFailed: it failed.
    """
    return run_command(name, ["-m", "dvc", "--wait-for-lock", *arguments], log)


def commit() -> str:
    """The commit that this clone has.

    Raises:
        asc_core.UserError: it has something else.
    """
    if changed := git("status", "--porcelain", "--", *CODE):
        files = ", ".join(line.split()[-1] for line in changed.splitlines()[:3])
        raise UserError(f"remote: the code is not as committed ({files}); commit it, so that all clones have the same")
    return git("rev-parse", "HEAD")


def stale(seeds: Sequence[int], teachers: Iterable[str]) -> list[int]:
    """The seeds of which DVC would train something."""
    targets = [target for seed in seeds for part in trainings(seed, teachers) for target in part]
    lines = run_dvc("remote", "status", "--json", *targets, log=lambda line: None)
    changed = {seed_of(stage) for stage in json.loads(next(line for line in lines if line.startswith("{")))}
    return [seed for seed in seeds if seed in changed]


def order(execution: str, threads: int, limits: dict[str, float]) -> Order:
    """The order for the seeds of this run; its features are in the DVC remote by then.

    Raises:
        StageFailed: the remote does not take them.
        asc_core.UserError: this clone's code is not committed, or there is no deployment for workers.
    """
    head = commit()
    with get_client(sync_client=True) as client:
        try:
            pool = client.read_deployment_by_name(DEPLOYMENT).work_pool_name
        except ObjectNotFound:
            pool = None
    if not pool:
        raise UserError(f"remote: no workers serve {DEPLOYMENT}; `make deploy`, and `make worker` in every clone")
    transfer_features("push")
    features = yaml.safe_load(LOCK.read_text(encoding="utf-8"))["stages"]["extract_features"]
    return Order(
        flow_run=str(flow_run.id), execution=execution, commit=head, threads=threads, limits=limits,
        features=features, params=PARAMS.read_text(encoding="utf-8"),
    )  # fmt: skip


@task(cache_policy=NO_CACHE, retries=2, retry_delay_seconds=10, task_run_name="push-{target}")
def push(target: str) -> None:
    """A stage's result into the DVC remote, with the run-cache by which others find it."""
    run_dvc(f"remote: {target}", "push", "--run-cache", target, log=get_run_logger().info)


@task(cache_policy=NO_CACHE, retries=2, retry_delay_seconds=10, task_run_name="{direction}-features")
def transfer_features(direction: Literal["push", "pull"]) -> None:
    """The features, into the DVC remote or out of it."""
    options = ["--force"] if direction == "pull" else []
    run_dvc("remote: features", direction, *options, str(FEATURES), log=get_run_logger().info)


def accept(order: Order) -> None:
    """Make this clone such as the order wants it: its parameters, its features.

    Raises:
        StageFailed: the DVC remote does not have the features.
        asc_core.UserError: this clone is at another commit.
    """
    if (here := commit()) != order.commit:
        raise UserError(f"this clone is at commit {here:.10}, the run at {order.commit:.10}; check out the same")
    write_text(PARAMS, order.params)
    lock: dict[str, Any] = {"schema": "2.0", "stages": {}}
    if LOCK.exists():
        lock = yaml.safe_load(LOCK.read_text(encoding="utf-8"))
    lock["stages"]["extract_features"] = order.features
    with replacing(LOCK) as temporary:
        temporary.write_text(yaml.safe_dump(lock, sort_keys=False), encoding="utf-8")
    transfer_features("pull")


def hand_over(seeds: Sequence[int], order: Order, log: Callable[[str], None], done: Callable[[int], Any]) -> None:
    """Have workers train seeds; `done` is called with each whose results are in the DVC remote.

    A seed that fails stops no other. Whatever ends this early cancels what is still under way.

    Raises:
        StageFailed: seeds failed; the text is that of the first one's run.
    """
    with get_client(sync_client=True) as client:
        tries = dict.fromkeys(seeds, 1)
        runs = {seed: _submit(seed, order, 1) for seed in seeds}
        failures: list[str] = []
        start, told = time.monotonic(), False
        try:
            while runs:
                time.sleep(POLL_SECONDS)
                for seed, run in list(runs.items()):
                    try:
                        state = client.read_flow_run(run).state
                    except httpx.HTTPError:
                        # The workers go on without the server, and so does the one who waits for them.
                        log("the Prefect server does not answer; it is asked again")
                        break
                    assert state is not None
                    if state.type == StateType.CRASHED and tries[seed] < ATTEMPTS:
                        log(f"seed {seed}: {state.message or 'its worker died'}; handed over again")
                        tries[seed] += 1
                        runs[seed] = _submit(seed, order, tries[seed])
                    elif state.is_final():
                        del runs[seed]
                        if state.is_completed():
                            done(seed)
                        else:
                            failures.append(f"seed {seed}: {state.message or state.name}")
                    elif state.is_scheduled() and not told and time.monotonic() - start > PATIENCE:
                        log(f"seed {seed}: waits for a worker; each takes one run at a time: `make worker` in a clone")
                        told = True
        finally:
            for run in runs.values():
                with suppress(Exception):
                    client.set_flow_run_state(run, State(type=StateType.CANCELLING))
    if failures:
        raise StageFailed(failures[0])


def _submit(seed: int, order: Order, attempt: int) -> UUID:
    parameters = {"seed": seed, "order": order.model_dump()}
    name = f"{order.execution}-seed-{seed}" + (f"-{attempt}" if attempt > 1 else "")
    run = run_deployment(DEPLOYMENT, parameters=parameters, flow_run_name=name, timeout=0)
    return cast(FlowRun, run).id
