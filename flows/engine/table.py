"""What the flows of the tables have in common: settings of a YAML file, stages of a dvc.yaml, and how they end."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.engine import report
from flows.engine.execution import Execution
from pipeline.configure import configure
from pipeline.paths import TableFiles
from pipeline.sections import Section


@dataclass(frozen=True)
class Table:
    """A table of systems, which is a pipeline of its own.

    Args:
        settings: the file with its settings, in a section of its name.
        schema: what that file holds.
        title: what it is called in Prefect.
    """

    files: TableFiles
    settings: Path
    schema: type[Section]
    title: str

    def stage(self, name: str) -> str:
        """A stage as DVC calls it from the root: pipeline/peers/dvc.yaml:tables."""
        return f"pipeline/{self.files.name}/dvc.yaml:{name}"

    def configure(self, **wanted: Any) -> None:
        """Write settings as whoever asks for the run wants them; those that are None stay.

        Raises:
            asc_core.UserError: they cannot be used.
        """
        changes = [f"{self.files.name}.{key}={value}" for key, value in wanted.items() if value is not None]
        if changes:
            configure(None, changes, self.settings, self.schema)

    def finish(self, execution: Execution) -> None:
        """Make the table of what the trainings have left, and keep it with the run in Prefect.

        Raises:
            StageFailed: it cannot be made; the text says why.
        """
        execution.run(self.stage("tables"))
        execution.sync()
        told = [path.read_text(encoding="utf-8") for path in sorted(self.files.reports.glob("*.md"))]
        told.append(report.stages(execution.name, execution.outcomes, self.files.experiment))
        execution.publish(self.files.name, "\n".join(told), self.title)
