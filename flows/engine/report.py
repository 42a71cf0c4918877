"""What a run leaves in Prefect for people: results, what DVC did, and where MLflow has the details, in Markdown."""

import base64
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asc_core.addresses import without_credentials
from asc_core.files import read_json
from flows.engine.stages import Outcome
from pipeline import params
from pipeline.paths import GATE, PAGE, PLOTS, TABLE
from pipeline.reporting.tables import Markup, as_text, markdown_table
from pipeline.runtime.journal import JOURNALS


def result(execution: str, outcomes: Sequence[Outcome], failed: Exception | None) -> str:
    """The report of the whole pipeline: the gate's verdict, the networks, the stages, the runs in MLflow."""
    text = f"# Failed\n\n{failed}\n\n" if failed else ""
    if any(outcome.stage == "summarise" for outcome in outcomes):
        text += f"# Gate: {gate()}\n# Result\n\n{TABLE.read_text(encoding='utf-8')}\n"
    return text + stages(execution, outcomes) + f"\nReport: {kept(execution, 'gate', PAGE)}\n"


def plots() -> str:
    """The plots of the last run as images that are part of the text: no browser can reach this machine's files."""
    return "\n\n".join(
        f"![{path.stem.replace('_', ' ')}](data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()})"
        for path in sorted(PLOTS.glob("*.png"))
    )


def kept(execution: str, stage: str, path: Path) -> Markup:
    """Where what a stage has handed over for the run of its execution can be had from any machine: in MLflow, where
    that is a server and has it. Else its path, and on which machine."""
    address, runs = tracking_server(), sent(execution)
    if address and stage in runs:
        return Markup(f"[{path.name}]({address}/get-artifact?run_uuid={runs['']}&path={path.name})")
    return Markup(f"`{path}` in `{Path.cwd()}` on {socket.gethostname()}")


def gate() -> str:
    """The gate's verdict and its checks."""
    if not GATE.exists():
        return "not reached\n"
    found = read_json(GATE)
    rows = [
        [each["name"], f"{each['value']:.6g}", f"{each['sense']} {each['limit']:g}", "yes" if each["passed"] else "NO"]
        for each in found["checks"]
    ]
    verdict = "passed" if found["passed"] else "FAILED"
    return f"{verdict}\n\n{markdown_table(['check', 'measured', 'limit', 'passed'], rows)}"


def stages(execution: str, outcomes: Sequence[Outcome], experiment: str | None = None) -> str:
    """A table of what DVC did about each stage, with links to MLflow where it is a server."""
    address, runs = tracking_server(), sent(execution)

    def link(text: str, run: str | None) -> str:
        return Markup(f"[{text}]({address}/#/runs/{run})") if address and run else text

    names = [each.stage.split(":")[-1] for each in outcomes]  # without the dvc.yaml
    rows = [
        [link(name, runs.get(name)), each.status, f"{each.seconds:.1f}"]
        for name, each in zip(names, outcomes, strict=True)
    ]
    where = f"{link(execution, runs.get(''))}, experiment {experiment or params.load().tracking.experiment}"
    where += "" if address else " (`make ui`)"
    return f"# Stages\n\n{markdown_table(['stage', 'DVC', 'seconds'], rows)}\nIn MLflow: {where}\n"


def tracking_server() -> str | None:
    """The address of MLflow where that is a server, without credentials; None where it is a file."""
    address = os.environ.get("MLFLOW_TRACKING_URI", "")
    return without_credentials(address).rstrip("/") if address.startswith(("http://", "https://")) else None


def sent(execution: str) -> dict[str, str]:
    """MLflow's ids of the runs of an execution: by stage (`prune@0`), and that of the whole under the empty name."""
    runs: dict[str, str] = {}
    for note in sorted((JOURNALS / execution).glob("*.sent"), key=lambda path: path.stat().st_mtime):
        ids = read_json(note)
        if "run" in ids:
            runs |= {note.stem.rpartition("-")[0]: ids["run"], "": ids["parent"]}
    return runs


def evaluation(result: dict[str, Any]) -> str:
    """The metrics of one package or exported file, devices below each other."""
    size = result["size"]
    counted = (
        f"{size['nonzero_parameters']} non-zero parameters, {size['counted_bytes']} bytes counted, "
        if "counted_bytes" in size
        else ""
    )
    rows = [
        [name, "-" if result[key] is None else f"{result[key]:.1f}", ""]
        for name, key in (("all", "accuracy"), ("seen", "accuracy_seen"), ("unseen", "accuracy_unseen"))
    ]
    rows[0][2] = f"{result['log_loss']:.3f}"
    rows += [
        [device, f"{accuracy:.1f}", f"{result['log_loss_by_device'][device]:.3f}"]
        for device, accuracy in result["accuracy_by_device"].items()
    ]
    return (
        f"# {as_text(result['package'])}\n\n{result['clips']} test clips; {counted}"
        f"{size['file_bytes']} bytes in the file.\n\n"
        f"{markdown_table(['devices', 'accuracy, percent, mean over the scenes', 'log loss'], rows)}"
    )
