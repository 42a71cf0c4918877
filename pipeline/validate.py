"""Stage validate: hold the corpus to what training and evaluation rely on, with Great Expectations.

The suite is below in one piece. Each expectation is about one table and carries, in plain words, what it is for; the
report names every bad row. The validated table (`data/clips.parquet`) is what the later stages read.
"""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from asc_core import UserError
from asc_core.corpus.audio import read_header
from asc_core.corpus.layout import NAME_GRAMMAR, read_corpus, unseen_devices
from asc_core.files import replacing, write_json
from asc_core.progress import track
from pipeline.params import Expect, Params
from pipeline.paths import CLIPS, DATA_DOCS, VALIDATION, corpus_root
from pipeline.stage import run
from pipeline.tracking import Journal

SHOWN = 5  # bad rows in the one line of the error; the report has them all


def tables(root: Path) -> dict[str, pd.DataFrame]:
    """The tables that the suite is about: `clips`, and from it `locations` and the `devices` of the training split."""
    clips = read_corpus(root)
    named = clips["filename"].str.extract(NAME_GRAMMAR)
    with ThreadPoolExecutor(min(32, 4 * (os.cpu_count() or 1))) as pool:
        paths = [root / name for name in clips["filename"]]
        headers = list(track(pool.map(read_header, paths), len(paths), "audio headers"))
    clips = pd.concat([clips, pd.DataFrame([asdict(header) for header in headers])], axis=1)
    clips["problem"] = clips["problem"].astype("object").where(clips["problem"].notna(), None)
    clips["name_scene"], clips["name_device"] = named["scene"], named["device"]
    clips["name_location"] = named["city"] + "-" + named["place"]
    clips["city"] = named["city"]
    locations = clips.groupby("location", as_index=False).agg(
        splits=("split", "nunique"), filename=("filename", "first")
    )
    training = clips[clips["split"] == "train"]
    devices = training.groupby("device", as_index=False).agg(clips=("filename", "size"))
    return {"clips": clips, "locations": locations, "devices": devices}


def suite(expect: Expect) -> dict[str, list[Any]]:
    """The expectations, by table."""
    import great_expectations.expectations as gxe

    clips: list[Any] = [
        gxe.ExpectColumnValuesToBeUnique(column="filename", notes="every file is listed once, in one split"),
        gxe.ExpectColumnValuesToMatchRegex(
            column="filename",
            regex=NAME_GRAMMAR,
            notes="audio/scene-city-location-segment-device.wav",
        ),
        gxe.ExpectColumnValuesToBeNull(column="problem", notes="every listed audio file is there and whole"),
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
    devices: list[Any] = []
    if expect.scenes is not None:
        clips.append(
            gxe.ExpectColumnValuesToBeInSet(column="scene", value_set=expect.scenes, notes="scenes of the profile")
        )
        clips.append(
            gxe.ExpectColumnDistinctValuesToContainSet(column="scene", value_set=expect.scenes, notes="no scene lacks")
        )
    if expect.devices is not None:
        clips.append(
            gxe.ExpectColumnValuesToBeInSet(column="device", value_set=expect.devices, notes="devices of the profile")
        )
    if expect.unseen_devices is not None:
        devices.append(
            gxe.ExpectColumnValuesToNotBeInSet(
                column="device",
                value_set=expect.unseen_devices,
                notes="devices that must stay unseen are not in the training split",
            )
        )
    locations = [gxe.ExpectColumnValuesToBeInSet(column="splits", value_set=[1], notes="no location is in both splits")]
    return {"clips": clips, "locations": locations, "devices": devices}


INDEX = {"clips": "filename", "locations": "location", "devices": "device"}  # what names a row of each table


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
        checkpoint = context.checkpoints.add(
            gx.Checkpoint(
                name=table,
                validation_definitions=[definition],
                actions=[gx.checkpoint.UpdateDataDocsAction(name="docs", site_names=[site])],
                result_format={"result_format": "COMPLETE", "unexpected_index_column_names": [INDEX[table]]},
            )
        )
        outcome = checkpoint.run(batch_parameters={"dataframe": frame})
        for result in next(iter(outcome.run_results.values())).results:
            rows.append(_row(table, result))
    return rows


def _row(table: str, result: Any) -> dict[str, Any]:
    if result.exception_info and result.exception_info.get("raised_exception"):
        # An expectation that could not be computed looks like bad data; it is a fault of the suite.
        raise RuntimeError(f"expectation on {table} failed to run: {result.exception_info['exception_message']}")
    config = result.expectation_config
    columns = [config.kwargs[key] for key in ("column", "column_A", "column_B") if key in config.kwargs]
    bad = [
        {key: value if isinstance(value, str) or value is None else str(value) for key, value in each.items()}
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
    """A bad row in a few words: which it is, and what is wrong with it where that is a text."""
    which = bad.get(INDEX[table], "")
    rest = [value for key, value in bad.items() if key != INDEX[table] and value and not value.isnumeric()]
    return ": ".join(filter(None, [which, "/".join(rest)]))


def verdict(root: Path, rows: list[dict[str, Any]]) -> None:
    """Raise a UserError that names the first bad rows of every expectation that failed, if any did."""
    failures = []
    for row in rows:
        if row["passed"]:
            continue
        shown = [_name(row["table"], bad) for bad in row["bad_rows"][:SHOWN]]
        more = len(row["bad_rows"]) - SHOWN
        failures.append(f"not so: {row['meaning']}: {', '.join(shown)}" + (f" and {more} more" if more > 0 else ""))
    if failures:
        raise UserError(f"{root}: {'; '.join(failures)} (all rows in {VALIDATION})")


def validate(params: Params, journal: Journal) -> None:
    """Validate the corpus and write the table of its clips."""
    root = corpus_root()
    frames = tables(root)
    shutil.rmtree(DATA_DOCS, ignore_errors=True)
    rows = check(frames, suite(params.data.expect), DATA_DOCS)
    clips = frames["clips"]
    counts = clips.groupby("split").size().to_dict()
    write_json(
        VALIDATION,
        {
            "corpus": str(root),
            "passed": all(row["passed"] for row in rows),
            "clips": {split: int(count) for split, count in counts.items()},
            "devices": {
                split: {device: int(n) for device, n in part.groupby("device").size().items()}
                for split, part in clips.groupby("split")
            },
            "unseen_devices": unseen_devices(clips),
            "data_docs": str(DATA_DOCS / "index.html"),
            "expectations": rows,
        },
    )
    journal.artifact(VALIDATION)
    verdict(root, rows)
    columns = [
        "filename",
        "scene",
        "split",
        "location",
        "device",
        "city",
        "seconds",
        "sample_rate",
        "channels",
        "subtype",
    ]
    with replacing(CLIPS) as temporary:
        clips[columns].to_parquet(temporary, index=False)


if __name__ == "__main__":
    run(validate)
