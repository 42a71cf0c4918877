"""Stage validate: hold the corpus to what training and evaluation rely on, with Great Expectations.

The report names every bad row. The validated table (`data/clips.parquet`) is what the later stages read.

Only the clips of the split lists are looked at; nothing later reads the others. Their files cost 0.2 ms each where they
are WAV of integers, and are decoded whole otherwise (`asc_core.features.audio.sample_problem`).
"""

from pathlib import Path
from typing import Any

import pandas as pd

from asc_core.corpus.layout import META_COLUMNS, SPLITS, read_corpus, read_table
from asc_core.features.clips import unseen_devices
from asc_core.files import remove, replacing, write_json
from pipeline.params import Data, Expect, Params
from pipeline.paths import CLIPS, DATA_DOCS, VALIDATION, corpus_root
from pipeline.runtime.journal import Journal
from pipeline.runtime.stage import run
from pipeline.validation.check import check, verdict
from pipeline.validation.suite import COLUMNS, suite
from pipeline.validation.tables import by_split, inspect, tables


def report(root: Path, frames: dict[str, pd.DataFrame], rows: list[dict[str, Any]], expect: Expect) -> dict[str, Any]:
    """What the report says: verdict, release and counts of the corpus, and every expectation."""
    sizes = {split: int(frames["sizes"][split].iloc[0]) for split in SPLITS}
    releases = {name: release.model_dump() for name, release in (expect.releases or {}).items()}
    return {
        "corpus": str(root),
        "passed": all(row["passed"] for row in rows),
        "release": next((name for name, release in releases.items() if release == sizes), None),
        "clips": sizes,
        **{table: by_split(frames[table]) for table in ("scenes", "devices", "cities")},
        "unseen_devices": unseen_devices(frames["clips"]),
        "expectations": rows,
    }


def validate(params: Params, journal: Journal) -> None:
    """Validate the corpus and write the table of its clips."""
    clips = validated(corpus_root(), params.data, VALIDATION, DATA_DOCS, journal)
    with replacing(CLIPS) as temporary:
        clips.to_parquet(temporary, index=False)


def validated(root: Path, data: Data, told: Path, docs: Path, journal: Journal) -> pd.DataFrame:
    """The table of the clips of the corpus at `root`, once it is as expected; what was found goes to `told` and `docs`.

    Raises:
        UserError: the corpus is not as expected, or cannot be read.
    """
    clips, meta = inspect(root, read_corpus(root, data.split_lists)), read_table(root / "meta.csv", list(META_COLUMNS))
    frames = tables(clips, meta, data.expect, data.split_lists)
    remove(docs)
    rows = check(frames, suite(data.expect), docs)
    write_json(told, {**report(root, frames, rows, data.expect), "data_docs": str(docs / "index.html")})
    journal.artifact(told)
    verdict(root, rows, told)
    return frames["clips"][list(COLUMNS)]


if __name__ == "__main__":
    run(validate)
