"""Stage validate: hold the corpus to what training and evaluation rely on, with Great Expectations.

The suite is below in one piece. Each expectation is about one table and carries, in plain words, what it is for; the
report names every bad row. The validated table (`data/clips.parquet`) is what the later stages read.

Only the clips of the split lists are looked at; nothing later reads the others. Their files cost 0.2 ms each where they
are WAV of integers, and are decoded whole otherwise (`asc_core.corpus.audio.sample_problem`).
"""

import os
import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from asc_core import UserError
from asc_core.corpus.audio import read_header, sample_problem
from asc_core.corpus.layout import META_COLUMNS, NAME_GRAMMAR, SPLITS, read_corpus, read_table, unseen_devices
from asc_core.files import replacing, write_json
from asc_core.progress import track
from pipeline.params import Expect, Params
from pipeline.paths import CLIPS, DATA_DOCS, VALIDATION, corpus_root
from pipeline.stage import run
from pipeline.tracking import Journal

SHOWN = 5  # bad rows in the one line of the error; the report has them all
DURATION_TOLERANCE = 0.01  # seconds; a third of a frame of the published features

# What the later stages read, and of which type it is.
COLUMNS = {
    "filename": "str",
    "scene": "str",
    "split": "str",
    "location": "str",
    "device": "str",
    "city": "str",
    "seconds": "float64",
    "sample_rate": "int64",
    "channels": "int64",
    "subtype": "str",
}
# What names a row of each table. `train` and `test` show a file of each split where it matters which they are.
INDEX = {
    "clips": ["filename"],
    "meta": ["filename"],
    "files": ["filename"],
    "segments": ["segment", "train", "test"],
    "locations": ["location", "train", "test"],
    "scenes": ["scene"],
    "devices": ["device"],
    "cities": ["city"],
    "sizes": ["lists"],
}


def inspect(root: Path, clips: pd.DataFrame) -> pd.DataFrame:
    """The clips with what their files say: header, `problem` of the file and `defect` of its samples."""

    def look(path: Path) -> dict[str, Any]:
        header = read_header(path)
        return {**asdict(header), "defect": None if header.problem else sample_problem(path)}

    # Threads do: most of the time goes to reading and to libsndfile, neither of which holds the interpreter.
    with ThreadPoolExecutor(min(32, 4 * (os.cpu_count() or 1))) as pool:
        paths = [root / name for name in clips["filename"]]
        found = pd.DataFrame(track(pool.map(look, paths), len(paths), "audio files"))
    return pd.concat([clips, found.astype({"sample_rate": "Int64", "channels": "Int64", "seconds": "float64"})], axis=1)


def tables(clips: pd.DataFrame, meta: pd.DataFrame, expect: Expect) -> dict[str, pd.DataFrame]:
    """The tables that the suite is about, from the inspected clips and the rows of meta.csv."""
    named = clips["filename"].str.extract(NAME_GRAMMAR)
    clips = clips.assign(
        name_scene=named["scene"],
        name_location=named["city"] + "-" + named["place"],
        name_device=named["device"],
        city=named["city"],
        segment=clips["filename"].str.rpartition("-")[0].where(named["segment"].notna()),
    )
    sizes = clips["split"].value_counts().reindex(list(SPLITS), fill_value=0)
    return {
        "clips": clips,
        "meta": meta,
        "files": _shared(clips, "filename"),
        "segments": _shared(clips, "segment"),
        "locations": _shared(clips, "location"),
        "scenes": _counts(clips, "scene", expect.scenes),
        "devices": _counts(clips, "device", expect.devices),
        "cities": _counts(clips, "city", None),
        "sizes": pd.DataFrame([{"lists": "fold1", **sizes}]),
    }


def _shared(clips: pd.DataFrame, column: str) -> pd.DataFrame:
    """A row for each value of a column: the first file of it in each split, and in how many splits there is one."""
    first = clips.groupby([column, "split"])["filename"].first().unstack("split").reindex(columns=list(SPLITS))
    return first.assign(splits=first.notna().sum(axis=1)).reset_index()


def _counts(clips: pd.DataFrame, column: str, expected: Iterable[str] | None) -> pd.DataFrame:
    """A row for each value of a column that there is or should be: its clips in each split, and in both together."""
    counts = pd.crosstab(clips[column], clips["split"])
    counts = counts.reindex(sorted({*counts.index, *(expected or [])}), columns=list(SPLITS), fill_value=0)
    return counts.assign(clips=counts.sum(axis=1)).rename_axis(column).reset_index()


def _by_split(counts: pd.DataFrame) -> dict[str, dict[str, int]]:
    """The counts as the report has them: by split, without what the split does not have."""
    names = counts.iloc[:, 0]
    return {split: {name: n for name, n in zip(names, counts[split].tolist(), strict=True) if n} for split in SPLITS}


def suite(expect: Expect) -> dict[str, list[Any]]:
    """The expectations, by table."""
    import great_expectations.expectations as gxe
    from great_expectations.expectations.row_conditions import Column

    clips: list[Any] = [
        *(
            gxe.ExpectColumnValuesToBeOfType(column=column, type_=kind, notes=f"the column {column} is of type {kind}")
            for column, kind in COLUMNS.items()
        ),
        gxe.ExpectColumnValuesToBeUnique(column="filename", notes="every file is listed once, in one split"),
        gxe.ExpectColumnValuesToMatchRegex(
            column="filename",
            regex=NAME_GRAMMAR,
            notes="files are named audio/scene-city-location-segment-device.wav",
        ),
        gxe.ExpectColumnValuesToBeNull(column="problem", notes="every listed audio file is there and whole"),
        gxe.ExpectColumnValuesToBeNull(column="defect", notes="every listed audio file has sound in it"),
        gxe.ExpectColumnValuesToNotBeNull(column="device", notes="every listed file has a row in meta.csv"),
        gxe.ExpectColumnValuesToNotBeNull(column="location", notes="every clip has a location"),
        gxe.ExpectColumnValuesToNotBeNull(column="scene", notes="every clip has a scene"),
        gxe.ExpectColumnPairValuesToBeEqual(
            column_A="scene",
            column_B="meta_scene",
            ignore_row_if="either_value_is_missing",
            notes="the split lists and meta.csv agree on the scene",
        ),
        *(
            gxe.ExpectColumnPairValuesToBeEqual(
                column_A=column,
                column_B=f"name_{column}",
                ignore_row_if="either_value_is_missing",
                notes=f"the file name and the tables agree on the {column}",
            )
            for column in ("scene", "location", "device")
        ),
    ]
    meta = [gxe.ExpectColumnValuesToBeUnique(column="filename", notes="meta.csv describes every file once")]
    disjoint = {
        table: [
            gxe.ExpectColumnValuesToBeInSet(
                column="splits", value_set=[1], notes=f"no {table.removesuffix('s')} is in both splits"
            )
        ]
        for table in ("files", "segments", "locations")
    }
    scenes: list[Any] = [
        gxe.ExpectColumnValuesToBeBetween(column="train", min_value=1, notes="every scene has clips to train on")
    ]
    devices: list[Any] = []
    cities: list[Any] = []
    sizes: list[Any] = []
    if expect.scenes is not None:
        clips.append(
            gxe.ExpectColumnValuesToBeInSet(column="scene", value_set=expect.scenes, notes="scenes of the profile")
        )
    if expect.devices is not None:
        clips.append(
            gxe.ExpectColumnValuesToBeInSet(column="device", value_set=expect.devices, notes="devices of the profile")
        )
        devices.append(gxe.ExpectColumnValuesToBeBetween(column="clips", min_value=1, notes="no device lacks"))
    if expect.unseen_devices is not None:
        devices += [
            gxe.ExpectColumnValuesToNotBeInSet(
                column="device",
                value_set=expect.unseen_devices,
                row_condition=Column("train") > 0,
                notes="devices that must stay unseen are not in the training split",
            ),
            gxe.ExpectColumnValuesToBeInSet(
                column="device",
                value_set=expect.unseen_devices,
                row_condition=Column("train") == 0,
                notes="all other devices are in the training split",
            ),
        ]
    if expect.audio is not None:
        for column, value in expect.audio.model_dump(exclude_none=True).items():
            note = f"every file has data.expect.audio.{column}: {value}"
            clips.append(
                gxe.ExpectColumnValuesToBeBetween(
                    column=column,
                    min_value=value - DURATION_TOLERANCE,
                    max_value=value + DURATION_TOLERANCE,
                    notes=note,
                )
                if column == "seconds"
                else gxe.ExpectColumnValuesToBeInSet(column=column, value_set=[value], notes=note)
            )
    if expect.releases is not None:
        sizes.append(
            gxe.ExpectColumnPairValuesToBeInSet(
                column_A="train",
                column_B="test",
                value_pairs_set=[(release.train, release.test) for release in expect.releases.values()],
                notes=f"the splits have the sizes of data.expect.releases: {' or '.join(expect.releases)}",
            )
        )
    if expect.counts is not None:
        for kind, table in (("scene", scenes), ("device", devices), ("city", cities)):
            for split in SPLITS:
                bounds = getattr(getattr(expect.counts, split), kind)
                if bounds is None:
                    continue
                least, most = bounds
                table.append(
                    gxe.ExpectColumnValuesToBeBetween(
                        column=split,
                        min_value=least,
                        max_value=most,
                        # A device or city that a split does not have is no matter of its count.
                        row_condition=Column(split) > 0,
                        notes=f"clips are within data.expect.counts.{split}.{kind}: "
                        + (f"{least} to {most}" if most else f"at least {least}"),
                    )
                )
    return {
        "clips": clips, "meta": meta, **disjoint, "scenes": scenes, "devices": devices, "cities": cities, "sizes": sizes
    }  # fmt: skip


def check(frames: dict[str, pd.DataFrame], expectations: dict[str, list[Any]], docs: Path) -> list[dict[str, Any]]:
    """Run the suite, build the Data Docs in `docs`, and return a row for each expectation, with all its bad rows."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    site = "reports"
    context.add_data_docs_site(
        site_name=site,
        site_config={
            "class_name": "SiteBuilder",
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs.resolve())},
        },
    )
    rows = []
    source = context.data_sources.add_pandas("corpus")
    for table, frame in frames.items():
        if not expectations[table]:
            continue
        batch = source.add_dataframe_asset(table).add_batch_definition_whole_dataframe("all")
        definition = context.validation_definitions.add(
            gx.ValidationDefinition(
                name=table,
                data=batch,
                suite=context.suites.add(gx.ExpectationSuite(name=table, expectations=expectations[table])),
            )
        )
        outcome = definition.run(
            batch_parameters={"dataframe": frame},
            result_format={"result_format": "COMPLETE", "unexpected_index_column_names": INDEX[table]},
        )
        rows += [_row(table, result) for result in outcome.results]
    context.build_data_docs(site_names=[site])
    return rows


def _row(table: str, result: Any) -> dict[str, Any]:
    config = result.expectation_config
    info = result.exception_info or {}
    for raised in [info] if "raised_exception" in info else info.values():  # one, or one for each of its metrics
        if raised["raised_exception"]:
            # An expectation that could not be computed looks like bad data; it is a fault of the suite.
            raise RuntimeError(f"{config.type} on {table} failed to run: {raised['exception_message']}")
    columns = [config.kwargs[key] for key in ("column", "column_A", "column_B") if key in config.kwargs]
    bad = [
        {key: None if pd.isna(value) else str(value) for key, value in each.items()}
        for each in result.result.get("unexpected_index_list") or []
    ]
    if not result.success and not bad:
        bad = [{"details": str(result.result.get("details") or result.result.get("observed_value"))}]
    return {
        "table": table,
        "expectation": config.type,
        "columns": columns,
        "meaning": config.notes,
        "passed": bool(result.success),
        "bad_rows": bad,
    }


def _name(table: str, bad: dict[str, Any]) -> str:
    """A bad row in a few words: which it is, and what is wrong with it."""
    key = INDEX[table][0]
    which = bad.get(key, "")
    rest = [value for column, value in bad.items() if column != "splits" and value and value != which]
    return ": ".join(filter(None, [which, " and ".join(rest)]))


def verdict(root: Path, rows: list[dict[str, Any]]) -> None:
    """Raise a UserError that names the first bad rows of every expectation that failed, if any did."""
    failures = []
    for row in rows:
        if row["passed"]:
            continue
        names = list(dict.fromkeys(_name(row["table"], bad) for bad in row["bad_rows"]))
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        failures.append(f"not so: {row['meaning']}: {', '.join(names[:SHOWN])}{more}")
    if failures:
        raise UserError(f"{root}: {'; '.join(failures)} (all rows in {VALIDATION})")


def report(root: Path, frames: dict[str, pd.DataFrame], rows: list[dict[str, Any]], expect: Expect) -> dict[str, Any]:
    """What `reports/validation.json` says: verdict, release and counts of the corpus, and every expectation."""
    sizes = {split: int(frames["sizes"].at[0, split]) for split in SPLITS}
    releases = {name: release.model_dump() for name, release in (expect.releases or {}).items()}
    return {
        "corpus": str(root),
        "passed": all(row["passed"] for row in rows),
        "release": next((name for name, release in releases.items() if release == sizes), None),
        "clips": sizes,
        **{table: _by_split(frames[table]) for table in ("scenes", "devices", "cities")},
        "unseen_devices": unseen_devices(frames["clips"]),
        "data_docs": str(DATA_DOCS / "index.html"),
        "expectations": rows,
    }


def validate(params: Params, journal: Journal) -> None:
    """Validate the corpus and write the table of its clips."""
    root, expect = corpus_root(), params.data.expect
    clips, meta = inspect(root, read_corpus(root)), read_table(root / "meta.csv", list(META_COLUMNS))
    frames = tables(clips, meta, expect)
    shutil.rmtree(DATA_DOCS, ignore_errors=True)
    rows = check(frames, suite(expect), DATA_DOCS)
    write_json(VALIDATION, report(root, frames, rows, expect))
    journal.artifact(VALIDATION)
    verdict(root, rows)
    with replacing(CLIPS) as temporary:
        frames["clips"][list(COLUMNS)].to_parquet(temporary, index=False)


if __name__ == "__main__":
    run(validate)
