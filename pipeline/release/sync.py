"""Send the journals of `pipeline.runtime.journal` to MLflow: `python -m pipeline.release.sync`.

Whatever was sent is noted beside the journal, and every line carries its own time, so a line that is sent twice (the
sender was killed before it could make the note) is the same measurement to MLflow and not another one.
"""

import io
import json
import re
import shutil
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asc_core import UserError
from asc_core.files import digest, write_json
from pipeline.release import mlflow_client, registry
from pipeline.runtime.journal import JOURNALS, git

if TYPE_CHECKING:
    from mlflow import MlflowClient

BATCH = 1000  # metrics in one request, MLflow's limit
BATCH_OF_PARAMS = 100  # likewise
# A seed has one colour in every chart, and what is of all of them is grey: MLflow itself gives all children greys.
COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf")


def sync() -> int:
    """Send everything that is new; return how many journals could not be sent."""
    try:
        with mlflow_client.alone(seconds=60):
            return _send_all(_pending())
    except UserError as error:
        print(
            f"{error}; the reports stay in {JOURNALS} and go with the next stage or with "
            "`python -m pipeline.release.sync`",
            file=sys.stderr,
        )
        return len(_pending())


def _send_all(pending: list[Path]) -> int:
    """Send these journals; return how many MLflow refused.

    Raises:
        UserError: the store does not answer, or not any more.
    """
    if not pending:
        return 0
    client = mlflow_client.connect()
    refused = 0
    for journal in pending:
        try:
            _send(client, journal)
        except Exception as error:  # stores of databases and of artifacts have errors without a base of their own
            mlflow_client.check(client)
            reason = mlflow_client.one_line(error)
            print(f"{journal}: refused by MLflow ({reason}); the others are sent", file=sys.stderr)
            refused += 1
    return refused


def _pending() -> list[Path]:
    """Journals with lines that were not sent, oldest first."""
    journals = sorted(JOURNALS.glob("*/*.jsonl"), key=lambda path: path.stat().st_ctime)
    return [path for path in journals if _sent(path)["bytes"] < path.stat().st_size]


def _note(journal: Path) -> Path:
    return journal.with_suffix(".sent")


def _sent(journal: Path) -> dict[str, Any]:
    try:
        return json.loads(_note(journal).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {"bytes": 0}


def _send(client: "MlflowClient", journal: Path) -> None:
    sent, store = _sent(journal), digest(mlflow_client.shown_address())
    if sent.get("store") != store:  # begun in another: the one that is used now gets it whole
        sent = {"bytes": 0, "store": store}
    with open(journal, "rb") as file:
        file.seek(sent["bytes"])
        text = file.read()
    text = text[: text.rfind(b"\n") + 1]  # a line in writing waits for the next time
    lines = [json.loads(line) for line in text.splitlines()]
    for line in lines:
        if line["event"] == "start":
            sent.update(_start(client, journal, line))
            write_json(_note(journal), sent)
    for summary in (False, True):
        run = sent["parent" if summary else "run"]
        _log_metrics(client, run, [line for line in lines if line["event"] == "metrics" and line["summary"] == summary])
    for line in lines:
        if line["event"] == "artifact" and Path(line["path"]).exists():
            client.log_artifact(sent["parent" if line["summary"] else "run"], line["path"])
            shutil.rmtree(Path(line["path"]).parent)
        elif line["event"] == "model" and Path(line["path"]).exists():
            registry.register(client, sent["parent"], Path(line["path"]), line["facts"])
            shutil.rmtree(line["path"])
        elif line["event"] == "tags":
            for name, value in line["values"].items():
                client.set_tag(sent["run"], name, value)
        elif line["event"] == "end":
            _end(client, sent, line)
    write_json(_note(journal), {**sent, "bytes": sent["bytes"] + len(text)})


def _start(client: "MlflowClient", journal: Path, line: dict[str, Any]) -> dict[str, str]:
    """The runs of a journal, made where they are missing: that of the execution and, below it, that of the stage."""
    experiment = line["params"]["tracking.experiment"]
    found = client.get_experiment_by_name(experiment)
    experiment_id = found.experiment_id if found else client.create_experiment(experiment)

    def run(key: str, name: str, tags: dict[str, str], params: dict[str, Any]) -> str:
        runs = client.search_runs([experiment_id], f"tags.`asc.journal` = '{key}'", max_results=1)
        if runs:
            made = runs[0]
        else:
            extra = {"asc.journal": key}
            if "git.commit" in tags:
                extra["mlflow.source.git.commit"] = tags["git.commit"]
            extra["mlflow.runColor"] = COLOURS[int(tags["seed"]) % len(COLOURS)] if "seed" in tags else "#555555"
            made = client.create_run(experiment_id, start_time=line["time"], tags={**tags, **extra}, run_name=name)
        from mlflow.entities import Param

        # Of a run that is there already they may be missing: the server can die between the two requests.
        missing = [Param(name, str(value)[:500]) for name, value in params.items() if name not in made.data.params]
        for at in range(0, len(missing), BATCH_OF_PARAMS):
            client.log_batch(made.info.run_id, params=missing[at : at + BATCH_OF_PARAMS])
        return made.info.run_id

    execution = journal.parent.name
    common = {key: value for key, value in line["tags"].items() if key.startswith(("git.", "dvc."))}
    parent = run(execution, execution, common, line["params"])
    stage = run(
        f"{execution}/{journal.stem}", line["name"], {**line["tags"], "mlflow.parentRunId": parent}, line["params"]
    )
    client.update_run(parent, status="RUNNING")
    return {"run": stage, "parent": parent}


def _log_metrics(client: "MlflowClient", run: str, lines: list[dict[str, Any]]) -> None:
    from mlflow.entities import Metric

    metrics = [
        Metric(allowed(name), value, line["time"], line["step"])
        for line in lines
        for name, value in line["values"].items()
    ]
    for at in range(0, len(metrics), BATCH):
        client.log_batch(run, metrics=metrics[at : at + BATCH])


def allowed(name: str) -> str:
    """A name as MLflow takes it: devices and scenes are called whatever their corpus calls them."""
    return re.sub(r"[^\w./ :-]", "_", name)


def _end(client: "MlflowClient", sent: dict[str, Any], line: dict[str, Any]) -> None:
    _terminate(client, sent["run"], line["status"], line["time"])
    if line["message"]:
        client.set_tag(sent["run"], "mlflow.note.content", line["message"])
    failed = client.get_run(sent["parent"]).data.tags.get("asc.failed")
    if line["status"] != "FINISHED":
        client.set_tag(sent["parent"], "asc.failed", line["message"] or line["status"])
        client.set_tag(sent["parent"], "mlflow.note.content", line["message"])
        failed = line["message"]
    client.set_tag(sent["parent"], "dvc.lock", git("hash-object", "dvc.lock"))
    _terminate(client, sent["parent"], "FAILED" if failed else "FINISHED", line["time"])


def _terminate(client: "MlflowClient", run: str, status: str, time: int) -> None:
    with redirect_stdout(io.StringIO()):  # MLflow prints the address of each run that it ends
        client.set_terminated(run, status=status, end_time=time)


if __name__ == "__main__":
    raise SystemExit(1 if sync() else 0)
