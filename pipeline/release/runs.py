"""A journal as runs of MLflow: one of the execution and, below it, one of the stage."""

import io
import posixpath
import re
import shutil
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, NonNegativeInt

from asc_core.files import digest
from pipeline import params
from pipeline.release import registry
from pipeline.release.shipped import bundle
from pipeline.runtime.events import AnyEvent, Artifact, End, Metrics, Model, Start, Tags

if TYPE_CHECKING:
    from mlflow import MlflowClient

BATCH = 1000  # metrics in one request, MLflow's limit
BATCH_OF_PARAMS = 100  # likewise
LONGEST_NAME, LONGEST_VALUE, LONGEST_NOTE = 250, 500, 5000  # signs, likewise
# A seed has one colour in every chart, and what is of all of them is grey: MLflow itself gives all children greys.
COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf")


class Sent(BaseModel):
    """What was sent of a journal, and where to; kept beside it.

    Attributes:
        bytes: of the journal.
        store: a digest of the store's address.
        run, parent: the ids of the stage's run and of the execution's.
        names: under each name in MLflow the metric's own.
    """

    bytes: NonNegativeInt = 0
    store: str = ""
    run: str | None = None
    parent: str | None = None
    names: dict[str, str] = {}


def send(
    client: "MlflowClient", journal: Path, events: Sequence[AnyEvent], sent: Sent, note: Callable[[], None]
) -> list[str]:
    """Send events of a journal; return what was left out, and why.

    Args:
        sent: what was sent before; runs and names are added.
        note: keeps `sent`, as soon as the runs are there.

    Raises:
        MlflowException: the store refuses or does not answer; sending again completes what was begun.
    """
    starts = [event for event in events if isinstance(event, Start)]
    if starts or not sent.run or not sent.parent:
        run, parent = _runs(client, journal, starts[0] if starts else _unread_start(journal, events))
        sent.run, sent.parent = run, parent
        note()
    else:
        run, parent = sent.run, sent.parent
    for summary in (False, True):
        metrics = [event for event in events if isinstance(event, Metrics) and event.summary == summary]
        _log_metrics(client, parent if summary else run, metrics, sent.names)
    left_out = []
    for event in events:
        if isinstance(event, Artifact | Model):
            try:
                kept = _kept(journal, event)
            except ValueError as error:
                left_out.append(str(error))
                continue
            if kept is None:  # an earlier sending took it
                continue
            if isinstance(event, Artifact):
                client.log_artifact(parent if event.summary else run, str(kept))
                kept = kept.parent
            else:
                registry.register(client, parent, kept, event.facts)
            shutil.rmtree(kept, ignore_errors=True)
        elif isinstance(event, Tags):
            for name, value in event.values.items():
                client.set_tag(run, name, value[:LONGEST_NOTE])
        elif isinstance(event, End):
            _end(client, run, parent, event)
    return left_out


def _kept(journal: Path, event: Artifact | Model) -> Path | None:
    """The file or folder that a stage kept for its journal; None if it was sent and removed.

    Raises:
        ValueError: the path is none that a stage has written: it is neither read nor removed.
    """
    own = (journal.parent / "artifacts").resolve()
    path = Path(event.path).resolve()
    depth = 2 if isinstance(event, Artifact) else 1  # artifacts/<folder>/<file>, artifacts/<folder>
    if not path.is_relative_to(own) or len(path.relative_to(own).parts) != depth:
        raise ValueError(f"{event.event} {event.path!r} (not below {journal.parent / 'artifacts'})")
    if not path.exists():
        return None
    if isinstance(event, Model) and (missing := bundle.missing(path)):
        raise ValueError(f"{event.event} {event.path!r} (it lacks {missing[0]})")
    return path


def _unread_start(journal: Path, events: Sequence[AnyEvent]) -> Start:
    """The beginning of a journal whose first line was lost: what its name says, in the experiment in use."""
    name = journal.stem.rpartition("-")[0] or journal.stem
    stage, _, seed = name.partition("@")
    return Start(
        time=events[0].time if events else 0,
        name=name,
        tags={"stage": stage, **({"seed": seed} if seed.isdecimal() else {})},
        params={"tracking.experiment": params.load().tracking.experiment},
    )


def _runs(client: "MlflowClient", journal: Path, start: Start) -> tuple[str, str]:
    """The ids of a journal's runs, made where they are missing: the stage's and the execution's."""
    experiment = str(start.params["tracking.experiment"])
    found = client.get_experiment_by_name(experiment)
    experiment_id = found.experiment_id if found else client.create_experiment(experiment)

    def run(key: str, name: str, tags: dict[str, str], params: dict[str, Any]) -> str:
        from mlflow.entities import Param

        runs = client.search_runs([experiment_id], f"tags.`asc.journal` = '{key}'", max_results=1)
        if runs:
            made = runs[0]
        else:
            extra, seed = {"asc.journal": key}, tags.get("seed", "")
            if "git.commit" in tags:
                extra["mlflow.source.git.commit"] = tags["git.commit"]
            extra["mlflow.runColor"] = COLOURS[int(seed[-9:]) % len(COLOURS)] if seed.isdecimal() else "#555555"
            made = client.create_run(experiment_id, start_time=start.time, tags={**tags, **extra}, run_name=name)
        # Of a run that is there already they may be missing: the server can die between the two requests.
        names: dict[str, str] = {}
        values = {allowed(name, names): str(value)[:LONGEST_VALUE] for name, value in params.items()}
        missing = [Param(name, value) for name, value in values.items() if name not in made.data.params]
        for at in range(0, len(missing), BATCH_OF_PARAMS):
            client.log_batch(made.info.run_id, params=missing[at : at + BATCH_OF_PARAMS])
        return made.info.run_id

    execution = journal.parent.name
    common = {key: value for key, value in start.tags.items() if key.startswith(("git.", "dvc."))}
    parent = run(execution, execution, common, start.params)
    tags, values = {**start.tags, "mlflow.parentRunId": parent}, {**start.params, **start.own}
    stage = run(f"{execution}/{journal.stem}", start.name, tags, values)
    client.update_run(parent, status="RUNNING")
    return stage, parent


def _log_metrics(client: "MlflowClient", run: str, events: list[Metrics], names: dict[str, str]) -> None:
    from mlflow.entities import Metric

    metrics = [
        Metric(allowed(name, names), value, event.time, event.step)
        for event in events
        for name, value in event.values.items()
    ]
    for at in range(0, len(metrics), BATCH):
        client.log_batch(run, metrics=metrics[at : at + BATCH])


def allowed(name: str, names: dict[str, str]) -> str:
    """A name as MLflow takes it: devices and scenes are called whatever their corpus calls them.

    Args:
        names: which name stands under which that MLflow takes; this one is added. Of two that would stand under the
            same, the later one gets a digest of its own behind it.
    """
    taken = re.sub(r"[^\w./ :-]", "_", name)[:LONGEST_NAME]
    if posixpath.normpath(taken) != taken or taken.startswith((".", "/")):  # MLflow makes files of these names
        taken = taken.replace("/", "_").replace(".", "_") or "_"
    if names.setdefault(taken, name) != name:
        taken = f"{taken[: LONGEST_NAME - 9]} {digest(name)[:8]}"
        names[taken] = name
    return taken


def _end(client: "MlflowClient", run: str, parent: str, event: End) -> None:
    note = event.message[:LONGEST_NOTE]
    _terminate(client, run, event.status, event.time)
    if note:
        client.set_tag(run, "mlflow.note.content", note)
    failed = client.get_run(parent).data.tags.get("asc.failed")
    if event.summary and failed:
        client.delete_tag(parent, "asc.failed")
        failed = None
    if event.status != "FINISHED":
        failed = note or event.status
        client.set_tag(parent, "asc.failed", failed)
        client.set_tag(parent, "mlflow.note.content", note)
    client.set_tag(parent, "dvc.lock", event.lock)
    _terminate(client, parent, "FAILED" if failed else "FINISHED", event.time)


def _terminate(client: "MlflowClient", run: str, status: str, time: int) -> None:
    with redirect_stdout(io.StringIO()):  # MLflow prints the address of each run that it ends
        client.set_terminated(run, status=status, end_time=time)
