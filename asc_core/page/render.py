"""Sections as a page of HTML that needs no other file and asks no network."""

import base64
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from asc_core.page.parts import Section
from asc_core.page.vega import vega
from asc_core.text import printable

TEMPLATE = "page.html.jinja"


def page(title: str, sections: Sequence[Section], script: str | None = None) -> str:
    """A page. Texts in it are texts, whatever names a corpus has.

    Args:
        script: what `vega` gave; None to make it, which takes a second.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["printable"] = printable
    environment.filters["runs"] = lambda parts: [
        (kind, list(run)) for kind, run in groupby(parts, key=lambda part: part.kind)
    ]
    charts = any(part.kind == "figure" for section in sections for part in section.parts)
    script = (script or vega()) if charts else ""
    return environment.get_template(TEMPLATE).render(title=title, sections=sections, script=script)


def data_address(content: bytes, kind: str) -> str:
    """A file as an address that has all of it: kind is image/png, audio/mpeg."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
