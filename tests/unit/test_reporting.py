"""Reports for people: what a corpus calls its scenes and devices is text in them."""

import re
from html import unescape

import numpy as np
import pandas as pd
import pytest
from markdown_it import MarkdownIt

from pipeline.reporting import plots
from pipeline.reporting.tables import Markup, as_text, cell, markdown_table, over_seeds
from pipeline.stages.summarise import markdown

NAMES = [
    "a|b", "<img src=x onerror=alert(1)>", "`code`", "[click](http://example.org)", "![](http://example.org/x.png)",
    "**bold**", "_slanted_", "street_traffic", "back\\slash\\|", "&lt;", "~~gone~~", "# no", "café", "$x^$", "a_",
]  # fmt: skip


def rendered(text: str) -> str:
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text)


def cells(html: str) -> list[str]:
    return [unescape(cell) for cell in re.findall(r"<t[hd]>(.*?)</t[hd]>", html)]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_in_a_table_is_shown_as_it_is(name):
    html = rendered(markdown_table(["scene", name], [[name, "1"], ["park", "2"]]))
    assert cells(html) == ["scene", name, name, "1", "park", "2"]
    assert set(re.findall(r"</?(\w+)", html)) == {"table", "thead", "tbody", "tr", "th", "td"}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_in_a_sentence_is_shown_as_it_is(name):
    html = rendered(f"Devices: {as_text(name)}.")
    assert unescape(html) == f"<p>Devices: {name}.</p>\n"


def test_lines_and_control_characters_do_not_break_a_table():
    html = rendered(markdown_table(["scene"], [["two\nlines"], ["\x1b[31mred"]]))
    assert cells(html) == ["scene", r"two\nlines", r"\x1b[31mred"]


def test_a_value_is_told_with_its_spread_and_its_interval():
    values = [{"x": 80.0, "by": {"a": 1.0, "b": None}}, {"x": 82.0, "by": {"a": 3.0, "b": None}}]
    found = over_seeds(values, {"x": [75.04, 85.0], "by": {"a": None, "b": None}})
    assert found["x"] == {"mean": 81.0, "std": pytest.approx(2**0.5), "n": 2, "interval": [75.04, 85.0]}
    assert (cell(found["x"]), cell(found["by"]["a"], 2)) == ("81.0 ±1.4 [75.0, 85.0]", "2.00 ±1.41")
    assert found["by"]["b"] is None and cell(None) == "-"
    assert cell(over_seeds([80.0], [75.0, 85.0])) == "80.0 [75.0, 85.0]"
    assert cells(rendered(markdown_table(["", ""], [["x", cell(found["x"])]])))[-1] == "81.0 ±1.4 [75.0, 85.0]"


def test_what_is_meant_as_markdown_is_markdown():
    assert "<strong>all</strong>" in rendered(markdown_table(["", ""], [[Markup("**all**"), "**all**"]]))


def test_the_summary_holds_whatever_its_devices_are_called():
    value = {"mean": 50.0, "std": 1.0, "n": 2, "interval": [40.0, 60.0]}
    whole = ("accuracy", "log_loss", "calibration_error", "accuracy_seen", "accuracy_unseen")
    model = dict.fromkeys(whole, value)
    model |= {"accuracy_by_device": dict.fromkeys(NAMES, value)}
    model |= {"size": {"nonzero_parameters": 1, "counted_bytes": 1}}
    html = rendered(markdown({"student": model}, [0, 1], NAMES))
    assert cells(html)[-2 * len(NAMES) :: 2] == NAMES
    assert set(cells(html)[-2 * len(NAMES) + 1 :: 2]) == {"50.0 ±1.0 [40.0, 60.0]"}
    assert not re.search(r"<(img|a|code|strong|em|s)\b", html)


@pytest.mark.parametrize("name", ["$x^$", "$", r"\$a$", "a\nb", "<b>", "_hidden"])
def test_plots_are_drawn_whatever_scenes_and_devices_are_called(name, tmp_path):
    value = {"mean": 50.0, "std": 1.0, "n": 2}
    plots.accuracy_by_device({"net": {"accuracy_by_device": {name: value, "b": value}}}, [name], tmp_path / "a.png")
    clips = pd.DataFrame({"filename": "x", "scene": [name, "b"], "device": "a", "model": "m", name: 0.6, "b": 0.4})
    plots.confusion(clips, tmp_path / "b.png")
    plots.scatter_by_device({"one": np.eye(2)}, {"one": 50.0}, np.array([name, "b"]), tmp_path / "c.png")
    assert all((tmp_path / file).read_bytes().startswith(b"\x89PNG") for file in ("a.png", "b.png", "c.png"))
