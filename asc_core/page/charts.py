"""Charts in Vega-Lite, as JSON. Colours hold on a light page and on a dark one; all else takes the page's own."""

from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]

# Okabe and Ito's, which differ for colour-blind eyes too.
COLOURS = ["#0081c8", "#e08a00", "#009e73", "#d55e00", "#b565a7", "#56b4e9", "#8c7a00", "#7f7f7f"]
_TEXT = {"labelColor": "currentColor", "titleColor": "currentColor"}
CONFIG = {
    "background": "transparent",
    "font": "system-ui, sans-serif",
    "aria": False,  # beside every chart stand a sentence and a table
    "view": {"stroke": None},
    "axis": {**_TEXT, "gridColor": "currentColor", "gridOpacity": 0.15, "domainOpacity": 0.4, "tickOpacity": 0.4,
             "domainColor": "currentColor", "tickColor": "currentColor", "labelLimit": 140},
    "legend": {**_TEXT, "orient": "top", "title": None, "labelLimit": 200, "columns": 3},
    "range": {"category": COLOURS},
}  # fmt: skip


def chart(rows: Sequence[Row], height: int, **spec: Any) -> dict[str, Any]:
    """A chart as wide as the page gives it."""
    size = {"width": "container", "height": height, "autosize": {"type": "fit-x", "contains": "padding"}}
    return {"data": {"values": list(rows)}, **size, **spec, "config": CONFIG}


def spreads(rows: Sequence[Row], group: str, colour: str, title: str, most: float | None = 100) -> dict[str, Any]:
    """Points with the range around them, groups below each other.

    Args:
        rows: each with `group`, `colour`, `value`, `least` and `most`.
        most: the end of the axis, which begins at 0.
    """
    domain = {"scale": {"domain": [0, most]}} if most is not None else {}
    return chart(
        rows,
        20 + 14 * len(_names(rows, group)) * len(_names(rows, colour)),
        encoding={
            "y": {"field": group, "type": "nominal", "sort": None, "title": None, "scale": {"paddingInner": 0.3}},
            "yOffset": {"field": colour, "sort": None},
            "color": {"field": colour, "type": "nominal", "sort": None, "scale": {"domain": _names(rows, colour)}},
        },
        layer=[
            {
                "mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.6},
                "encoding": {
                    "x": {"field": "least", "type": "quantitative", "title": title, **domain},
                    "x2": {"field": "most"},
                },
            },
            {
                "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1, "tooltip": {"content": "data"}},
                "encoding": {"x": {"field": "value", "type": "quantitative", **domain}},
            },
        ],
    )


def lines(rows: Sequence[Row], along: str, value: str, colour: str) -> dict[str, Any]:
    """A line for each of `colour`, from left to right along whole numbers."""
    return chart(
        rows,
        200,
        mark={"type": "line", "point": {"size": 20}, "tooltip": {"content": "data"}},
        encoding={
            "x": {"field": along, "type": "quantitative", "scale": {"zero": False}, "axis": {"tickMinStep": 1}},
            "y": {"field": value, "type": "quantitative", "scale": {"zero": False}},
            "color": {"field": colour, "type": "nominal", "sort": None},
        },
    )


def bars(rows: Sequence[Row], group: str, value: str, colour: str, title: str) -> dict[str, Any]:
    """Bars below each other, those of one group behind each other."""
    return chart(
        rows,
        20 + 18 * len(_names(rows, group)),
        mark={"type": "bar", "tooltip": {"content": "data"}},
        encoding={
            "y": {"field": group, "type": "nominal", "sort": None, "title": None},
            "x": {"field": value, "type": "quantitative", "title": title},
            "color": {"field": colour, "type": "nominal", "sort": None},
        },
    )


def matrix(rows: Sequence[Row], row: str, column: str, value: str) -> dict[str, Any]:
    """A square for each pair of names, the fuller the larger its value in percent."""
    axes = {
        "y": {"field": row, "type": "nominal", "sort": None},
        "x": {"field": column, "type": "nominal", "sort": None, "axis": {"labelAngle": -45}},
    }
    full = {"field": value, "type": "quantitative", "scale": {"domain": [0, 100], "range": [0.04, 0.8]}, "legend": None}
    return chart(
        rows,
        26 * len(_names(rows, row)),
        encoding=axes,
        layer=[
            {
                "mark": {"type": "rect", "color": COLOURS[0], "tooltip": {"content": "data"}},
                "encoding": {"opacity": full},
            },
            {
                "transform": [{"filter": {"field": value, "gte": 0.5}}],
                "mark": {"type": "text", "color": "currentColor", "fontSize": 10, "tooltip": {"content": "data"}},
                "encoding": {"text": {"field": value, "type": "quantitative", "format": ".0f"}},
            },
        ],
    )


def reliability(rows: Sequence[Row]) -> dict[str, Any]:
    """How often answers of some confidence are right, beside the line on which they would be as often as they say.

    Args:
        rows: each with `confidence`, `accuracy` (both in percent) and `clips`.
    """
    scale = {"scale": {"domain": [0, 100]}}
    return chart(
        rows,
        260,
        layer=[
            {
                "data": {"values": [{"x": 0, "y": 0}, {"x": 100, "y": 100}]},
                "mark": {"type": "line", "color": "currentColor", "strokeDash": [4, 4], "opacity": 0.5},
                "encoding": {
                    "x": {"field": "x", "type": "quantitative", "title": "confidence of the answer, %", **scale},
                    "y": {"field": "y", "type": "quantitative", "title": "of these right, %", **scale},
                },
            },
            {
                "mark": {"type": "line", "color": COLOURS[0]},
                "encoding": {
                    "x": {"field": "confidence", "type": "quantitative"},
                    "y": {"field": "accuracy", "type": "quantitative"},
                },
            },
            {
                "mark": {"type": "point", "filled": True, "opacity": 1, "color": COLOURS[0],
                         "tooltip": {"content": "data"}},
                "encoding": {
                    "x": {"field": "confidence", "type": "quantitative"},
                    "y": {"field": "accuracy", "type": "quantitative"},
                    "size": {"field": "clips", "type": "quantitative", "legend": None},
                },
            },
        ],
    )  # fmt: skip


def _names(rows: Sequence[Row], field: str) -> list[str]:
    return list(dict.fromkeys(row[field] for row in rows))
