"""Run the expectations with Great Expectations, and tell what failed."""

import html
import os
from pathlib import Path
from typing import Any

import pandas as pd

from asc_core import UserError
from asc_core.files import writing
from asc_core.text import printable
from pipeline.paths import VALIDATION
from pipeline.validation.tables import INDEX

SHOWN = 5  # bad rows in the one line of the error; the report has them all


def check(frames: dict[str, pd.DataFrame], expectations: dict[str, list[Any]], docs: Path) -> list[dict[str, Any]]:
    """Run the suite, build the Data Docs in `docs`, and return a row for each expectation, with all its bad rows."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
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
    store = context.validation_results_store
    for key in store.list_keys():
        results: Any = store.get(key)
        for each in results.results:
            each.result = _escaped(each.result)
        store.set(key, results)
    with writing(docs):
        context.build_data_docs(site_names=[site])
    return rows


def _escaped(value: Any) -> Any:
    """What was found in a corpus, as text of HTML: Great Expectations writes it into its pages as it is."""
    if isinstance(value, str):
        return html.escape(value)
    if isinstance(value, dict):
        return {key: _escaped(each) for key, each in value.items()}
    return [_escaped(each) for each in value] if isinstance(value, list | tuple) else value


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
    return printable(": ".join(filter(None, [which, " and ".join(rest)])))


def verdict(root: Path, rows: list[dict[str, Any]], told: Path = VALIDATION) -> None:
    """Raise a UserError that names the first bad rows of every expectation that failed, if any did; `told` has all."""
    failures = []
    for row in rows:
        if row["passed"]:
            continue
        names = list(dict.fromkeys(_name(row["table"], bad) for bad in row["bad_rows"]))
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        failures.append(f"failed: {row['meaning']}: {', '.join(names[:SHOWN])}{more}")
    if failures:
        raise UserError(f"{root}: {'; '.join(failures)} (all rows in {told})")
