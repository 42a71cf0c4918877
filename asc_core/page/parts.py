"""What a page is made of: sections of sentences, tables, figures and clips. How they look is the template's matter."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True)
class Text:
    """A paragraph; with a `mood` (good, bad) one that stands out."""

    kind: ClassVar[str] = "text"
    text: str
    mood: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of cells, the first of each a heading. `numbers` says from which column on they are to the right."""

    kind: ClassVar[str] = "table"
    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: int = 1


@dataclass(frozen=True)
class Figure:
    """A chart (Vega-Lite), in a sentence what it shows, and its numbers for whoever does not see it."""

    kind: ClassVar[str] = "figure"
    name: str
    title: str
    told: str
    spec: dict[str, Any]
    table: Table | None = None


@dataclass(frozen=True)
class Clip:
    """A sound: its spectrogram and, where it may be passed on, itself, both as data addresses."""

    title: str
    told: str
    image: str
    sound: str | None


@dataclass(frozen=True)
class Clips:
    """Clips beside each other."""

    kind: ClassVar[str] = "clips"
    clips: Sequence[Clip]


@dataclass(frozen=True)
class Link:
    """Another page beside this one, and what makes it."""

    path: str
    title: str
    told: str


@dataclass(frozen=True)
class Links:
    """Other pages, below each other."""

    kind: ClassVar[str] = "links"
    links: Sequence[Link]


Part = Text | Table | Figure | Clips | Links


@dataclass(frozen=True)
class Section:
    """A part of a page that its contents list."""

    name: str
    title: str
    parts: list[Part] = field(default_factory=list)
