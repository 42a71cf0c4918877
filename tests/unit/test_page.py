"""The HTML report: figures are those of the results, and names of scenes and devices are text."""

import re
from dataclasses import replace
from html import unescape

import numpy as np
import pandas as pd
import pytest

from asc_core.page.parts import Section, Table, Text
from asc_core.page.render import page
from pipeline.configure import parameters
from pipeline.page import details, results
from pipeline.page.curves import curves
from pipeline.page.made import nearest_profile
from pipeline.page.run import Run

SCENES = ["<img src=x onerror=alert(1)>", "</script><b>", "café & tram"]
DEVICES = ["a", '"><s>', "new\nphone"]
ANSWERED = {"accuracy": 71.25, "log_loss": 0.5, "accuracy_by_device": dict.fromkeys(DEVICES, 60.0)}


def metrics(accuracy: float) -> dict:
    value = {"mean": accuracy, "std": 1.25, "n": 2}
    whole = dict.fromkeys(("accuracy", "accuracy_micro", "log_loss", "accuracy_seen", "accuracy_unseen"), value)
    sizes = {"parameters": 90, "nonzero_parameters": 60, "counted_bytes": 77, "weight_bits": 8, "macs": 1000,
             "macs_torchinfo": 1100, "file_bytes": 99, "parameter_bytes": 95, "parameter_bytes_torch": 94}  # fmt: skip
    return (
        whole
        | {"accuracy_by_device": dict.fromkeys(DEVICES, value), "size": sizes}
        | {"accuracy_by_scene": dict.fromkeys(SCENES, value)}
    )


@pytest.fixture
def run() -> Run:
    clips = pd.DataFrame({"filename": list("wxyz"), "scene": SCENES + SCENES[:1], "device": "a", "model": "quantized"})
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.1, 0.6, 0.3], [0.9, 0.1, 0.0]])
    counts = {"train": dict.fromkeys(SCENES, 4), "test": dict.fromkeys(SCENES, 2)}
    row = {"meaning": "<i>unique</i>", "passed": False, "bad_rows": [{"filename": "<u>", "scene": "x"}]}
    return Run(
        params=parameters("quick"),
        summary={"teacher": metrics(81.5), "quantized": metrics(72.25)},
        seeds={0: {"quantized": ANSWERED}, 1: {}},
        sizes=[{"name": "stem.0.weight", "parameters": 90, "nonzero": 60, "bits": 8, "counted_bytes": 60},
               {"name": "stem.1.scale", "parameters": 9, "nonzero": 8, "bits": 16, "counted_bytes": 17}],
        validation={"unseen_devices": DEVICES[2:], "clips": {"train": 12, "test": 6}, "scenes": counts,
                    "devices": {"train": {"a": 12}, "test": {"a": 6}}, "data_docs": "x", "expectations": [row]},
        predictions=pd.concat([clips, pd.DataFrame(probabilities, columns=SCENES)], axis=1),
        curves=pd.DataFrame({"network": "teacher", "seed": [0, 0, 1, 1], "epoch": [1, 2, 1, 2],
                             "loss": [2.0, 1.0, 4.0, 1.5], "validation_accuracy": [50.0, 60.25, 40.0, None]}),
        checks=[{"name": "accuracy", "value": 72.25, "sense": "at least", "limit": 60.0, "passed": True}],
        device={"seed": 0, "exported": {"form": "onnx", "agreement": 99.5, "probability_difference": 1e-6,
                                        "logit_cosine": 1.0, **ANSWERED},
                "costs": [{"file": "a/<b>.asc", "file_bytes": 2048, "macs_per_second": 1234,
                           "ram_bytes": {"float32": 4096, "int8": 1024}, "arena_bytes": 2048}]},
    )  # fmt: skip


def sections(run: Run) -> list[Section]:
    makers = [results.verdict, results.accuracy, results.devices, results.scenes, details.reliability, curves,
              details.size, details.device, details.corpus]  # fmt: skip
    return [section for make in makers if (section := make(run))]


def test_names_are_text_and_the_page_asks_for_nothing(run):
    html = page("Report of <b>", sections(run))
    without_scripts = re.sub(r"<script[^>]*>.*?</script>", "", html, flags=re.DOTALL)
    assert not re.search(r"<(img|b|s|i|u)\b", without_scripts)
    assert "<img src=x onerror=alert(1)>" in unescape(without_scripts) and "new\\nphone" in without_scripts
    # Nothing ends a script but its own end, whatever is in the charts.
    assert len(re.findall(r"</script", html)) == len(re.findall(r"<script\b", re.sub(r'"<script', "", html)))
    assert set(re.findall(r'(?:src|href)="([^"]*)', without_scripts)) <= {
        "data:,",
        *(f"#{s.name}" for s in sections(run)),
    }
    assert len(html) < 5_000_000


def cells(section: Section, caption: str) -> dict[str, list[str]]:
    tables = [part for part in section.parts if isinstance(part, Table)]
    found = next(table for table in tables if caption in table.caption)
    return {row[0]: list(row[1:]) for row in found.rows}


def test_figures_are_those_of_the_summary(run):
    html = page("Report", sections(run))
    assert cells(results.accuracy(run), "Mean")["shipped (8 bit)"][:2] == ["72.2 ±1.2", "72.2 ±1.2"]
    assert "81.5 ±1.2" in html and "72.2 ±1.2 %" in html
    confusion = next(part for part in results.scenes(run).parts if part.name == "confusion")
    assert [row[1:] for row in confusion.table.rows] == [["100", "0", "0"], ["0", "100", "0"], ["0", "100", "0"]]
    assert "100 % of café & tram is taken for </script><b>" in confusion.told


def test_the_calibration_error_is_the_mean_distance_of_confidence_and_accuracy(run):
    told = details.reliability(run).parts[0].told
    # Bins of 0.6, 0.7, 0.8 and 0.9: one wrong answer of 60 %, right ones of 70, 80 and 90 %.
    assert "expected calibration error is 30.0 points" in told and "75.0 % in the mean" in told


def test_the_curves_of_all_seeds_are_drawn_and_told(run):
    loss, accuracy = curves(run).parts
    assert [list(row) for row in loss.table.rows] == [
        ["0", "2", "2.000", "1.000", "1.000", "2.000"], ["1", "2", "4.000", "1.500", "1.500", "4.000"],
    ]  # fmt: skip
    assert "from 3.000 after the first epoch to 1.250 after the last, number 2" in loss.told
    points = accuracy.spec["data"]["values"]
    assert [(each["seed"], each["epoch"]) for each in points] == [("seed 0", 1), ("seed 0", 2), ("seed 1", 1)]


def test_the_rules_of_every_year_are_told(run):
    rows = cells(details.size(run), "rules of each year")
    assert rows["2021: counted bytes"][:2] == ["77", "128,000"] and rows["2022: weight bits"][:2] == ["8", "8"]
    assert rows["2023 to 2025: parameter bytes"][:2] == ["95", "128,000"]
    assert rows["2023 to 2025: macs"][:2] == ["1,100", "30,000,000"]


def test_a_missed_check_is_told_first(run):
    missed = {"name": "file_bytes", "value": 99, "sense": "at most", "limit": 90, "passed": False}
    section = results.verdict(replace(run, checks=[*run.checks, missed]))
    assert section.parts[0].mood == "bad" and "1 of 2 checks" in section.parts[0].text
    assert cells(section, "Checks")["bytes of the file"] == ["99", "at most 90", "9", "FAILED"]


def test_intervals_are_drawn_where_the_summary_has_them(run):
    for each in run.summary.values():
        each["accuracy"] = {**each["accuracy"], "interval": [60.0, 90.0]}
    points = results.accuracy(run).parts[0].spec["data"]["values"]
    assert [(point["least"], point["most"]) for point in points if point["devices"] == "all devices"] == [(60, 90)] * 2


def test_parameters_that_differ_from_the_nearest_profile_are_named():
    own = parameters("quick")
    changed = own.model_copy(update={"prune": own.prune.model_copy(update={"ratio": 0.75})})
    assert nearest_profile(changed) == ("quick", [["prune.ratio", "0.75", "0.5"]])
    assert nearest_profile(parameters("folder")) == ("folder", [])


def test_what_ships_is_told_with_its_costs_and_beside_its_exported_file(run):
    section = details.device(run)
    assert cells(section, "What ships") == {
        "<b>.asc": ["2.0", "1,234", "4 in float32, 1 in int8, 2 as its interpreter says"]
    }
    beside = cells(section, "log loss")
    assert beside["accuracy"] == ["71.2", "71.2"] and beside['accuracy on "><s>'] == ["60.0", "60.0"]
    assert any("in 99.50 % of the test clips" in part.text for part in section.parts if isinstance(part, Text))
    alone = details.device(replace(run, device=run.device | {"exported": None}))
    assert len(alone.parts) == 2


def test_devices_are_set_apart_by_whether_training_heard_them(run):
    seen, unseen = results.devices(run).parts
    assert [row[0] for row in seen.table.rows] == DEVICES[:2] and [row[0] for row in unseen.table.rows] == DEVICES[2:]


def test_clips_are_counted_by_split_and_rows_that_were_not_expected_are_shown(run):
    scenes, devices, told, failed = details.corpus(run).parts
    assert [list(row) for row in scenes.table.rows] == [[scene, "4", "2"] for scene in sorted(SCENES)]
    assert [list(row) for row in devices.table.rows] == [["a", "12", "6"]]
    assert told.text.startswith("0 of 1 expectations are met") and failed.rows == [["<u>", "x"]]
