"""Send the journals of `pipeline.runtime.journal` to MLflow: `asc sync`, or `python -m pipeline.release.sync`.

Whatever was sent is noted beside the journal, and every line carries its own time, so a line that is sent twice (the
sender was killed before it could make the note) is the same measurement to MLflow and not another one. A line that is
no event is named and left out, once; the journal keeps it.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from asc_core import UserError
from asc_core.cli import run
from asc_core.files import digest, write_json
from pipeline.release import mlflow_client
from pipeline.release.runs import Sent, send
from pipeline.runtime.events import AnyEvent, parse
from pipeline.runtime.journal import JOURNALS

if TYPE_CHECKING:
    from mlflow import MlflowClient


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
            _send_new(client, journal)
        except Exception as error:  # stores of runs and of artifacts have errors without a base of their own
            mlflow_client.check(client)
            reason = mlflow_client.one_line(error)
            print(f"{journal}: refused by MLflow ({reason}); the others are sent", file=sys.stderr)
            refused += 1
    return refused


def _pending() -> list[Path]:
    """Journals with lines that were not sent, oldest first."""
    journals = sorted(JOURNALS.glob("*/*.jsonl"), key=lambda path: path.stat().st_ctime)
    return [path for path in journals if _has_news(path)]


def _has_news(journal: Path) -> bool:
    with open(journal, "rb") as file:
        file.seek(_note(journal).bytes)
        return b"\n" in file.read()


def _note(journal: Path) -> Sent:
    """What was sent of a journal; of a damaged note nothing, and all is sent again."""
    try:
        return Sent.model_validate_json(_note_path(journal).read_bytes())
    except (OSError, ValueError):
        return Sent()


def _note_path(journal: Path) -> Path:
    return journal.with_suffix(".sent")


def _send_new(client: "MlflowClient", journal: Path) -> None:
    """Send what the store has not of a journal, and note it."""
    sent, store = _note(journal), digest(mlflow_client.shown_address())
    if sent.store != store:  # begun in another: the one that is used now gets it whole
        sent = Sent(store=store)
    content = journal.read_bytes()
    complete = content.rfind(b"\n") + 1  # a line in writing waits for the next time
    events: list[AnyEvent] = []
    left_out = []
    first = content.count(b"\n", 0, sent.bytes) + 1
    for number, line in enumerate(content[sent.bytes : complete].split(b"\n")[:-1], start=first):
        try:
            events.append(parse(line))
        except ValueError as error:
            left_out.append(f"line {number} ({error})")

    def note() -> None:
        write_json(_note_path(journal), sent.model_dump(exclude_none=True))

    left_out += send(client, journal, events, sent, note)
    sent.bytes = complete
    note()
    for each in left_out:
        print(f"{journal}: left out {each}; the rest is sent", file=sys.stderr)


def main() -> None:
    """Send to MLflow what it has not been sent yet; exit code 1 where something could not be."""
    if sync():
        raise SystemExit(1)


if __name__ == "__main__":
    run(main, "sync")
