"""Stage validate: hold the corpus to what training and evaluation rely on, with Great Expectations.

The report names every bad row. The validated table (`data/clips.parquet`) is what the later stages read; what is held
back for validation (`asc_core.corpus.validation_split`) is marked in it, or not in it.

Only the clips of the split lists are looked at; nothing later reads the others. Their files cost 0.2 ms each where they
are WAV of integers, and are decoded whole otherwise (`asc_core.features.audio.sample_problem`).
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from asc_core import UserError
from asc_core.corpus.layout import LISTED, META_COLUMNS, read_corpus, read_table
from asc_core.corpus.validation_split import HeldBack, hold_back
from asc_core.errors import ConfigError
from asc_core.features.clips import SPLITS, unseen_devices
from asc_core.files import remove, replacing, write_json
from pipeline.params import Data, Expect, Params
from pipeline.paths import CLIPS, DATA_DOCS, VALIDATION, corpus_root
from pipeline.runtime.journal import Journal
from pipeline.runtime.stage import run
from pipeline.validation.check import check, verdict
from pipeline.validation.suite import COLUMNS, suite
from pipeline.validation.tables import by_split, inspect, tables


def report(
    root: Path,
    frames: dict[str, pd.DataFrame],
    rows: list[dict[str, Any]],
    expect: Expect,
    held: HeldBack | None = None,
) -> dict[str, Any]:
    """What the report says: verdict, release, counts of the splits, what is held back, and every expectation."""
    splits = SPLITS if held else LISTED
    sizes = {split: int(frames["sizes"][split].iloc[0]) for split in LISTED}
    clips = frames["clips"].dropna(subset="split")
    counts = clips["split"].value_counts()
    left_out = len(frames["clips"]) - len(clips)
    releases = {name: release.model_dump() for name, release in (expect.releases or {}).items()}
    return {
        "corpus": str(root),
        "passed": all(row["passed"] for row in rows),
        "release": next((name for name, release in releases.items() if release == sizes), None),
        "clips": {split: int(counts.get(split, 0)) for split in splits},
        "held_back": {**asdict(held), "clips_in_no_split": left_out} if held else None,
        **{table: by_split(frames[table], splits) for table in ("scenes", "devices", "cities")},
        "unseen_devices": unseen_devices(clips),
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
        UserError: the corpus is not as expected, or cannot be read, or what is to be held back cannot be.
    """
    listed, meta = read_corpus(root, data.split_lists), read_table(root / "meta.csv", list(META_COLUMNS))
    try:
        held = hold_back(listed, data.validation) if data.validation else None
    except ConfigError as error:
        raise UserError(f"{root}: data.validation.{error}") from None
    frames = tables(inspect(root, listed), meta, data.expect, data.split_lists, held)
    remove(docs)
    rows = check(frames, suite(data.expect, held), docs)
    found = report(root, frames, rows, data.expect, held)
    write_json(told, {**found, "data_docs": str(docs / "index.html")})
    journal.artifact(told)
    verdict(root, rows, told)
    if held:
        counts = found["clips"]["validation"], found["held_back"]["clips_in_no_split"]
        print(
            f"validate: held back from training: {len(held.locations)} locations, devices: "
            f"{', '.join(held.devices) or 'none'}; {counts[0]} clips to validate on, {counts[1]} in no split"
        )
    return frames["clips"][list(COLUMNS)].dropna(subset="split").reset_index(drop=True)


if __name__ == "__main__":
    run(validate)
